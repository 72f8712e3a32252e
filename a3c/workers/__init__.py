"""Worker threads, and the parameter store they share."""

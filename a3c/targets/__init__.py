"""N-step targets and tail rules: what the project is about."""

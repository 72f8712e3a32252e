"""The command line's messages, live displays and options."""

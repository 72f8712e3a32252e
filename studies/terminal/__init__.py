"""What a command shows: messages, live displays, options."""

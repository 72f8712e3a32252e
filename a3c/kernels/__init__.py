"""What is compiled to machine code."""

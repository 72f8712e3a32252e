"""Config types of algorithms, with their answers to the harness."""

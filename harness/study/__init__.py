"""A study file, checked, and the design of runs it plans."""

"""The report's animation of each arm's policy."""

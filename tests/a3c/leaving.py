"""A module that leaves the process when it is imported."""

raise SystemExit(3)

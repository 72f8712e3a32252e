"""Optuna: trials mirrored, settings proposed."""

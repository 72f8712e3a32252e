"""Evaluate a run's snapshots after training."""

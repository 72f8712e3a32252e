"""Gymnasium at the border: make environments, probe them once."""

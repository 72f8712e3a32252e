"""Algorithms as the harness meets them."""

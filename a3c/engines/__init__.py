"""Engines compute for a worker: one protocol, a reference by torch, and a fast one in machine code."""

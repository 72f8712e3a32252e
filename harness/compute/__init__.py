"""Executors, which compute runs: tasks in, events out."""

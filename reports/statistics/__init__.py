"""Intervals, bootstrap, sequential looks, decisions and verdicts; knows no study."""

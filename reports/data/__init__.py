"""Tidy tables made of a study's records."""

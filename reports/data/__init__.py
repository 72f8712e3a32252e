"""From a study's records to tidy tables."""

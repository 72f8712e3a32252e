"""From tables, figures and words to one HTML page."""

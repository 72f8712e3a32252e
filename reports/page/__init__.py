"""The HTML page of a report: words, rows, downloads, templates."""

"""What the harness asks of an algorithm, and what comes back."""

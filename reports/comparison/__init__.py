"""Compare the arms of each cell, and control the comparison."""

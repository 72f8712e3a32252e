"""MLflow: runs mirrored, studies downloaded."""

"""Optuna and MLflow as mirrors of the record."""

"""Imports what takes seconds, for the processes that are forked after it, see :mod:`tests.processes`."""

import gc
import os
from importlib import import_module

from harness.compute.program import SINGLE_THREADED
from tests.sharing import read_migrations_once

LIBRARIES = ("matplotlib.pyplot", "mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking", "optuna", "seaborn")
PARTS = ("a3c.training", "a3c.engines.compiled", "harness.commands.dispatcher", "reports")

os.environ.update(SINGLE_THREADED)  # whoever forks has no threads of Python's or NumPy's
for module in (*LIBRARIES, *PARTS):
    import_module(module)
read_migrations_once()
gc.freeze()

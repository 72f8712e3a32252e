"""What takes seconds to import, for the processes that are forked after it, see :mod:`tests.processes`."""

import os

from harness.compute.program import SINGLE_THREADED

os.environ.update(SINGLE_THREADED)  # whoever forks has no threads
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import gc

import matplotlib.pyplot
import mlflow.store.tracking.sqlalchemy_store
import mlflow.tracking
import optuna
import seaborn

import a3c.training
import reports
from tests.sharing import read_migrations_once

read_migrations_once()
gc.freeze()

"""A machine's clock that is set while a study runs, as all of this process sees it."""

from __future__ import annotations

import datetime
import time

import optuna.storages._rdb.storage
import optuna.trial._frozen
import pytest

HOUR = 3600.0


class Clock:
    """Adds an offset to the time of day; what only ever rises (``time.monotonic``) is left as it is.

    The standard library, the harness and MLflow ask :func:`time.time`; Optuna asks ``datetime``.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.offset = 0.0
        real = time.time
        clock = self

        class Datetime(datetime.datetime):
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return datetime.datetime.now(tz) + datetime.timedelta(seconds=clock.offset)

        class DatetimeModule:
            datetime = Datetime

            def __getattr__(self, name: str) -> object:
                return getattr(datetime, name)

        patch.setattr(time, "time", lambda: real() + clock.offset)
        patch.setattr(optuna.storages._rdb.storage, "datetime", Datetime)
        patch.setattr(optuna.trial._frozen, "datetime", DatetimeModule())

    def jump(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self.offset += seconds

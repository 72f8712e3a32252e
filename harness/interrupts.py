"""Signals as a flag: the first asks a study to stop, the second ends it where it stands."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType

from harness.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, catches SIGINT and SIGTERM; outside the main thread it catches nothing.

    Attributes:
        caught: the signal that asked to stop, or None.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise if a signal was caught.

        Raises:
            Interrupted: carrying its number.
        """
        if self.caught is not None:
            raise Interrupted(self.caught)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            os._exit(128 + number)  # children follow: their standard input closes
        self.caught = number

"""Handling of SIGINT and SIGTERM: the first asks a study to stop, the second ends the process at once.

Python runs its handlers in the main thread, which may be deep in a database that waits for a lock; so a thread of its
own receives signals as they come.
"""

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
        self._wakeup: tuple[int, int] | None = None  # the end signals are written to, and what was set before

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._catch) for number in _SIGNALS}
            heard, written = os.pipe()
            os.set_blocking(written, False)
            self._wakeup = written, signal.set_wakeup_fd(written, warn_on_full_buffer=False)
            threading.Thread(target=_listen, args=(heard,), name="interrupts", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._wakeup is not None:
            written, before = self._wakeup
            signal.set_wakeup_fd(before)
            os.close(written)  # which ends the thread

    def check(self) -> None:
        """Raise if a signal was caught.

        Raises:
            Interrupted: carrying its number.
        """
        if self.caught is not None:
            raise Interrupted(self.caught)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = self.caught or number


def _listen(heard: int) -> None:
    """End the process at the second signal; its children follow, since their standard input closes."""
    count = 0
    while numbers := os.read(heard, 64):
        for number in numbers:
            count += number in _SIGNALS
            if count > 1:
                os._exit(128 + number)
    os.close(heard)

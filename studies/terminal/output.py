"""Make standard output and standard error drop text that cannot be written, instead of ending the command.

A study runs for hours. Meanwhile its reader may be gone (``| head``, a terminal that was closed), or read in an
encoding that lacks a letter.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_NOBODY_READS = (errno.EPIPE, errno.EIO)  # a pipe's other end is closed, a terminal is gone


def make_patient() -> None:
    """Replace standard output and standard error by streams that drop text nobody reads."""
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)


class _Patient(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
            return memoryview(data).nbytes


def _patient(stream: TextIO | None) -> TextIO:
    if stream is None:  # it was closed before this process began
        return io.StringIO()
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.isatty() or stream is sys.stderr,
        write_through=getattr(stream, "write_through", False),  # PYTHONUNBUFFERED
    )

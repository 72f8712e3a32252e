"""JSON files that are there whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import DamagedRecord
from harness.record.files import write_whole

T = TypeVar("T")


def write_json(path: Path, data: object, draft: Path | None = None) -> None:
    """Write JSON atomically, as :func:`write_whole` does; NaN and infinities are written as text, JSON has none."""
    write_whole(path, _json(data), draft)


def read_json(path: Path) -> Any:
    """Read what :func:`write_json` wrote."""
    return _floats(json.loads(path.read_text(encoding="utf-8")))


def read_as(path: Path, make: Callable[[Any], T]) -> T:
    """Read what :func:`write_json` wrote, and make something of it.

    Raises:
        DamagedRecord: if it cannot be read, or nothing can be made of it.
    """
    try:
        return make(read_json(path))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedRecord(path, f"{type(error).__name__}: {error}") from error


_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _finite(data: object) -> object:
    if isinstance(data, float) and not math.isfinite(data):
        return {"float": "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"}
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return [_finite(value) for value in data]
    return data


def _floats(data: Any) -> Any:
    if isinstance(data, dict):
        if data.keys() == {"float"} and data["float"] in _NOT_FINITE:
            return _NOT_FINITE[data["float"]]
        return {key: _floats(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_floats(value) for value in data]
    return data


def _json(data: object) -> bytes:
    return json.dumps(_finite(data), indent=1, allow_nan=False, ensure_ascii=False).encode()

"""Tables as files: CSV that a spreadsheet opens without running anything, written whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last: full width


def neutral(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would take for a formula (OWASP's rule); numbers stay."""
    if not isinstance(value, str) or not value.lstrip(" \0\ufeff\u00a0").startswith(_FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV with every text neutralised, its column names included."""
    safe = table.copy()
    for position in range(safe.shape[1]):
        if safe.dtypes.iloc[position].kind not in "biuf" and _has_formulas(safe.iloc[:, position]):
            safe.isetitem(position, [neutral(value) for value in safe.iloc[:, position]])
    safe.columns = safe.columns.map(lambda name: neutral(str(name)))
    return str(safe.to_csv(index=False))


def _has_formulas(column: pd.Series) -> bool:
    """Whether any text would be changed; of a long column only what is distinct is looked at."""
    try:
        values = column.unique()
    except TypeError:  # lists and the like cannot be told apart so
        return True
    return any(neutral(value) is not value for value in values)


def write_text(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, never a part.

    Raises:
        OSError: if the disk takes no more; the file that was there stays.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("w", encoding="utf-8", errors="replace", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

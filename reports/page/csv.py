"""Format tables as CSV in which a spreadsheet finds no formula."""

from __future__ import annotations

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
    """Return whether any text would be changed; of a long column only distinct values are checked."""
    try:
        values = column.unique()
    except TypeError:  # lists and the like have no hash
        return True
    return any(neutral(value) is not value for value in values)

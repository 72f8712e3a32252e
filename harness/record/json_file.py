"""Write JSON files whole or not at all, and read them back as typed values.

JSON has no NaN and no infinities: ``{"float": "NaN"}`` stands for one, ``Infinity`` and ``-Infinity`` for the others.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.errors import DamagedRecord, HarnessError, StudyConflict
from harness.record.files import write_whole

SCHEMA: Literal[1] = 1  # of study.json and record.json
T = TypeVar("T")

# Neither can stand inside a text, where line breaks and quotes are escaped.
_CONSTANT = re.compile(r"(NaN|-?Infinity)(,?)$", re.MULTILINE)
_WRAPPED = re.compile(rb'\{\s*"float":\s*"(NaN|-?Infinity)"\s*\}')


def write_json(path: Path, data: object, draft: Path | None = None) -> None:
    """Write JSON as :func:`~harness.record.files.write_whole` does."""
    write_whole(path, to_json(data), draft)


def to_json(data: object) -> bytes:
    """Return mappings, sequences, dataclasses and plain values as JSON.

    Raises:
        TypeError: if something in it is none of these.
    """
    text = json.dumps(data, indent=1, ensure_ascii=False, default=_as_mapping)
    return _CONSTANT.sub(r'{"float": "\1"}\2', text).encode()


def read_as(path: Path, kind: TypeAdapter[T]) -> T:
    """Read what :func:`write_json` wrote as a value of some type; keys that the type does not have are left out.

    Raises:
        DamagedRecord: if it cannot be read, or is none.
    """
    return parse_json(path, path.read_bytes(), kind)


def read_versioned(path: Path, kind: TypeAdapter[T]) -> T:
    """Read a file of this version of the format, as :func:`read_as` does; its type has the field ``schema``.

    Raises:
        DamagedRecord: if it cannot be read.
        StudyConflict: if another version wrote it.
    """
    content = path.read_bytes()
    try:
        return parse_json(path, content, kind)
    except HarnessError:
        if (schema := parse_json(path, content, _VERSION).schema) != SCHEMA:
            raise StudyConflict(f"{path}: schema {schema!r}, must be {SCHEMA}: another version wrote it") from None
        raise


@dataclass(frozen=True)
class _Version:
    schema: int


_VERSION = TypeAdapter(_Version)


def parse_json(path: Path, content: bytes, kind: TypeAdapter[T]) -> T:
    """Return the content of a file as :func:`read_as` does.

    Raises:
        DamagedRecord: if it is not of the type.
    """
    try:
        return kind.validate_json(_unwrapped(content), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DamagedRecord(path, ": ".join([*map(str, first["loc"]), first["msg"]])) from error


def _unwrapped(content: bytes) -> bytes:
    return _WRAPPED.sub(rb"\1", content)


def _as_mapping(value: Any) -> dict[str, Any]:
    return vars(value) if is_dataclass(value) else dict(value)

"""Translate pydantic's errors into problems of a study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from harness.errors import MAX_PROBLEMS, Problem, did_you_mean

# pydantic's kinds of errors in the words of a study file; its other messages can be shown as they are.
_KINDS = {
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "must be a table"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("list_type", "tuple_type"), "must be a list"),
    "string_type": "must be text",
}


def problems_of(error: pydantic.ValidationError, known: Mapping[str, Any], prefix: str = "") -> list[Problem]:
    """Translate pydantic's errors into problems, one a field, up to one more than are shown."""
    problems: dict[str, Problem] = {}
    for item in error.errors(include_url=False)[: MAX_PROBLEMS + 1]:
        path = _path(item["loc"], item["type"])
        value, allowed = item["input"], _allowed(item["type"], item["msg"])
        if item["type"] == "extra_forbidden":
            allowed = "no such field" + did_you_mean(path[-1], known)
        elif item["type"] == "missing" and isinstance(item["loc"][-1], int):  # a list of a given length
            *path, index = path
            allowed = f"must have at least {int(index) + 1} items"
        elif item["type"] == "missing":
            value, allowed = None, "must be given"
        elif item["type"] == "value_error" and isinstance(value, Mapping) and ": " in allowed:
            blamed, _, allowed = allowed.partition(": ")  # a check across fields names the one to blame itself
            path, value = [*path, blamed], value.get(blamed.split()[0])
        field = prefix + (".".join(path) if path else "settings")
        problems[field] = Problem(field, list(value) if isinstance(value, tuple) else value, allowed)
    return list(problems.values())


def _path(location: Sequence[str | int], kind: str) -> list[str]:
    """Return the place of an error, without the names pydantic gives to the members of a union."""
    if len(location) > 1 and location[-1] in ("int", "float") and kind != "extra_forbidden":
        location = location[:-1]
    return [str(part) for part in location if not str(part).startswith(("function-", "tagged-"))]


def _allowed(kind: str, message: str) -> str:
    """Return what is allowed, without pydantic's note on when a length was counted."""
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    _, should, what = message.partition(" should ")
    return f"must {what.partition(' after validation')[0]}" if should else message

"""Names of cells, arms and runs, safe as file names."""

from __future__ import annotations

import hashlib
import json
import re

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # devices, on Windows


def label(value: object) -> str:
    """Return a level as text: a string as it is unless it is valid JSON, anything else as JSON."""
    if not isinstance(value, str):
        return canonical(value)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value
    return canonical(value)  # the text "1" is not the number 1


def slug(text: str) -> str:
    """Return a safe file name for any text; a hash stands for characters that were replaced."""
    safe = _UNSAFE.sub("-", text).strip("-.")[:100]
    if _RESERVED.fullmatch(safe):
        safe = ""
    if safe == text:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe}-{digest}" if safe else digest


def canonical(value: object) -> str:
    """Return a value as JSON in one form: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)

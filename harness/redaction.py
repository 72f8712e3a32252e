"""Redaction of texts before they are shown or written: no passwords, and nothing that UTF-8 cannot hold."""

from __future__ import annotations

import re

_USER = re.compile(r"://(?:[^/\s]*:\S*|[^/\s]+)@")  # a password may hold a slash that should have been %2F
_SECRET_PARAMETER = re.compile(
    r"([?&;][\w.-]*(?:pass|pwd|secret|token|key|auth|credential)[\w.-]*=)[^&\s]*?(?=[&\s'\"]|$)", re.I
)


def redact(text: str) -> str:
    """Hide user names and passwords of every URI in a text, and parameters that are named like secrets.

    What UTF-8 cannot hold (a byte of a file name that is none) is written out.
    """
    encodable = text.encode("utf-8", "backslashreplace").decode()
    return _SECRET_PARAMETER.sub(r"\1***", _USER.sub("://***@", encodable))

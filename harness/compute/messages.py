"""Messages between an executor and its children: a JSON frame, and a frame of bytes for every file of a result.

Nothing is pickled: a child runs an algorithm's code, and what it sends must not become code in its parent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from multiprocessing.connection import Connection
from typing import Any, get_args

from harness.algorithm.output import RunOutput
from harness.algorithm.protocol import Algorithm
from harness.compute.task import Advanced, Begun, Failed, Finished, Task

Message = Algorithm | Task | Begun | Advanced | Finished | Failed
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


def send(connection: Connection, message: Message) -> None:
    """Send one message; one thread at a time.

    Raises:
        OSError: if the other side is gone.
        TypeError: if it holds something JSON does not know.
    """
    files: dict[str, bytes] = {}
    if isinstance(message, Finished):
        files = dict(message.output.files)
        message = replace(message, output=replace(message.output, files=dict.fromkeys(files, b"")))
    body = asdict(message)
    if isinstance(message, Finished):
        body["output"]["files"] = list(files)
    connection.send_bytes(json.dumps([type(message).__name__, body]).encode())
    for content in files.values():
        connection.send_bytes(content)


def receive(connection: Connection) -> Message:
    """Wait for one message and return it.

    Raises:
        EOFError: if the other side is gone.
        ValueError: if it is none.
    """
    kind, body = _decode(connection.recv_bytes())
    if kind is Task:
        body["algorithm"] = Algorithm(**body["algorithm"])
    elif kind is Finished:
        body["output"]["files"] = {name: connection.recv_bytes() for name in body["output"]["files"]}
        body["output"] = RunOutput(**body["output"])
    return kind(**body)


def _decode(frame: bytes) -> tuple[type[Message], dict[str, Any]]:
    name, body = json.loads(frame)
    kind = _KINDS[name]
    if body.keys() != {field.name for field in fields(kind)}:
        raise ValueError(f"not a {name}: {sorted(body)}")
    return kind, body

"""A real MLflow server, and a proxy in front of it that misbehaves the moment a test says so."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from harness.mirrors.databases import sqlite_url

PATIENCE = 60.0  # seconds the server is given to start, and a request to come through
DELAY = 0.7  # seconds: shorter than any client's patience
HOST = "127.0.0.1"
SERVE = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # ends with whoever started it
import uvicorn
uvicorn.run("mlflow.server.fastapi_app:app", fd=int(sys.argv[1]))
"""
PAGE = b"<html><body>" + 500 * b"<p>Welcome!</p>" + b"\n</body></html>\n"
NEVER_SENT_ON = ("connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade")


class MlflowServer:
    """``mlflow server`` with one worker, on a database and a folder of its own; artifacts go through it.

    It is started as that command starts it, without the seconds the command itself takes; it listens on a socket it
    is given, so that no port is guessed and nothing is polled for.

    Attributes:
        uri: its address.
        artifacts: where it keeps artifacts: ``<experiment id>/<run id>/artifacts/``.
        database: where it keeps all else; to read it there takes a fraction of what asking the server takes.
    """

    def __init__(self, folder: Path) -> None:
        self.artifacts = folder / "artifacts"
        self.database = sqlite_url(folder / "mlflow.db")
        self._log = (folder / "server.log").open("w")
        with socket.create_server((HOST, 0)) as listening:
            self.port: int = listening.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(listening.fileno())],
                cwd=folder,
                env={
                    **os.environ,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    "_MLFLOW_SERVER_FILE_STORE": self.database,
                    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
                    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.artifacts),
                    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
                    "_MLFLOW_SGI_NAME": "uvicorn",
                },
                pass_fds=[listening.fileno()],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
        self.uri = f"http://{HOST}:{self.port}"
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=PATIENCE):  # noqa: S310
                pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Way(Enum):
    """How the proxy treats a request."""

    THROUGH = "let through"
    REFUSE = "connections refused"
    ERROR = "status 500"
    BUSY = "status 503 with Retry-After: 3600"
    HANG = "no answer, nothing carried out"
    HANG_AFTER_COMMIT = "no answer, though carried out"
    DELAY = "answered late, within the client's patience"
    RESET = "connection reset, nothing carried out"
    RESET_AFTER_COMMIT = "connection reset, though carried out"
    TRUNCATE = "half of the answer's body, though carried out"
    GARBAGE = "an answer that is no HTTP"
    PAGE = "status 200 with some HTML page"

    def __repr__(self) -> str:
        return self.name


class Proxy:
    """Stands on a port of its own in front of a server on another; starts out letting everything through.

    Attributes:
        uri: its address.
        requests: what has come in so far, as ``"POST runs/create"``; those that were not let through included.
        mistreated: those of them that were not let through, and how they were treated.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        # Bound for good and never listened on: while nothing else listens, the port refuses, and stays ours.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._held.bind((HOST, 0))
        self.uri = f"http://{HOST}:{self._held.getsockname()[1]}"
        self.requests: list[str] = []
        self.mistreated: list[tuple[str, Way]] = []
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ways: Sequence[Way] = (Way.THROUGH,)
        self._only, self._every, self._times, self._matched = "", 1, sys.maxsize, 0
        self._listener: _Listener | None = None
        self._listen()

    def behave(self, *ways: Way, only: str = "", after: int = 0, every: int = 1, times: int = sys.maxsize) -> None:
        """Treat requests otherwise from now on; requests that hang are let go, unanswered.

        Args:
            ways: taken in turn.
            only: what a request must contain to be mistreated, as ``"runs/create"``.
            after: how many of those requests to let through first.
            every: mistreat each so many-th of those requests, and let the others through.
            times: how many to mistreat before all are let through.
        """
        with self._lock:
            self.released.set()
            self.released = threading.Event()
            self._ways, self._only, self._every, self._times, self._matched = ways, only, every, times, -after
        if ways == (Way.REFUSE,):
            self._stop_listening()
        elif self._listener is None:
            self._listen()

    def recover(self) -> None:
        """Let everything through again."""
        self.behave(Way.THROUGH)

    def close(self) -> None:
        """Stop, whatever is going on."""
        self.behave(Way.REFUSE)
        self._held.close()

    def treat(self, request: str) -> tuple[Way, threading.Event]:
        """Note a request, and say how to treat it, and what ends the wait of one that is to hang."""
        with self._lock:
            self.requests.append(request)
            way = Way.THROUGH
            if self._only in request:
                self._matched += 1
                turn, rest = divmod(self._matched, self._every)
                if turn > 0 and not rest and turn <= self._times:
                    way = self._ways[(turn - 1) % len(self._ways)]
            if way is not Way.THROUGH:
                self.mistreated.append((request, way))
            return way, self.released

    def _listen(self) -> None:
        self._listener = _Listener(self, self._held.getsockname())
        threading.Thread(target=self._listener.serve_forever, args=(0.01,), daemon=True).start()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None
        with self._lock:
            for connection in self._open:  # a server that is gone answers on no connection that was open
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def opened(self, connection: socket.socket) -> None:
        """Note a connection."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)


class _Listener(ThreadingHTTPServer):
    block_on_close = False
    request_queue_size = 64

    def __init__(self, proxy: Proxy, address: tuple[str, int]) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients give up, and connections are cut, on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as the server's do
    disable_nagle_algorithm = True
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.proxy.opened(self.connection)

    def finish(self) -> None:
        self.server.proxy.closed(self.connection)
        super().finish()

    def _handle(self) -> None:
        body = self._body()
        way, released = self.server.proxy.treat(_endpoint(self.command, self.path))
        if way is Way.DELAY:
            released.wait(DELAY)
        if way in (Way.THROUGH, Way.DELAY):
            self._answer(*self._forward(body))
        elif way is Way.ERROR:
            self._answer(500, [("Content-Type", "text/plain")], b"Internal Server Error")
        elif way is Way.BUSY:
            self._answer(503, [("Content-Type", "text/plain"), ("Retry-After", "3600")], b"Service Unavailable")
        elif way is Way.PAGE:
            self._answer(200, [("Content-Type", "text/html")], PAGE)
        elif way is Way.GARBAGE:
            self.wfile.write(b"\x00\x01 this is no HTTP \xff\xfe\r\n" * 3)
            self.close_connection = True
        elif way is Way.TRUNCATE:
            status, headers, answer = self._forward(body)
            self._answer(status, headers, answer[: len(answer) // 2], claimed=max(1, len(answer)))
            self.close_connection = True
        elif way in (Way.HANG, Way.HANG_AFTER_COMMIT):
            if way is Way.HANG_AFTER_COMMIT:
                self._forward(body)
            released.wait()
            self.close_connection = True
        else:  # RESET, RESET_AFTER_COMMIT, and REFUSE for what was already under way
            if way is Way.RESET_AFTER_COMMIT:
                self._forward(body)
            self._reset()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":  # an empty file is sent so
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = HTTPConnection(HOST, self.server.proxy.upstream, timeout=PATIENCE)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in NEVER_SENT_ON}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, HTTPException) as error:
            return 502, [("Content-Type", "text/plain")], repr(error).encode()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, claimed: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in NEVER_SENT_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Cut the connection so that the client's kernel says "connection reset by peer"."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.proxy.closed(self.connection)
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _endpoint(method: str, path: str) -> str:
    """Return a request in short: ``"POST runs/create"``, ``"PUT artifacts/record.json"``."""
    path = path.partition("?")[0]
    for prefix in ("/api/2.0/mlflow/", "/api/3.0/mlflow/"):
        path = path.removeprefix(prefix)
    if "mlflow-artifacts/artifacts/" in path:
        path = "artifacts/" + path.rpartition("/artifacts/")[2]
    return f"{method} {path}"

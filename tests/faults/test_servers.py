"""The proxy misbehaves as it says: what a client sees of each way, and whether the server behind it was reached."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import BadStatusLine, HTTPConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.servers import HOST, Proxy, Way

ANSWER = b'{"all": "well"}'


class Upstream(ThreadingHTTPServer):
    """Answers everything alike, and counts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__((HOST, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    proxy = Proxy(upstream.server_address[1])
    yield proxy
    proxy.close()


def connect(proxy: Proxy, timeout: float = 5.0) -> HTTPConnection:
    return HTTPConnection(HOST, int(proxy.uri.rpartition(":")[2]), timeout=timeout)


def send(connection: HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("POST", path, b"body")
    answer = connection.getresponse()
    return answer.status, answer.read()


def post(proxy: Proxy, path: str = "/api/2.0/mlflow/runs/create", timeout: float = 5.0) -> tuple[int, bytes]:
    with closing(connect(proxy, timeout)) as connection:
        return send(connection, path)


@pytest.mark.parametrize(
    ("way", "seen", "carried_out"),
    [
        (Way.REFUSE, ConnectionRefusedError, False),
        (Way.HANG, TimeoutError, False),
        (Way.HANG_AFTER_COMMIT, TimeoutError, True),
        (Way.RESET, ConnectionResetError, False),
        (Way.RESET_AFTER_COMMIT, ConnectionResetError, True),
        (Way.TRUNCATE, IncompleteRead, True),
        (Way.GARBAGE, BadStatusLine, False),
    ],
)
def test_a_request_fails_as_it_is_told_to(
    proxy: Proxy, upstream: Upstream, way: Way, seen: type[Exception], carried_out: bool
) -> None:
    proxy.behave(way)
    with pytest.raises(seen):
        post(proxy, timeout=0.3)
    assert upstream.bodies == ([b"body"] if carried_out else [])
    proxy.recover()
    assert post(proxy) == (200, ANSWER)


@pytest.mark.parametrize(("way", "status"), [(Way.ERROR, 500), (Way.BUSY, 503), (Way.PAGE, 200)])
def test_an_answer_is_not_the_servers(proxy: Proxy, upstream: Upstream, way: Way, status: int) -> None:
    proxy.behave(way)
    given, body = post(proxy)
    assert given == status
    assert body != ANSWER
    assert not upstream.bodies


def test_a_late_answer_is_the_servers(proxy: Proxy) -> None:
    proxy.behave(Way.DELAY)
    assert post(proxy) == (200, ANSWER)


def test_the_chosen_requests_are_mistreated_in_turn(proxy: Proxy) -> None:
    proxy.behave(Way.ERROR, Way.PAGE, only="runs/create", after=1, every=2, times=3)
    statuses = [post(proxy)[0] for _ in range(9)]
    assert statuses == [200, 200, 500, 200, 200, 200, 500, 200, 200]
    assert proxy.mistreated == [("POST runs/create", way) for way in (Way.ERROR, Way.PAGE, Way.ERROR)]
    proxy.behave(Way.ERROR, only="runs/create")
    assert post(proxy, "/api/2.0/mlflow/runs/update") == (200, ANSWER)
    assert proxy.requests[-1] == "POST runs/update"


def test_connections_that_were_open_end_with_the_server(proxy: Proxy) -> None:
    with closing(connect(proxy)) as connection:
        assert send(connection, "/") == (200, ANSWER)
        proxy.behave(Way.REFUSE)
        with pytest.raises((ConnectionError, BadStatusLine)):
            send(connection, "/")

"""What a server bears: bodies, heads, compressed and deep ones, clients that are slow; the good one is served."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.server.conftest import Client, Opened, rss

from tocsin.server import protocol
from tocsin.server.door import Limits
from tocsin.server.policy import JSON, LINES

MIB = 2**20


def connected(client: Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.port), timeout=20)


def status(connection: socket.socket) -> int:
    """Of the answer; 0 if the server hung up without one."""
    received = b""
    with suppress(OSError):
        while b"\r\n" not in received and (piece := connection.recv(4_096)):
            received += piece
    return int(received.split()[1]) if received else 0


def post(path: str = "/v1/score/batch", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {JSON}", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch, opened: Opened) -> Client:
    """A server that waits for nobody."""
    monkeypatch.setattr(protocol.GuardedProtocol, "head_s", 0.3)
    monkeypatch.setattr("tocsin.server.running.Limits", lambda body, rate: Limits(body, rate, body_s=0.3))
    return opened()


def test_a_body_that_says_how_large_it_is_is_not_awaited(client: Client) -> None:
    with connected(client) as connection:
        connection.sendall(post("/v1/score", f"Content-Length: {10 * MIB}"))
        assert status(connection) == 413


@pytest.mark.soak
def test_a_body_without_end_is_cut_off(client: Client, rounds: Callable[[int, int], int]) -> None:
    pieces = rounds(32, 1_024)
    piece = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    before, sent = rss(), 0
    with connected(client) as connection:
        connection.sendall(post("/v1/score/batch", "Transfer-Encoding: chunked"))
        with suppress(OSError):
            while sent < pieces:
                connection.sendall(piece)
                sent += 1
        assert status(connection) == 413
    assert sent < pieces
    assert rss() - before <= 32 * MIB


def test_a_body_that_comes_slowly_is_cut_off(hasty: Client) -> None:
    with connected(hasty) as connection:
        connection.sendall(post("/v1/score", "Content-Length: 100") + b"{")
        assert status(connection) == 408


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A", b"GE"])
def test_a_head_that_comes_slowly_is_cut_off(hasty: Client, said: bytes) -> None:
    with connected(hasty) as connection:
        connection.sendall(said)
        assert status(connection) == 408


def test_a_second_request_may_not_take_longer(hasty: Client) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert status(connection) == 200
        time.sleep(0.4)  # between two requests a connection may be idle
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert status(connection) == 408


@pytest.mark.soak
def test_slow_clients_do_not_keep_others_waiting(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, rounds: Callable[[int, int], int], row: dict[str, Any]
) -> None:
    monkeypatch.setattr(protocol.GuardedProtocol, "head_s", 2.0)
    client = opened()
    slow = [connected(client) for _ in range(rounds(60, 200))]
    before = rss()
    for number in range(20):
        for connection in slow:
            with suppress(OSError):
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " if number == 0 else b"a")
        assert client.post("/v1/score", json={"row": row}).status_code == 200
    assert {status(connection) for connection in slow} == {408}
    assert rss() - before <= 32 * MIB
    for connection in slow:
        connection.close()


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: a\r\n" % number for number in range(10_000)),
        b"X-Large: " + b"a" * MIB + b"\r\n",
        b"X-Endless: " + b"a" * (8 * MIB),
        b"Cookie: " + b"a" * 20_000 + b"\r\n",
    ],
    ids=["many", "large", "endless", "a bit too large"],
)
def test_a_head_without_measure_is_refused(client: Client, head: bytes) -> None:
    before = rss()
    with connected(client) as connection:
        with suppress(OSError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n")
        assert status(connection) == 431
    assert rss() - before <= 32 * MIB
    assert client.get("/healthz").status_code == 200


def test_an_address_without_measure_is_refused(client: Client) -> None:
    with connected(client) as connection:
        with suppress(OSError):
            connection.sendall(b"GET /" + b"a" * MIB + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert status(connection) == 431


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00\x01", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100]
)
def test_what_is_no_http_is_refused(client: Client, said: bytes) -> None:
    with connected(client) as connection:
        connection.sendall(said)
        assert status(connection) == 400


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate, gzip", "GZIP"])
def test_a_compressed_body_is_refused(client: Client, encoding: str) -> None:
    bomb = gzip.compress(b"[" * (16 * MIB))
    headers = {"content-type": JSON, "content-encoding": encoding}
    before = rss()
    assert client.post("/v1/score/batch", content=bomb, headers=headers).status_code == 415
    assert rss() - before <= 32 * MIB


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b'{"row": {"a": NaN}}', 400, "malformed"),
        (b'{"row": {"a": Infinity}}', 400, "malformed"),
        (b'{"row": {"a": 1e400}}', 422, "misfit"),
        (b'{"row": {"a": "\\ud800"}}', 400, "malformed"),
        (b'{"row": {"a": "\xff"}}', 400, "malformed"),
        (b'{"row": {"a": [1]}}', 422, "misfit"),
        (b'{"row": {"a": {"b": 1}}}', 422, "misfit"),
        (b'{"row": {}}', 422, "misfit"),
        (b'{"row": {"a": 1}, "rows": []}', 422, "misfit"),
        (b'{"row": {"a": 1}, "x": ' + b"[" * 900_000, 422, "misfit"),
        (b"[" * 1_000_000, 422, "misfit"),
        (b'{"row": {"a": "%s"}}' % (b"x" * 1_025), 422, "misfit"),
        (b'{"row": {"%s": 1}}' % (b"x" * 1_025), 422, "misfit"),
        (b'{"row": {%s}}' % b",".join(b'"k%d":1' % number for number in range(257)), 422, "misfit"),
        (b"null", 422, "misfit"),
    ],
)
def test_what_is_no_row_is_refused_with_a_code(client: Client, body: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/score", content=body, headers={"content-type": JSON})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("depth", [3, 1_000, 90_000])
def test_depth_is_refused_wherever_it_is(client: Client, depth: int) -> None:
    bodies = {
        "/v1/score": b'{"row":' + b'{"a":' * depth,
        "/v1/score/batch": b"[" * depth,
        "/v1/models/small/rollback": b'{"channel":' * depth,
        "/v1/models/small/promote": b'{"version":' + b"[" * depth + b"]" * depth + b"}",
    }
    for path, body in bodies.items():
        answer = client.post(path, content=body, headers={"content-type": JSON})
        assert answer.status_code in {400, 422}
        assert answer.json()["error"]["code"] in {"malformed", "misfit", "too_deep"}


def test_more_rows_than_one_may_send_are_refused(client: Client) -> None:
    body = b"[" + b",".join([b'{"a":1}'] * 10_001) + b"]"
    lines = b"\n".join([b'{"a":1}'] * 10_001)
    for content, type, got in ((body, JSON, "length <= 10000"), (lines, LINES, "more rows")):
        answer = client.post("/v1/score/batch", content=content, headers={"content-type": type})
        assert answer.status_code == 422
        assert got in answer.json()["error"]["got"]


def test_a_table_that_is_none_is_refused(client: Client) -> None:
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    for body in (b"", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff" * 9, b"ARROW1\x00\x00", b"\x00" * 100):
        assert client.post("/v1/score/batch", content=body, headers=headers).status_code == 400


def test_a_body_where_none_belongs_is_refused(client: Client) -> None:
    assert client.request("GET", "/v1/status", content=b"{}").status_code == 413


def test_a_server_ends_though_clients_hang_on(opened: Opened) -> None:
    client = opened()
    idle = [connected(client) for _ in range(5)]
    idle[0].sendall(post("/v1/score", "Content-Length: 100"))
    client.server.__exit__(None, None, None)
    assert {connection.recv(1) for connection in idle[1:]} == {b""}
    for connection in idle:
        connection.close()

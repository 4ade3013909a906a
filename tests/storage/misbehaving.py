"""A server that answers as told, one request after the other, and then refuses: a bucket on a bad day."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import Serving

Answer = Callable[["Handler"], None]
ETAG = '"0123456789abcdef0123456789abcdef"'


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        owner = self.server.owner
        owner.asked.append(Asked(self.command, self.path, dict(self.headers), body))
        (owner.answers.pop(0) if owner.answers else status(403))(self)

    def log_message(self, *_: Any) -> None: ...


class Server(ThreadingHTTPServer):
    owner: Misbehaving

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what these tests are about."""


class Misbehaving(Serving):
    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        server = Server(("127.0.0.1", 0), Handler)
        server.owner = self
        super().__init__(server, tls)


def send(code: int, body: bytes, declared: int | None = None, **headers: str) -> Answer:
    """An answer, or the part of it that was asked for; it may declare more bytes than it has."""

    def answer(handler: Handler) -> None:
        begin, _, end = handler.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if begin and code == 200:
            part = body[int(begin) : int(end or len(body)) + 1]
            place = f"bytes {begin}-{int(begin) + len(part) - 1}/{len(body)}"
            send(206, part, None, **{"Content-Range": place}, **headers)(handler)
            return
        handler.send_response(code)
        for name, value in {"ETag": ETAG, "Last-Modified": "Mon, 05 Jan 2026 00:00:00 GMT", **headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if declared is None else declared))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = declared is not None

    return answer


def status(code: int) -> Answer:
    return send(code, b"")


def reset(handler: Handler) -> None:
    """No answer at all."""
    handler.close_connection = True
    handler.connection.shutdown(2)


def stall(handler: Handler, seconds: float = 2.0) -> None:
    """The beginning of an answer, and silence."""
    send(200, b"x", declared=100)(handler)
    handler.wfile.flush()
    threading.Event().wait(seconds)


def echo(handler: Handler) -> None:
    """A refusal that repeats all it got, as proxies like to."""
    send(403, f"<Error><Code>AccessDenied</Code>{handler.headers}</Error>".encode())(handler)

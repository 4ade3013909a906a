"""A server that answers as told and then as Prometheus would, and a source whose clock need not be waited for."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from tests.serving import Serving

from tocsin.component import PartSpec, build
from tocsin.records import Batch
from tocsin.sources.base import Source
from tocsin.sources.prometheus import Prometheus

NOON = 1_767_571_200
"""2026-01-05T00:00:00Z, a Monday."""
Answer = Callable[[BaseHTTPRequestHandler], None]


def made(**parameters: Any) -> Prometheus:
    part = build("sources", PartSpec("prometheus", {"queries": {"value": "up"}, **parameters}))
    assert isinstance(part, Prometheus)
    return part


def batches_of(source: Source) -> list[Batch]:
    source.open()
    found = []
    while not source.ended:
        batch = source.read(100.0)
        if batch is not None:
            found.append(batch)
    source.close()
    return found


def rows_of(source: Source) -> Batch:
    return Batch.concatenate(batches_of(source))


def at(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}Z"


class Misbehaving(Serving):
    """Answers as told, one request after the other, and then as Prometheus would: the value is the time."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(dict(parse_qsl(urlsplit(self.path).query)))
                outer.authorizations.append(self.headers.get("Authorization"))
                (outer.answers.pop(0) if outer.answers else obedient)(self)

            def log_message(self, *_: Any) -> None: ...

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def send(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def matrix(*series: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}, **more}).encode()


def failed(kind: str, text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": text}).encode()


def obedient(handler: BaseHTTPRequestHandler) -> None:
    asked = dict(parse_qsl(urlsplit(handler.path).query))
    moments = range(int(asked["start"]), int(asked["end"]) + 1, int(asked["step"]))
    send(200, matrix({"metric": {}, "values": [[moment, str(moment)] for moment in moments]}))(handler)


class Clock:
    """Moves on only while somebody sleeps."""

    def __init__(self, now: float = NOON + 30 * 86_400.0) -> None:
        self.now = now
        self.waits: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)

    def rule(self, source: Prometheus) -> Prometheus:
        for name, replacement in (("_now", self.time), ("_elapsed", self.time), ("_sleep", self.sleep)):
            setattr(source, name, replacement)
        return source


def patient(server: Misbehaving, **parameters: Any) -> tuple[Prometheus, list[float]]:
    """A source that does not wait, and what it would have waited."""
    span = {"step": "1m", "start": at(NOON), "end": at(NOON + 120), "timeout": 0.3}
    clock = Clock()
    return clock.rule(made(url=server.url, **{**span, **parameters})), clock.waits

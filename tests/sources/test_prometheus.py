from __future__ import annotations

import json
import socket
import struct
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, DataError, LimitExceeded, SourceLost, TocsinError
from tocsin.records import Batch
from tocsin.sources import base_http
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
        batch = source.read(0.1)
        if batch is not None:
            found.append(batch)
    source.close()
    return found


def rows_of(source: Source) -> Batch:
    return Batch.concatenate(batches_of(source))


def at(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}Z"


# A server that misbehaves, as told.


class Misbehaving:
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


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


def cut(handler: BaseHTTPRequestHandler) -> None:
    send(200, matrix()[:30], **{"Content-Length": "400"})(handler)


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(12):
        handler.wfile.write(b" ")
        time.sleep(0.05)


FLAWS: dict[str, tuple[Answer, str]] = {
    "503": (send(503, failed("timeout", "query timed out")), "status 503: query timed out"),
    "429": (send(429, b"slow down"), "status 429"),
    "cut": (cut, "RemoteProtocolError"),
    "reset": (reset, "ReadError|RemoteProtocolError"),
    "silent": (silent, "ReadTimeout"),
    "dripping": (dripping, "not done after 0.3 s"),
    "no JSON": (send(200, b"<html>Sign in</html>"), "no JSON"),
    "half a JSON": (send(200, matrix()[:-5]), "no JSON"),
    "compressed": (send(200, b"\x1f\x8b\x08", **{"Content-Encoding": "gzip"}), "no JSON"),
}


def patient(server: Misbehaving, **parameters: Any) -> tuple[Prometheus, list[float]]:
    """A source that does not wait, and what it would have waited."""
    waits: list[float] = []
    span = {"step": "1m", "start": at(NOON), "end": at(NOON + 120), "timeout": 0.3}
    source = made(url=server.url, **{**span, **parameters})
    source.sleep = waits.append
    return source, waits


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_that_passes_leaves_no_gap(flaw: str) -> None:
    with Misbehaving(FLAWS[flaw][0], FLAWS[flaw][0]) as server:
        source, waits = patient(server)
        assert rows_of(source)["value"].tolist() == [NOON, NOON + 60, NOON + 120]
    assert waits == [1, 2]


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_that_stays_loses_the_source_and_nothing_else(flaw: str) -> None:
    answer, said = FLAWS[flaw]
    with Misbehaving(*[answer] * base_http.ATTEMPTS) as server:
        source, waits = patient(server)
        source.open()
        with pytest.raises(SourceLost, match=said):
            source.read(0.1)
        assert waits == [1, 2, 4, 8]
        again = source.read(0.1)
        source.close()
    assert again is not None
    assert again["value"].tolist() == [NOON, NOON + 60, NOON + 120]


def test_nobody_there_is_a_lost_source() -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        source = made(url=f"http://127.0.0.1:{taken.getsockname()[1]}", last="1h")
        source.sleep = lambda _: None
        source.open()
        with pytest.raises(SourceLost, match=r"ConnectError.*5 attempts"):
            source.read(0.1)
        source.close()


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (send(400, failed("bad_data", "1:4: parse error")), DataError, "query value\n.*1:4: parse error .in 'up'"),
        (send(422, failed("execution", "many-to-many")), DataError, "many-to-many"),
        (send(200, failed("bad_data", "no such thing")), DataError, "no such thing"),
        (send(404, b"404 page not found"), SourceLost, "status 404(.|\n)*as far as /api"),
        (send(401, b""), SourceLost, "status 401(.|\n)*token_file"),
        (send(302, b"", Location="http://127.0.0.1:1/"), SourceLost, "status 302(.|\n)*redirects are not followed"),
        (send(200, matrix(warnings=["remote read: gone"])), SourceLost, "a partial answer: remote read: gone"),
        (send(200, b"[]"), SourceLost, "status 200"),
        (send(200, b'{"status": "success"}'), SourceLost, "TypeError"),
        (send(200, matrix({"metric": {}, "values": [[NOON, "many"]]})), SourceLost, "could not convert"),
        (send(200, matrix({"metric": {}, "values": [[NOON + 1, "1"]]})), SourceLost, "other instants"),
        (send(200, matrix({"metric": {}, "histograms": []})), SourceLost, "histogram_quantile"),
    ],
)
def test_what_another_attempt_cannot_mend_is_said_at_once(answer: Answer, error: type[TocsinError], said: str) -> None:
    with Misbehaving(answer) as server:
        source, waits = patient(server)
        source.open()
        with pytest.raises(error, match=said):
            source.read(0.1)
        source.close()
        assert (waits, len(server.asked)) == ([], 1)


def test_a_remark_of_the_query_language_spoils_nothing() -> None:
    answer = matrix({"metric": {}, "values": [[NOON, "1"]]}, warnings=["PromQL warning: a quantile of 2"])
    with Misbehaving(send(200, answer)) as server:
        assert rows_of(patient(server)[0])["value"].tolist() == [1]


def test_an_answer_too_long_is_asked_for_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_http, "MAX_ANSWER", 4_000)
    too_many = send(422, failed("execution", "query processing would load too many samples into memory"))
    with Misbehaving(too_many) as server:
        rows = rows_of(patient(server, end=at(NOON + 300 * 60))[0])
    assert rows["value"].tolist() == [NOON + 60 * step for step in range(301)]
    spans = [(int(one["end"]) - int(one["start"])) // 60 + 1 for one in server.asked]
    assert spans[:3] == [301, 150, 75]
    assert max(spans[2:]) == 75


def test_a_huge_answer_for_one_instant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_http, "MAX_ANSWER", 1_000)
    with Misbehaving(*[send(200, b" " * 2_000)] * 2) as server:
        source, _ = patient(server)
        source.open()
        with pytest.raises(LimitExceeded, match="too long for one instant"):
            source.read(0.1)
        source.close()


def test_a_long_span_is_asked_for_in_pieces_of_whole_steps() -> None:
    with Misbehaving() as server:
        rows = rows_of(patient(server, start=at(NOON - 7), end=at(NOON + 2_500 * 60 + 59))[0])
    assert rows["value"].tolist() == [NOON + 60 * step for step in range(2_501)]
    assert all(int(one["start"]) % 60 == int(one["end"]) % 60 == 0 for one in server.asked)
    assert len(server.asked) == 3


# Who asks.


@pytest.mark.parametrize(("held", "scheme"), [("s3cret-token\n", "Bearer"), ("reader:s3cret", "Basic")])
def test_a_token_is_sent_and_never_shown(held: str, scheme: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(held)
    with Misbehaving(send(403, b"")) as server:
        source, _ = patient(server, token_file=str(tmp_path / "token"))
        source.open()
        with pytest.raises(SourceLost) as lost:
            source.read(0.1)
        (tmp_path / "token").write_text("renewed")
        source.read(0.1)
        source.close()
    first, second = server.authorizations
    assert first is not None
    assert first.split()[0] == scheme
    assert "s3cret" in (first if scheme == "Bearer" else b64decode(first.split()[1]).decode())
    assert second == "Bearer renewed"
    assert "s3cret" not in f"{lost.value} {source!r} {source.spec()}"


@pytest.mark.parametrize("held", ["", "two\nsecrets", "sécret", "a:b\nX-Injected: 1", "\x00"])
def test_a_useless_token_file_is_told_by_its_name_alone(held: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(held)
    with Misbehaving() as server:
        source, _ = patient(server, token_file=str(tmp_path / "token"))
        source.open()
        with pytest.raises(ConfigError, match="wanted one bearer token, or user:password") as refused:
            source.read(0.1)
        source.close()
    assert server.asked == []
    assert not held or held not in str(refused.value)


def test_a_redirect_does_not_carry_the_token_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    with Misbehaving() as elsewhere, Misbehaving(send(307, b"", Location=elsewhere.url)) as server:
        source, _ = patient(server, token_file=str(tmp_path / "token"))
        source.open()
        with pytest.raises(SourceLost, match="status 307"):
            source.read(0.1)
        source.close()
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "http://me:s3cret@host"}, "a url with a password"),
        ({"url": "http://host\n"}, "cannot be read"),
        ({"url": "ftp://host"}, "a url of another form"),
        ({"url": "http://host?query=up"}, "a url of another form"),
        ({"url": "http://host:99999"}, "a url of another form"),
        ({"url": "file://host/folder"}, "a url of another form"),
        ({"url": "host:9090"}, "a url of another form"),
        ({"queries": {}}, "at least 1"),
        ({"queries": {"_row": "up"}}, "match pattern"),
        ({"queries": "up"}, "a mapping from columns to PromQL"),
        ({"queries": {"timestamp": "time()"}}, "the column timestamp twice"),
        ({"queries": {"job": "up"}, "entity": "job"}, "the column job twice"),
        ({"step": "1500ms"}, "whole seconds"),
        ({"start": "yesterday"}, "isoformat"),
        ({"last": "7d", "end": "2026-01-01"}, "last beside start or end"),
        ({"last": "1m"}, "at least a step"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "wanted a start before the end"),
        ({"end": "2026-01-01"}, "the start None"),
        ({"start": "0026-01-01"}, "wanted one from 1971 to 2199"),
    ],
)
def test_a_config_that_cannot_work_is_refused_unopened(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        made(**wrong)
    assert "s3cret" not in str(refused.value)


# Following.


def test_following_waits_for_each_step_and_catches_up_after_a_pause() -> None:
    now = [float(NOON + 30)]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with Misbehaving() as server:
        source = made(url=server.url, step="1m", delay="10s")
        source.clock, source.sleep = lambda: now[0], sleep
        source.open()
        assert source.read(5.0) is None
        assert (now[0], server.asked) == (NOON + 35, [])
        assert moments(source.read(60.0)) == [NOON + 60]
        assert now[0] == NOON + 70
        now[0] += 200
        server.answers = [send(503, b"")] * base_http.ATTEMPTS
        with pytest.raises(SourceLost):
            source.read(1.0)
        batch = source.read(1.0)
        assert moments(batch) == [NOON + 60 * step for step in (2, 3, 4)]
        assert not source.ended
        assert batch is not None
        position = source.acknowledge(batch)
        now[0] += 86_400
        source.open(position)
        assert moments(source.read(1.0))[:2] == [NOON + 300, NOON + 360]
        source.close()


def moments(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [int(value) for value in batch["value"].tolist()]


def test_an_end_that_lies_ahead_is_waited_for() -> None:
    now = [float(NOON)]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with Misbehaving() as server:
        source = made(url=server.url, step="1m", start=at(NOON - 60), end=at(NOON + 119))
        source.clock, source.sleep = lambda: now[0], sleep
        assert rows_of(source)["value"].tolist() == [NOON - 60, NOON, NOON + 60]
    assert NOON + 75 <= now[0] < NOON + 80


def test_the_last_hour_ends_with_the_last_step_that_is_over() -> None:
    with Misbehaving() as server:
        source = made(url=server.url, step="1m", last="1h")
        source.clock = lambda: NOON + 10.0  # a delay of 15 s: the step at noon may still get samples
        values = rows_of(source)["value"].tolist()
    assert (values[0], values[-1], len(values)) == (NOON - 60 * 60, NOON - 60, 60)


def test_a_position_older_than_the_span_leaves_nothing_out() -> None:
    with Misbehaving() as server:
        source = made(url=server.url, step="1m", last="10m", rows=3)
        source.clock = lambda: float(NOON)
        source.open()
        batch = source.read(0.1)
        assert batch is not None
        position = source.acknowledge(batch)
        source.clock = lambda: NOON + 3_600.0
        source.open(position)
        assert moments(source.read(0.1))[0] == moments(batch)[-1] + 60
        source.close()

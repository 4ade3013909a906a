"""A server of Prometheus that is out of reach, overloaded, cut off or wrong, and who may ask it."""

from __future__ import annotations

import socket
import struct
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tests.sources.misbehaving_server import (
    NOON,
    Answer,
    Clock,
    Misbehaving,
    at,
    failed,
    made,
    matrix,
    obedient,
    patient,
    rows_of,
    send,
)

from tocsin.connections import http
from tocsin.errors import ConfigError, DataError, LimitExceeded, SourceLost, TocsinError


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


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_that_passes_leaves_no_gap(flaw: str) -> None:
    with Misbehaving(FLAWS[flaw][0], FLAWS[flaw][0]) as server:
        source, waits = patient(server)
        assert rows_of(source)["value"].tolist() == [NOON, NOON + 60, NOON + 120]
    assert waits == [1, 2]


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_that_stays_loses_the_source_and_nothing_else(flaw: str) -> None:
    answer, said = FLAWS[flaw]
    with Misbehaving(*[answer] * http.ATTEMPTS) as server:
        source, waits = patient(server)
        source.open()
        with pytest.raises(SourceLost, match=said):
            source.read(100.0)
        assert waits == [1, 2, 4, 8]
        again = source.read(100.0)
        source.close()
    assert again is not None
    assert again["value"].tolist() == [NOON, NOON + 60, NOON + 120]


def test_nobody_there_is_a_lost_source() -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        clock = Clock()
        source = clock.rule(made(url=f"http://127.0.0.1:{taken.getsockname()[1]}", last="1h"))
        source.open()
        for _ in range(2):
            start = clock.now
            while clock.now < start + 14.9:
                before = clock.now
                assert source.read(0.1) is None
                assert clock.now <= before + 0.1 + 1e-6
            with pytest.raises(SourceLost, match=r"ConnectError.*5 attempts"):
                source.read(1.0)
            assert clock.now == pytest.approx(start + 15.0)
        source.close()


def test_what_was_answered_is_not_asked_again_while_another_query_waits() -> None:
    with Misbehaving(obedient, send(503, b"")) as server:
        source, waits = patient(server, queries={"one": "up", "two": "down"})
        source.open()
        assert source.read(0.4) is None
        assert source.read(0.4) is None
        batch = source.read(0.4)
        source.close()
    assert batch is not None
    assert batch["one"].tolist() == batch["two"].tolist() == [NOON, NOON + 60, NOON + 120]
    assert [one["query"] for one in server.asked] == ["up", "down", "down"]
    assert waits == pytest.approx([0.4, 0.4, 0.2])


def test_a_read_whose_time_is_over_begins_no_other_attempt() -> None:
    with Misbehaving(silent, silent) as server:
        source = made(url=server.url, last="1h", timeout=0.2)
        source.open()
        assert source.read(0.1) is None
        source.close()
    assert len(server.asked) == 1


def test_a_read_asks_once_and_then_only_as_long_as_it_has_time() -> None:
    with Misbehaving() as server:
        source, waits = patient(server, queries={f"query_{number}": "up" for number in range(3)})
        source.open()
        assert (source.read(0.0), source.read(0.0)) == (None, None)
        assert len(server.asked) == 2
        assert source.read(0.0) is not None
        source.close()
    assert waits == []


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
    monkeypatch.setattr(http, "MAX_ANSWER", 4_000)
    too_many = send(422, failed("execution", "query processing would load too many samples into memory"))
    with Misbehaving(too_many) as server:
        rows = rows_of(patient(server, end=at(NOON + 300 * 60))[0])
    assert rows["value"].tolist() == [NOON + 60 * step for step in range(301)]
    spans = [(int(one["end"]) - int(one["start"])) // 60 + 1 for one in server.asked]
    assert spans[:3] == [301, 150, 75]
    assert max(spans[2:]) == 75


def test_a_huge_answer_for_one_instant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER", 1_000)
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


@pytest.mark.parametrize(
    ("held", "got"),
    [
        ("", "nothing"),
        ("two\nsecrets", "2 lines"),
        ("sécret", "no colon, and a character that no token has"),
        ("a:b\nX-Injected: 1", "2 lines"),
        ("\x00", "characters that cannot be printed"),
    ],
)
def test_a_useless_token_file_is_told_by_its_name_and_flaw_alone(held: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(held)
    with Misbehaving() as server:
        source, _ = patient(server, token_file=str(tmp_path / "token"))
        source.open()
        with pytest.raises(ConfigError, match=f"token: {got}, wanted one bearer token, or user:password") as refused:
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
        ({"queries": {"_row": "up"}}, "text of the form"),
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

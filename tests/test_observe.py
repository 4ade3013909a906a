"""What Tocsin says of itself: on standard error, counted, and without a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tocsin import log, observe


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def moved(name: str, before: dict[str, int]) -> int:
    return log.counters().get(name, 0) - before.get(name, 0)


def test_an_event_is_a_line_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    before = log.counters()
    observe.rows_quarantined("csv", 3, "out_of_range")
    printed = capsys.readouterr()
    assert printed.out == ""
    line = json.loads(printed.err)
    assert line["event"] == "Rows quarantined."
    assert (line["level"], line["source"], line["rows"], line["reason"]) == ("warning", "csv", 3, "out_of_range")
    assert line["timestamp"].endswith("Z")
    assert moved('tocsin_rows_quarantined_total{reason="out_of_range",source="csv"}', before) == 3


def test_a_person_reads_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "text")
    observe.model_promoted("edge", 3, "champion")
    line = capsys.readouterr().err
    assert "Model promoted." in line
    assert "version=3" in line
    assert "\x1b" not in line, "no colours where there is no terminal"


def test_below_the_level_nothing_is_said_and_all_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("error")
    before = log.counters()
    observe.rows_quarantined("csv", 2, "missing")
    assert capsys.readouterr().err == ""
    assert moved('tocsin_rows_quarantined_total{reason="missing",source="csv"}', before) == 2


def test_counters_add_up_by_their_labels_in_whatever_order_they_come() -> None:
    before = log.counters()
    log.count("tocsin_test_total", 2, b="2", a="1")
    log.count("tocsin_test_total", 3, a="1", b="2")
    log.count("tocsin_test_total")
    assert moved('tocsin_test_total{a="1",b="2"}', before) == 5
    assert moved("tocsin_test_total", before) == 1


@pytest.mark.parametrize(
    "key",
    ["password", "PASSWORD", "smtp_password", "passphrase", "db_pass", "client_secret", "api_key", "apikey", "token",
     "access_token", "Authorization", "private_key", "salt"],
)  # fmt: skip
def test_a_secret_is_hidden_by_its_key(key: str) -> None:
    assert log.redact(None, "", {key: "hunter2"}) == {key: log.HIDDEN}


def test_what_is_no_secret_is_said() -> None:
    event = {"event": "Alerts sent.", "bypass_rate": 3, "passed": True, "monkey": "see", "model": "abc"}
    assert log.redact(None, "", dict(event)) == event


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("redis://user:hunter2@cache:6379/0", "redis://[hidden]@cache:6379/0"),
        ("tried https://a:b@one and https://c:d@two", "tried https://[hidden]@one and https://[hidden]@two"),
        ("https://example.org/?q=user:name@host", "https://example.org/?q=user:name@host"),
        ("redis://:hunter2@cache", "redis://[hidden]@cache"),
        ("nats://hunter2@broker:4222", "nats://[hidden]@broker:4222"),
    ],
)
def test_credentials_in_an_address_are_hidden(said: str, shown: str) -> None:
    assert log.redact(None, "", {"url": said}) == {"url": shown}


SECRETS = st.from_regex(r"[A-Za-z0-9!$%^&*()_+=.,;-]{6,20}", fullmatch=True)


@given(SECRETS, st.sampled_from(["redis", "amqp", "https", "postgresql+psycopg"]))
def test_no_password_of_an_address_is_ever_said(secret: str, scheme: str) -> None:
    hidden = log.redact(None, "", {"detail": f"cannot reach {scheme}://service:{secret}@host/path, gave up"})
    assert hidden == {"detail": f"cannot reach {scheme}://{log.HIDDEN}@host/path, gave up"}


def test_secrets_in_an_exception_are_hidden_too(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    try:
        raise ConnectionError("redis://user:hunter2@cache refused")
    except ConnectionError:
        structlog.get_logger("tocsin").error("Sink failed.", exc_info=True, token="hunter2")  # noqa: S106  # the point
    said = capsys.readouterr().err
    assert "hunter2" not in said
    assert "Sink failed." in said


def test_secrets_inside_lists_and_mappings_are_hidden() -> None:
    event = {"sinks": [{"url": "https://a:hunter2@b", "token": "hunter2"}], "tried": ("amqp://a:hunter2@b",)}
    assert "hunter2" not in str(log.redact(None, "", event))


IDENTITIES = st.one_of(
    st.ip_addresses(v=4).filter(lambda address: not (address.is_loopback or address.is_unspecified)).map(str),
    st.ip_addresses(v=6).filter(lambda address: not (address.is_loopback or address.is_unspecified)).map(str),
    st.binary(min_size=6, max_size=6).map(lambda mac: mac.hex(":")),
    st.binary(min_size=6, max_size=6).map(lambda mac: mac.hex("-").upper()),
    st.binary(min_size=6, max_size=6).map(lambda mac: mac.hex(".", -2)),
    st.from_regex(r"[a-z][a-z0-9.]{0,10}[a-z]@[a-z]{1,10}\.(org|example)", fullmatch=True),
    st.from_regex(r"(AKIA|ASIA)[0-9A-Z]{16}", fullmatch=True),
    st.from_regex(r"AIza[A-Za-z0-9_-]{35}", fullmatch=True),
    st.from_regex(r"ghp_[A-Za-z0-9]{36}", fullmatch=True),
    st.from_regex(r"Bearer [A-Za-z0-9]{12}[0-9]", fullmatch=True),
)
FRAMES = ("{}", "cannot reach {}, gave up", "peer={}: refused", "({})", "/data/{}/rows.csv", "rows_{}_new.csv", '"{}"')


@given(IDENTITIES, st.sampled_from(FRAMES))
def test_what_names_a_person_or_a_machine_is_hidden_by_its_form(identity: str, frame: str) -> None:
    said = str(log.redact(None, "", {"detail": frame.format(identity), "names": [identity], identity: 1}))
    assert identity.removeprefix("Bearer ") not in said


@pytest.mark.parametrize(
    "text",
    [
        "took 12:30:45, from 2026-03-02T10:00:00+00:00 on",
        "numpy 2.4.6 and Python 3.11.7",
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
        "one bearer token, or user:password",
        "$.source.path: no file matches data/*.csv",
        "http://127.0.0.1:9090 and [::1]:9090 do not answer",
        "tocsin::registry is no module",
        "flow 1:2:3 of run edge-20260105T120000.007-01234567",
        "s3://bucket/flows/2026/11/28.csv?versions",
    ],
)
def test_ordinary_text_is_told(text: str) -> None:
    assert log.hidden(text) == text


@given(st.lists(st.from_regex(r"[A-Za-z]{1,12}|\d{1,9}|\d{1,3}\.\d{1,6}|\d\d:\d\d(:\d\d)?", fullmatch=True)))
def test_words_numbers_and_times_are_told(words: list[str]) -> None:
    assert log.hidden(" ".join(words)) == " ".join(words)


def test_a_key_file_in_an_error_is_hidden_to_its_end() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----"
    assert log.hidden(f"refused {key}, wanted a path") == f"refused {log.HIDDEN}, wanted a path"


def test_what_is_no_text_is_hidden_as_its_text_would_be() -> None:
    assert "203.0.113.9" not in str(log.redact(None, "", {"file": Path("/data/203.0.113.9.csv")}))

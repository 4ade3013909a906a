"""What Tocsin says of itself: on standard error, counted, and without a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator

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

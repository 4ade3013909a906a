from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

import orjson
import pytest
from tests.sinks.receivers import HttpReceiver, Listener

from tocsin.checks.sink import example_alert
from tocsin.errors import DeliveryError
from tocsin.log import counters
from tocsin.sinks.apprise import LONGEST_BODY, LONGEST_TITLE, Apprise, body, title


@contextmanager
def opened(url: str) -> Iterator[Apprise]:
    sink = Apprise(url=url, timeout=5.0)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


class SmtpServer(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 has it, as far as it takes to get one."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Smtp)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Smtp(socketserver.StreamRequestHandler):
    server: SmtpServer

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            if verb == b"QUIT":
                return


def test_a_message_reads_well_on_a_phone() -> None:
    assert title(example_alert()) == "HIGH: host 0"
    assert body(example_alert()).splitlines() == [
        "Made from generated data.",
        "bytes_out 9.5e+06 bytes (usual 120 to 4.1e+05; in similar rows 300 to 9.2e+04, nearest 2048)",
        "port missing (usual 0 to 1)",
        "2026-01-01 00:00:00 to 00:00:30 UTC, 3 rows",
        "p 0.0005, score 5.25, confidence 75%",
        "model example 1",
        "id 00000000000000000000000000000000",
    ]


def test_a_message_says_only_what_is_known() -> None:
    bare = replace(
        example_alert(), entity="", start=None, end=None, reasons=(), model="", confidence=None, generated=False, rows=1
    )
    assert title(bare) == "HIGH: all telemetry"
    assert body(bare).splitlines() == ["1 row", "p 0.0005, score 5.25", "id 00000000000000000000000000000000"]


def test_a_mail_arrives() -> None:
    with SmtpServer() as server:
        port = server.server_address[1]
        with opened(f"mailto://127.0.0.1:{port}?from=tocsin@a.example&to=night@a.example&mode=insecure") as sink:
            sink.write([example_alert(1)])
    (raw,) = server.mails
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == "HIGH: host 1"
    assert "night@a.example" in mail["To"]
    text = mail.get_body(("plain", "html"))
    assert text is not None
    assert example_alert(1).id in text.get_content()


def test_a_service_gets_the_severity_as_its_kind() -> None:
    with HttpReceiver() as receiver, opened(f"json://127.0.0.1:{receiver.port}/a") as sink:
        sink.write([replace(example_alert(1), severity="critical"), replace(example_alert(2), severity="low")])
        sink.write([example_alert(1), replace(example_alert(3), severity="medium")])
    told = [orjson.loads(posted.body) for posted in receiver.posted]
    assert [(message["title"], message["type"]) for message in told] == [
        ("CRITICAL: host 1", "failure"),
        ("LOW: host 2", "info"),
        ("MEDIUM: host 3", "warning"),
    ]


def test_an_alert_that_was_taken_is_not_sent_again_after_a_failure() -> None:
    with HttpReceiver(200, 500) as receiver, opened(f"json://127.0.0.1:{receiver.port}/T0KEN") as sink:
        with pytest.raises(DeliveryError, match="does not take it") as failure:
            sink.write([example_alert(1), example_alert(2)])
        sink.close()
        sink.open()
        sink.write([example_alert(1), example_alert(2)])
    assert "T0KEN" not in str(failure.value)
    assert [orjson.loads(posted.body)["title"][-1] for posted in receiver.posted] == ["1", "2", "2"]


@pytest.mark.parametrize("url", ["", "nothing", "bogus://x", "json://", "slack://T0KEN", "json://a,json://b"])
def test_a_url_that_means_no_service_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(DeliveryError, match="does not understand") as refused:
        Apprise(url=url).open()
    assert len(url) < 8 or url not in str(refused.value)
    assert "T0KEN" not in repr(Apprise(url=url))


def test_no_redirect_is_followed() -> None:
    with (
        Listener() as canary,
        HttpReceiver(307, Location=canary.url) as receiver,
        opened(f"json://127.0.0.1:{receiver.port}/") as sink,
        pytest.raises(DeliveryError),
    ):
        sink.write([example_alert()])
    assert canary.connections == []


def test_a_service_that_does_not_come_to_an_end_is_given_up() -> None:
    with HttpReceiver(hang=True) as receiver:
        sink = Apprise(url=f"json://127.0.0.1:{receiver.port}/", timeout=1.0)
        sink.open()
        with pytest.raises(DeliveryError, match="does not take it"):
            sink.write([example_alert()])
        receiver.over.set()


def test_control_characters_are_shown_and_nobody_is_called() -> None:
    alert = replace(example_alert(), entity="@everyone \x1b[2J\r\nBcc: x@a.example \ud800")
    assert title(alert) == "HIGH: @\u200beveryone \\x1b[2J\\r\\nBcc: x@\u200ba.example \\ud800"


def test_a_long_message_loses_its_end_and_is_counted() -> None:
    before = counters().get('tocsin_alerts_shortened_total{sink="apprise"}', 0)
    long = replace(example_alert(), entity="x" * 1_000, model="y" * 5_000)
    assert len(title(long)) == LONGEST_TITLE
    assert len(body(long)) == LONGEST_BODY
    assert counters()['tocsin_alerts_shortened_total{sink="apprise"}'] == before + 2

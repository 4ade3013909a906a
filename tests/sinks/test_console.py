from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tocsin.checks.sink import example_alert
from tocsin.errors import DeliveryError
from tocsin.records import Alert, Reason
from tocsin.sinks.base_words import explained
from tocsin.sinks.console import Console


def shown(capsys: pytest.CaptureFixture[str], alerts: Sequence[Alert], reasons: int = 3) -> str:
    sink = Console(reasons=reasons)
    sink.open()
    sink.write(alerts)
    sink.close()
    return capsys.readouterr().out


def test_an_alert_reads_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.rstrip() for line in shown(capsys, [example_alert()]).splitlines()] == [
        " HIGH  host 0  2026-01-01 00:00:00 to 00:00:30 UTC  generated data",
        "   p 0.0005  score 5.25  confidence 75%  3 rows  cause bytes_out  model example 1",
        "   bytes_out 9.5e+06 bytes (usual 120 to 4.1e+05; in similar rows 300 to 9.2e+04, nearest 2048) +7.5",
        "   port missing (usual 0 to 1) +0.5",
        "   flows.csv:1  id 00000000000000000000000000000000",
    ]


def test_an_incident_names_who_made_it_one(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, [replace(example_alert(), entity="", entities=("a", "b\x1b", "c"))])
    assert out.startswith(r" HIGH  3 or more together: a, b\x1b, c  2026-01-01 00:00:00 to 00:00:30 UTC")


def test_one_that_stands_alone_says_nothing_of_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "confidence" not in shown(capsys, [replace(example_alert(), confidence=None)])


def test_the_number_of_reasons_is_limited(capsys: pytest.CaptureFixture[str]) -> None:
    assert "usual" not in shown(capsys, [example_alert()], reasons=0)


def test_control_characters_and_markup_of_telemetry_are_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, [replace(example_alert(), entity="\x1b[2J\x9b\r[red]x", origin="a\u202eb\nc")])
    assert r"\x1b[2J\x9b\r[red]x" in out
    assert r"a\u202eb\nc" in out
    assert "\x1b" not in out


def test_an_alert_without_clock_or_entity_leaves_both_out(capsys: pytest.CaptureFixture[str]) -> None:
    alert = replace(example_alert(), entity="", start=None, end=None, generated=False, rows=1, state="degraded")
    first, second, *_ = shown(capsys, [alert]).splitlines()
    assert first.rstrip() == " HIGH  all telemetry  degraded"
    assert "1 row " in second


def test_an_episode_over_midnight_shows_both_days(capsys: pytest.CaptureFixture[str]) -> None:
    alert = example_alert()
    assert alert.start is not None
    long = replace(alert, end=alert.start + 86_400 * 1_000_000)
    assert "2026-01-01 00:00:00 to 2026-01-02 00:00:00 UTC" in shown(capsys, [long])


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("log bytes", "sent 999999 bytes (usual 99 to 9999; in similar rows 999 to 9999, nearest 999)"),
        ("log 1", "sent 999999 (usual 99 to 9999; in similar rows 999 to 9999, nearest 999)"),
        ("log bytes/s", "sent 13.8155 log bytes/s (usual 4.605 to 9.21; in similar rows 6.908 to 9.21, nearest 6.908)"),
    ],
)
def test_of_a_logarithm_the_amount_is_told(unit: str, told: str) -> None:
    value, low, middle, high = (math.log(amount) for amount in (1e6, 100, 1_000, 10_000))
    reason = Reason("sent", value, low, high, 1.0, unit, middle, high, middle)
    assert explained(reason) == told


def test_no_amount_is_too_large_to_be_told() -> None:
    assert "e+304 bytes" in explained(Reason("sent", 1e9, 0.0, 1.0, 1.0, "log bytes"))


def test_a_usual_value_that_gave_little_is_no_reason(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = (
        Reason("first", 9.0, 0.0, 1.0, 9.0),
        Reason("usual_and_weak", 0.5, 0.0, 1.0, 2.9),
        Reason("usual_and_strong", 0.5, 0.0, 1.0, 3.1),
        Reason("odd_and_weak", 2.0, 0.0, 1.0, 0.1),
    )
    out = shown(capsys, [replace(example_alert(), reasons=reasons)])
    assert [line.split()[0] for line in out.splitlines()[2:-1]] == ["first", "usual_and_strong", "odd_and_weak"]


def test_a_reader_who_leaves_is_told_as_a_failed_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        sink = Console()
        sink.open()
        with pytest.raises(DeliveryError, match="nobody reads any more"):
            sink.write([example_alert()])
        # what is left in the buffer has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_an_alert_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, [example_alert(), example_alert()]).count("HIGH") == 1


def test_alerts_are_printed_whole_from_a_thread_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """As a running service does, beside log lines and a second sink."""

    def work(first: int) -> None:
        sink = Console()
        sink.open()
        for number in range(first, first + 50):
            sink.write([example_alert(number)])
        sink.close()

    threads = [threading.Thread(target=work, args=(first,)) for first in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out = capsys.readouterr().out
    assert (
        len(re.findall(r"(?m)^ HIGH  host \d{3}  .*\n   p 0\.0005 .*\n   bytes_out .*\n   port .*\n   flows.*$", out))
        == 100
    )


def test_an_alert_is_printed_once_however_often_the_sink_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    sink = Console()
    for _ in range(3):
        sink.open()
        sink.write([example_alert()])
        sink.close()
    assert capsys.readouterr().out.count("HIGH") == 1

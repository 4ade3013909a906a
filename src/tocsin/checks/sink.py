"""What every sink must hold to: each check is given a class and an empty folder.

A check that fails raises AssertionError with a sentence that says what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tocsin.errors import DeliveryError
from tocsin.records import SECOND, Alert, Reason
from tocsin.sinks.base import Sink


def example_alert(number: int = 0) -> Alert:
    """An alert like those that arrive; another number, another alert."""
    start = (1_767_225_600 + 60 * number) * SECOND
    return Alert(
        id=f"{number:032x}",
        entity=f"host {number}",
        start=start,
        end=start + 30 * SECOND,
        rows=3,
        score=5.25,
        p_value=0.0005,
        severity="high",
        state="ready",
        model="example 1",
        reasons=(
            Reason("bytes_out", 9.5e6, 120.0, 4.1e5, 7.5, "bytes", 300.0, 9.2e4, 2_048.0),
            Reason("port", float("nan"), 0.0, 1.0, 0.5),
        ),
        origin=f"flows.csv:{number + 1}",
        generated=True,
        confidence=0.75,
        cause="bytes_out",
    )


@contextmanager
def _opened(kind: type[Sink], folder: Path) -> Iterator[Sink]:
    sink = kind.example(folder)
    sink.open()
    try:
        yield sink
    finally:
        sink.close()


def check_alerts_are_delivered(kind: type[Sink], folder: Path) -> None:
    """Some, one and none at all; whatever cannot be delivered must raise."""
    with _opened(kind, folder) as sink:
        sink.write([example_alert(1), example_alert(2)])
        sink.write([example_alert(3)])
        sink.write([])


def check_an_alert_may_come_twice(kind: type[Sink], folder: Path) -> None:
    """In one write, in the next, and after a restart."""
    for _ in range(2):
        with _opened(kind, folder) as sink:
            sink.write([example_alert(1), example_alert(1)])
            sink.write([example_alert(1)])


def check_alerts_without_clock_entity_or_reasons_are_delivered(kind: type[Sink], folder: Path) -> None:
    """What telemetry may lack, an alert may lack."""
    with _opened(kind, folder) as sink:
        sink.write(
            [
                replace(
                    example_alert(), entity="", start=None, end=None, reasons=(), model="", origin="", confidence=None
                )
            ]
        )


def check_incidents_are_delivered(kind: type[Sink], folder: Path) -> None:
    """One message for several entities has no entity of its own, and names that telemetry chose."""
    with _opened(kind, folder) as sink:
        incident = example_alert(1)
        sink.write([replace(incident, entity="", entities=("a", "b\x1b[2J", "\ud800"), incident=incident.id)])


def check_names_with_control_characters_are_delivered(kind: type[Sink], folder: Path) -> None:
    """Telemetry may hold anything, and half of a surrogate pair too."""
    with _opened(kind, folder) as sink:
        sink.write([replace(example_alert(), entity="\x1b[2J\r\n\x00\u202e\ud800 [bold]", origin="\udcff:1")])


def check_names_leave_only_if_asked_for(kind: type[Sink], folder: Path) -> None:
    """Real names in place of pseudonyms are for sinks that stay here, and for others that are told so."""
    sink = kind.example(folder)
    if sink.shows_names and not sink.stays_here:
        raise AssertionError("the example shows names although its alerts leave: let `reveal` be False by default")


def check_a_closed_sink_refuses(kind: type[Sink], folder: Path) -> None:
    """Before `open` and after `close`: an alert is never swallowed."""
    sink = kind.example(folder)
    _refuses(sink, "before open")
    sink.open()
    sink.close()
    _refuses(sink, "after close")


def check_closing_twice_is_harmless(kind: type[Sink], folder: Path) -> None:
    """And closing what was never opened."""
    sink = kind.example(folder)
    sink.close()
    sink.open()
    sink.close()
    sink.close()


def check_a_sink_can_be_opened_again(kind: type[Sink], folder: Path) -> None:
    """As a restart within one process does."""
    sink = kind.example(folder)
    for number in range(2):
        sink.open()
        sink.write([example_alert(number)])
        sink.close()


def _refuses(sink: Sink, when: str) -> None:
    try:
        sink.write([example_alert()])
    except DeliveryError:
        return
    raise AssertionError(f"a write {when} was accepted")


CHECKS: tuple[Callable[[type[Sink], Path], None], ...] = (
    check_alerts_are_delivered,
    check_an_alert_may_come_twice,
    check_alerts_without_clock_entity_or_reasons_are_delivered,
    check_incidents_are_delivered,
    check_names_with_control_characters_are_delivered,
    check_names_leave_only_if_asked_for,
    check_a_closed_sink_refuses,
    check_closing_twice_is_harmless,
    check_a_sink_can_be_opened_again,
)

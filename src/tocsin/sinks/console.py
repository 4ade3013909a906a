"""Alerts on the terminal, for a person who is looking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isnan
from typing import ClassVar

from rich.text import Text

from tocsin.errors import DeliveryError, visible
from tocsin.records import Alert, Reason, Severity
from tocsin.sinks.base import DeliveredIds, Sink, iso_time
from tocsin.sinks.base_terminal import Terminal

STYLES: dict[Severity, str] = {"low": "cyan", "medium": "yellow", "high": "bold red", "critical": "bold white on red"}
WEAK = 1 / 3
"""A usual value that gave less than this share of the first reason's contribution explains nothing."""


class Console(Sink):
    """Print each alert to standard output as a few lines.

    Colours appear on a terminal only. Control characters in telemetry are shown, not obeyed.

    Parameters
    ----------
    reasons
        Most reasons shown per alert, each with its contribution; 0 shows none. Those with a usual value that
        contributed less than a third of the first are left out.
    """

    stays_here: ClassVar[bool] = True

    def __init__(self, *, reasons: int = 3) -> None:
        self.reasons = reasons
        self._console: Terminal | None = None

    def open(self) -> None:
        """Take standard output as it is now."""
        self._console = Terminal()
        self._delivered = DeliveredIds()

    def write(self, alerts: Sequence[Alert]) -> None:
        """Print the alerts that were not printed since `open`.

        Raises
        ------
        DeliveryError
            If the sink is closed, or nobody reads standard output any more.
        """
        if self._console is None:
            raise DeliveryError("sink console", "a write while closed", hint="open the sink first")
        for alert in self._delivered.fresh(alerts):
            try:
                self._console.print(Text("\n").join(_lines(alert, self.reasons)))
            except OSError as error:
                raise DeliveryError("sink console", str(error), "a standard output that is read") from error
            self._delivered.add(alert.id)

    def close(self) -> None:
        """Print no more; may be called twice."""
        self._console = None


def _lines(alert: Alert, reasons: int) -> Iterator[Text]:
    head = Text.assemble(
        (f" {alert.severity.upper()} ", STYLES[alert.severity]),
        f" {_whose(alert)}{_window(alert)}",
        ("  generated data" if alert.generated else "", "magenta"),
        ("" if alert.state == "ready" else f"  {alert.state.replace('_', ' ')}", "yellow"),
    )
    yield head
    rows = "1 row" if alert.rows == 1 else f"{alert.rows} rows"
    model = f"  model {visible(alert.model)}" if alert.model else ""
    agreed = "" if alert.confidence is None else f"  confidence {alert.confidence:.0%}"
    cause = f"  cause {visible(alert.cause)}" if alert.cause else ""
    yield Text(f"   p {alert.p_value:.2g}  score {alert.score:.4g}{agreed}  {rows}{cause}{model}", "dim")
    strong = [reason for reason in alert.reasons if not _is_weak(reason, alert.reasons[0])]
    for reason in strong[:reasons]:
        yield Text(f"   {_explained(reason)}")
    yield Text(f"   {visible(alert.origin)}  id {alert.id}", "dim")


def _whose(alert: Alert) -> str:
    if alert.entities:
        return f"{len(alert.entities)} or more together: {', '.join(map(visible, alert.entities))}"
    return visible(alert.entity) or "all telemetry"


def _window(alert: Alert) -> str:
    if alert.start is None or alert.end is None:
        return ""
    start, end = _readable(alert.start), _readable(alert.end)
    if start == end:
        return f"  {start} UTC"
    day = start.split(" ")[0]
    return f"  {start} to {end.removeprefix(day + ' ')} UTC"


def _readable(micros: int) -> str:
    return str(iso_time(micros)).split(".")[0].replace("T", " ")


def _is_weak(reason: Reason, first: Reason) -> bool:
    usual = reason.usual_low <= reason.value <= reason.usual_high
    return usual and reason.contribution < WEAK * first.contribution


def _explained(reason: Reason) -> str:
    unit = f" {visible(reason.unit)}" if reason.unit else ""
    value = "missing" if isnan(reason.value) else f"{reason.value:.6g}{unit}"
    inside = reason.usual_low <= reason.value <= reason.usual_high
    usual = f"{'rare within' if inside else 'usual'} {reason.usual_low:.4g} to {reason.usual_high:.4g}"
    return f"{visible(reason.feature)} {value} ({usual}{_alike(reason)}) {reason.contribution:+.3g}"


def _alike(reason: Reason) -> str:
    """What rows had that were like this one otherwise; nothing where none of them had a value."""
    if isnan(reason.similar_low):
        return ""
    span = f"{reason.similar_low:.4g} to {reason.similar_high:.4g}"
    return f"; in similar rows {span}, nearest {reason.normal:.4g}"

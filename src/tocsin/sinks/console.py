"""Alerts on the terminal, for a person who is looking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.text import Text

from tocsin.errors import DeliveryError, visible
from tocsin.records import Alert, Severity
from tocsin.sinks.base import DeliveredIds, Sink
from tocsin.sinks.base_terminal import Terminal
from tocsin.sinks.base_words import explained, rows, strongest, whose, window

STYLES: dict[Severity, str] = {"low": "cyan", "medium": "yellow", "high": "bold red", "critical": "bold white on red"}


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
        self._delivered = DeliveredIds()

    def open(self) -> None:
        """Take standard output as it is now."""
        self._console = Terminal()

    def write(self, alerts: Sequence[Alert]) -> None:
        """Print the alerts that this sink has not printed yet.

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
    when = f"  {window(alert)}" if alert.start is not None else ""
    yield Text.assemble(
        (f" {alert.severity.upper()} ", STYLES[alert.severity]),
        f" {whose(alert)}{when}",
        ("  generated data" if alert.generated else "", "magenta"),
        ("" if alert.state == "ready" else f"  {alert.state.replace('_', ' ')}", "yellow"),
    )
    model = f"  model {visible(alert.model)}" if alert.model else ""
    agreed = "" if alert.confidence is None else f"  confidence {alert.confidence:.0%}"
    cause = f"  cause {visible(alert.cause)}" if alert.cause else ""
    yield Text(f"   p {alert.p_value:.2g}  score {alert.score:.4g}{agreed}  {rows(alert)}{cause}{model}", "dim")
    for reason in strongest(alert, reasons):
        yield Text(f"   {explained(reason)} {reason.contribution:+.3g}")
    yield Text(f"   {visible(alert.origin)}  id {alert.id}", "dim")

"""Alerts on their way to the sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tocsin import observe
from tocsin.errors import DeliveryError
from tocsin.records import Alert
from tocsin.sinks.base import Sink


class Delivery:
    """Opens sinks, hands them what rings, closes them.

    A sink that fails is left out from then on, and the others go on; leaving without another error raises the first
    failure.

    Parameters
    ----------
    sinks
        Not yet open.
    name
        The name behind a pseudonym; told only to sinks whose alerts stay on this machine.

    Raises
    ------
    DeliveryError
        On leaving, if a sink did not take its alerts.
    """

    def __init__(self, sinks: Sequence[Sink], name: Callable[[str], str]) -> None:
        self._sinks = list(sinks)
        self._name = name
        self._failure: DeliveryError | None = None

    def __enter__(self) -> Self:
        try:
            for sink in self._sinks:
                sink.open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()
        if kind is None and self._failure:
            raise self._failure

    def send(self, alerts: Sequence[Alert]) -> None:
        """Give those that are not quiet to every sink that works."""
        alerts = [alert for alert in alerts if not alert.quiet]
        if not alerts:
            return
        named = [alert.named(self._name) for alert in alerts]
        for sink in list(self._sinks):
            try:
                sink.write(named if sink.shows_names else alerts)
                observe.alerts_sent(type(sink).__name__, len(alerts))
            except DeliveryError as failure:
                observe.sink_failed(type(sink).__name__, failure.problem.got)
                self._failure = self._failure or failure
                self._sinks.remove(sink)
                sink.close()

    def _close(self) -> None:
        for sink in self._sinks:
            sink.close()

"""What every sink is: somewhere alerts arrive."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import isnan
from typing import Any, ClassVar

import numpy as np

from tocsin.component import Part
from tocsin.log import HIDDEN
from tocsin.records import Alert

REMEMBERED_IDS = 10_000
"""Alert ids a sink remembers, so that a repeat is not delivered twice."""


class Sink(Part):
    """Delivers alerts. Between `open` and `close` it may be written to any number of times."""

    stays_here: ClassVar[bool] = False
    """Whether what is written stays on this machine: then it may show names in place of pseudonyms."""
    reveal: bool = False
    """Whether it shows them although it leaves; a parameter of sinks that do not stay."""

    @property
    def shows_names(self) -> bool:
        """Whether alerts come here with real names."""
        return self.stays_here or self.reveal

    def open(self) -> None:
        """Make ready to write.

        Raises
        ------
        DeliveryError
            If the destination cannot be reached or written.
        """

    @abstractmethod
    def write(self, alerts: Sequence[Alert]) -> None:
        """Deliver all of them or raise; an alert id seen before is harmless.

        Raises
        ------
        DeliveryError
            If any alert was not delivered, or the sink is closed.
        """

    def close(self) -> None:
        """Release what `open` took; may be called twice."""


class Secret(str):
    """A parameter that no message and no repr shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)


class DeliveredIds:
    """The ids delivered last, at most `REMEMBERED_IDS`."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._order: deque[str] = deque()
        self._known: set[str] = set()
        for id in ids:
            self.add(id)

    def add(self, id: str) -> None:
        """Remember one more, and forget the oldest if there are too many."""
        if id in self._known:
            return
        self._known.add(id)
        self._order.append(id)
        if len(self._order) > REMEMBERED_IDS:
            self._known.remove(self._order.popleft())

    def fresh(self, alerts: Sequence[Alert]) -> list[Alert]:
        """The alerts that were not delivered yet, each once, in order."""
        return [alert for id, alert in {alert.id: alert for alert in alerts}.items() if id not in self._known]


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as the JSON values that leave Tocsin: ISO 8601 times in UTC, null for what is missing.

    `generated` is there only where it is true: an alert made from generated telemetry never passes for a real one.
    """
    values = asdict(alert)
    values["start"], values["end"] = iso_time(alert.start), iso_time(alert.end)
    values["entity"], values["origin"] = _as_text(alert.entity), _as_text(alert.origin)
    values["entities"] = [_as_text(entity) for entity in alert.entities]
    values["reasons"] = [
        {name: None if isinstance(value, float) and isnan(value) else value for name, value in reason.items()}
        for reason in values["reasons"]
    ]
    if not values.pop("generated"):
        return values
    return {"generated": True, **values}


def _as_text(value: str) -> str:
    """Half of a surrogate pair can come from any log, and is no text."""
    return value.encode("utf-8", "backslashreplace").decode()


def iso_time(micros: int | None) -> str | None:
    """UTC microseconds -> `2026-01-31T12:00:00.000000Z`; None stays None."""
    return None if micros is None else f"{np.datetime64(micros, 'us')}Z"

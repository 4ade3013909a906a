"""Incidents and alerts instead of rows: which labelled events were caught, and which alerts were right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.calibration import codes_of, episodes
from tocsin.records import Alert, Column, Mask, Times

NAMED_GAP_S = 3_600.0


@dataclass(frozen=True, slots=True)
class EventCount:
    """Labelled events and how many of them hold a flagged row."""

    events: int
    caught: int
    kind: str
    """What an event is here, in words."""


@dataclass(frozen=True, slots=True)
class AlertCount:
    """Alerts by what their flagged rows are labelled."""

    right: int
    """At least one flagged row is a labelled anomaly."""
    wrong: int
    """No flagged row is, and at least one is labelled normal."""
    unknown: int


def count_events(
    anomalous: Mask, flagged: Mask, times: Times | None, entities: Column | None, classes: Column | None
) -> EventCount | None:
    """Count events and catches; all columns have shape (n,), in time order where there is a clock.

    With a clock and anomalies of several names, an event is the rows of one name that are less than an hour apart,
    whatever entities they touch: a flood comes from many, and ordinary rows lie between the rows of an attack. With a
    clock and at most one name it is an unbroken run of anomalous rows of one entity (of the whole series without
    entities). Without a clock each name is one event; None if there are no names either.
    """
    names = set() if classes is None else set(classes[anomalous & (classes != "")].tolist())
    if times is not None and classes is not None and len(names) > 1:
        event = episodes(times[anomalous], classes[anomalous], NAMED_GAP_S)
        rung = len(np.unique(event[flagged[anomalous]]))
        return EventCount(int(event.max()) + 1, rung, "rows of one name less than an hour apart")
    if times is not None:
        entity = codes_of(entities, len(anomalous))
        order = np.argsort(entity, kind="stable")
        inside, entity = anomalous[order], entity[order]
        begins = inside & (np.diff(entity, prepend=-1) != 0)
        begins[1:] |= inside[1:] & ~inside[:-1]
        event, caught = np.cumsum(begins)[inside], flagged[order][inside]
        return EventCount(int(begins.sum()), len(np.unique(event[caught])), "unbroken runs of one entity")
    if classes is None or not names:
        return None
    return EventCount(len(names), len(names & set(classes[anomalous & flagged].tolist())), "classes of anomaly")


def count_alerts(
    alerts: Sequence[Alert],
    labels: NDArray[np.int8],
    times: Times | None,
    entities: Column | None,
    origins: Column,
) -> AlertCount:
    """Count alerts by the labels of their rows; the columns hold the flagged rows alone, (n,).

    An alert's rows are found by entity and time; without a clock, by entity from the row that the alert names on.
    """
    groups = _rows_by_entity(entities, len(labels))
    wanted = {alert.origin for alert in alerts}
    first = {origin: row for row, origin in reversed(list(enumerate(origins.tolist()))) if origin in wanted}
    counts = {1: 0, 0: 0, -1: 0}
    for alert in alerts:
        rows = groups.get("" if entities is None else alert.entity, np.zeros(0, np.intp))
        if times is None or alert.start is None or alert.end is None:
            begin = np.searchsorted(rows, first.get(alert.origin, len(labels)))
            rows = rows[begin : begin + alert.rows]
        else:
            rows = rows[(times[rows] >= alert.start) & (times[rows] <= alert.end)]
        counts[int(labels[rows].max(initial=-1))] += 1
    return AlertCount(right=counts[1], wrong=counts[0], unknown=counts[-1])


def _rows_by_entity(entities: Column | None, rows: int) -> dict[str, NDArray[np.intp]]:
    if entities is None:
        return {"": np.arange(rows)}
    groups: dict[str, list[int]] = {}
    for row, entity in enumerate(entities.tolist()):
        groups.setdefault(entity, []).append(row)
    return {entity: np.array(group, dtype=np.intp) for entity, group in groups.items()}

"""Incidents and alerts instead of rows: which labelled events were caught and how soon, and which alerts were right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tocsin.calibration import codes_of, episodes
from tocsin.evaluation.bootstrap import bootstrapped
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.measures import Figure, missing
from tocsin.records import SECOND, Alert, Column, Mask, Times, Vector

NAMED_GAP_S = 3_600.0
NEVER = "no event was caught"
DELAYS: Mapping[str, float] = {"detection_delay_p50_seconds": 0.5, "detection_delay_p95_seconds": 0.95}
"""Figures of the delay, and which quantile each is."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Labelled events."""

    rows: NDArray[np.intp]
    """The anomalous rows that belong to one, (m,), as places among the rows given, ascending."""
    event: NDArray[np.intp]
    """Whose row it is, (m,), numbered from 0."""
    count: int
    kind: str
    """What an event is here, in words."""

    def tally(self, flagged: Mask) -> EventCount:
        """How many there are, and how many hold a flagged row; `flagged` is (n,)."""
        return EventCount(self.count, int(self.caught(flagged).sum()), self.kind)

    def caught(self, flagged: Mask) -> Mask:
        """Which events hold a flagged row, (count,); `flagged` is (n,)."""
        found = np.zeros(self.count, dtype=bool)
        found[self.event[flagged[self.rows]]] = True
        return found

    def starts(self, times: Times, chosen: Mask | None = None) -> NDArray[np.int64]:
        """Time of each event's first row, (count,), or of its first chosen one; the largest number where none is."""
        firsts = np.full(self.count, np.iinfo(np.int64).max)
        kept = slice(None) if chosen is None else chosen[self.rows]
        np.minimum.at(firsts, self.event[kept], times[self.rows[kept]])
        return firsts

    def delays_s(self, flagged: Mask, times: Times) -> Vector:
        """Seconds from the first row of each event to its first flagged row, (count,); NaN where none is."""
        found = self.caught(flagged)
        taken = (self.starts(times, flagged) - self.starts(times)) / SECOND
        return np.where(found, taken, np.nan)


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


def find_events(anomalous: Mask, times: Times | None, entities: Column | None, classes: Column | None) -> Events | None:
    """The labelled events among rows; all columns have shape (n,), in time order where there is a clock.

    With a clock and anomalies of several names, an event is the rows of one name that are less than an hour apart,
    whatever entities they touch: a flood comes from many, and ordinary rows lie between the rows of an attack. With a
    clock and at most one name it is an unbroken run of anomalous rows of one entity (of the whole series without
    entities). Without a clock each name is one event; None if there are no names either.
    """
    rows = np.flatnonzero(anomalous)
    names = set() if classes is None else set(classes[anomalous & (classes != "")].tolist())
    if times is not None and classes is not None and len(names) > 1:
        event = episodes(times[rows], classes[rows], NAMED_GAP_S)
        return Events(rows, event, int(event.max()) + 1, "rows of one name less than an hour apart")
    if times is not None:
        entity = codes_of(entities, len(anomalous))
        order = np.argsort(entity, kind="stable")
        inside, entity = anomalous[order], entity[order]
        begins = inside & (np.diff(entity, prepend=-1) != 0)
        begins[1:] |= inside[1:] & ~inside[:-1]
        event = np.empty(len(anomalous), dtype=np.intp)
        event[order] = np.cumsum(begins) - 1
        return Events(rows, event[rows], int(begins.sum()), "unbroken runs of one entity")
    if classes is None or not names:
        return None
    named = rows[classes[rows] != ""]
    return Events(named, codes_of(classes[named], len(named)), len(names), "classes of anomaly")


def judged_events(evidence: Evidence) -> Events | None:
    """The events among the judged rows, numbered as those are; see `find_events`."""
    judged = evidence.judged
    times, entities, classes = (
        None if column is None else column[judged] for column in (evidence.times, evidence.entities, evidence.classes)
    )
    return find_events(evidence.truth[judged] == 1, times, entities, classes)


def delay_figures(events: Events, flagged: Mask, times: Times, seed: int) -> dict[str, Figure]:
    """Median and 95th percentile of the delays of the caught events, in seconds, with intervals over events."""
    delays = events.delays_s(flagged, times)
    known = delays[~np.isnan(delays)]
    if not len(known):
        return dict.fromkeys(DELAYS, missing(NEVER, "s"))
    remark = "" if len(known) == events.count else f"of the {len(known)} events caught, out of {events.count}"
    return {
        name: bootstrapped(known, partial(_quantile, share=share), seed, "s", remark) for name, share in DELAYS.items()
    }


def _quantile(values: Vector, share: float) -> float:
    return float(np.quantile(values, share))


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

"""The labelled incidents one by one: would this model have rung for mine, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.evaluation.events import judged_events
from tocsin.evaluation.evidence import Evidence

SHOWN = 100
"""Incidents that a page lists."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One labelled event."""

    start: int | None
    """UTC microseconds; None without a clock."""
    entity: str
    """Of its first row, a pseudonym."""
    name: str
    rows: int
    caught: bool
    delay_s: float | None
    """From its first row to the first that was flagged."""
    p_value: float
    """The lowest of its rows."""


def incidents(evidence: Evidence) -> list[Incident]:
    """The events among the judged rows, as `judged_events` finds them, in time order where there is a clock."""
    events = judged_events(evidence)
    if events is None or not events.count:
        return []
    judged, times = np.flatnonzero(evidence.judged), evidence.times
    rows, flagged = judged[events.rows], evidence.scores.flagged[judged]
    caught, sizes = events.caught(flagged), np.bincount(events.event)
    lowest = np.ones(events.count)
    np.minimum.at(lowest, events.event, evidence.scores.p_value[rows])
    first = rows[np.unique(events.event, return_index=True)[1]]
    delays = np.full(events.count, np.nan) if times is None else events.delays_s(flagged, times[judged])
    return [
        Incident(
            start=None if times is None else int(times[first[event]]),
            entity="" if evidence.entities is None else str(evidence.entities[first[event]]),
            name="" if evidence.classes is None else str(evidence.classes[first[event]]),
            rows=int(sizes[event]),
            caught=bool(caught[event]),
            delay_s=None if np.isnan(delays[event]) else float(delays[event]),
            p_value=float(lowest[event]),
        )
        for event in np.argsort(first, kind="stable").tolist()
    ]


def foremost(found: Sequence[Incident]) -> list[Incident]:
    """At most `SHOWN` of them in their own order, the missed ones rather than the caught."""
    chosen = sorted(range(len(found)), key=lambda place: (found[place].caught, place))[:SHOWN]
    return [found[place] for place in sorted(chosen)]

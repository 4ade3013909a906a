"""What rings, as the alert that a person reads: how urgent, when, how sure, and under which id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log

import numpy as np

from tocsin.alerts.incidents import Ring
from tocsin.alerts.rows import FlaggedRows
from tocsin.records import Alert, Quiet, Severity

POLICY = "episode-1"
"""Enters every alert id: another rule of grouping makes other alerts."""
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
SEVERITY_STEP = 4.0
"""Each severity is this many times as unlikely as the one below."""
PERSISTENT_MOMENTS = 5
"""Flagged rows of one batch at as many different times raise the severity by one."""


@dataclass(slots=True)
class Message:
    """An alert in the making."""

    id: str
    row: int
    """At which it rings."""
    cause: str
    quiet: Quiet = ""
    incident: str = ""
    rings: tuple[Ring, ...] = ()
    """Of an incident, those that made it one."""
    rows: list[int] = field(default_factory=list)
    """Of its episode in this batch, from the one that rings on."""


def alerts(rows: FlaggedRows, messages: Sequence[Message], model: str, *, generated: bool) -> list[Alert]:
    """One alert per message, explained in one go; not those that an incident stands for, as there may be thousands."""
    told = [_strongest(rows, message) for message in messages if message.quiet != "incident"]
    places = np.array(told, dtype=np.intp)
    explained = zip(rows.reasons(places), rows.confidence(places), strict=True)
    every = []
    for message in messages:
        reasons, confidence = ((), None) if message.quiet == "incident" else next(explained)
        plain = alert(rows, message, model, generated=generated)
        every.append(_incident(replace(plain, reasons=reasons, confidence=confidence), message.rings))
    return every


def _strongest(rows: FlaggedRows, message: Message) -> int:
    """The row whose score the alert tells; the first of several."""
    members = np.array(message.rows, dtype=np.intp)
    return int(members[rows.score[members].argmax()])


def alert(rows: FlaggedRows, message: Message, model: str, *, generated: bool) -> Alert:
    """A message as an alert, without its reasons."""
    first, members = message.row, np.array(message.rows, dtype=np.intp)
    times = None if rows.times is None else rows.times[members]
    p_value = float(rows.p_value[members].min())
    return Alert(
        id=message.id,
        entity="" if rows.entities is None else str(rows.entities[first]),
        start=None if times is None else int(times.min()),
        end=None if times is None else int(times.max()),
        rows=len(members),
        score=float(rows.score[members].max()),
        p_value=p_value,
        severity=severity(p_value, rows.level_p, 1 if times is None else len(np.unique(times))),
        state=rows.state[first],
        model=model,
        reasons=(),
        origin=str(rows.origins[first]),
        generated=generated,
        cause=message.cause,
        incident=message.incident,
        quiet=message.quiet,
    )


def _incident(last: Alert, rings: tuple[Ring, ...]) -> Alert:
    """What is told of an incident in place of its last alert alone."""
    if not rings:
        return last
    times = [ring.time for ring in rings]
    return replace(
        last,
        entity="",
        entities=tuple(ring.entity for ring in rings),
        start=min(times),
        end=max(times),
        rows=len(rings),
        score=max(ring.score for ring in rings),
        p_value=min(ring.p_value for ring in rings),
        severity=SEVERITIES[max(ring.step for ring in rings)],
    )


def severity(p_value: float, level_p: float, moments: int) -> Severity:
    """How urgent an episode is, by how far its p-value lies below the flagging one and by how long it lasts."""
    return SEVERITIES[min(step(p_value, level_p) + (moments >= PERSISTENT_MOMENTS), len(SEVERITIES) - 1)]


def step(p_value: float, level_p: float) -> int:
    """The severity of one row, as a number from 0 on."""
    return min(int(log(max(level_p / p_value, 1.0), SEVERITY_STEP) + 1e-9), len(SEVERITIES) - 1)


def identify(*words: str | int) -> str:
    """An alert's id: equal for the same entity and beginning, whatever model or batch they came through."""
    return hashlib.sha256("\x1f".join((POLICY, *map(str, words))).encode("utf-8", "surrogatepass")).hexdigest()[:32]

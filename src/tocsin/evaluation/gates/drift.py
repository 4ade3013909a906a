"""How far the telemetry has moved from that of the anchor."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import NO_PINS, Asked, Case, gate
from tocsin.model.profile import described
from tocsin.records import Judgement


@gate("<= 0.25")
def drift(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A wrong unit, mixed up columns, or a slow drift of which each step was small: the telemetry is another one.

    Of the field whose population stability index lies furthest beyond what chance does with so few independent values.
    The reference is the anchor, not the champion: a drift that every step follows would never be seen.
    """
    if case.pins is None:
        yield asked.skipped(NO_PINS)
        return
    was, now = case.pins.profile, case.candidate.profile
    places = {name: place for place, name in enumerate(case.candidate.fields)}
    found = [
        (max(0.0, was.shift(now, field, places[name]) - was.chance(now, field, places[name])), name)
        for field, name in enumerate(described(case.pins.schema))
        if name in places
    ]
    if not found:
        yield asked.skipped("the anchor's telemetry had other fields")
        return
    furthest, name = max(found)
    told = f"of {len(found)} fields, {name} has moved most since rows were pinned, less what chance does"
    yield asked.judged(furthest, told)

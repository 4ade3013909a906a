"""False alarms on rows that never change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.gates.base import NO_PINS, Asked, Case, gate
from tocsin.records import Judgement
from tocsin.thresholds.base import REACH

DEVIATIONS = 3.0
"""Standard deviations that a count may be off by chance: one candidate of a thousand."""
FEWEST = 8
"""Alerts of the anchor; fewer say nothing of a level."""
QUIET = Comparison.parse(">= 0.5", "ratio")
"""A model that rings for less than half of what it should may have learnt to look away; that is for a person to say."""
MANY = 40
"""Alerts of the anchor in reach of which a quarter is no chance."""
QUIETER = Comparison.parse(">= 0.75", "ratio")
"""More rows are in reach than ring, so that chance does less to their number; it still stops some honest refits."""


@gate("<= 1.5")
def clean(case: Case, asked: Asked) -> Iterator[Judgement]:
    """The level is set on rows of today; rows of another day, pinned once, show a level that telemetry has pushed.

    Of the alerts on the pinned clean rows over those that its own budget allows there, or that the anchor rang there,
    whichever are more, less what chance may do to a count. Fewer than half of the anchor's ask for approval, and so do
    fewer than three quarters with four times the budget: a level that poison pushes is seen there first.
    """
    on_pins = case.candidate.on_pins
    if on_pins is None or case.pins is None or not on_pins.ready.any():
        yield asked.skipped(NO_PINS if case.pins is None else "no pinned row has a full window behind it")
        return
    count, expected = on_pins.alerts, (on_pins.promised, float(case.pins.alerts))
    told = f"{count} alerts on {int(on_pins.ready.sum()):,} clean rows, {max(expected):.3g} were to be expected"
    yield asked.judged(_least(count) / max(*expected, 1.0), told)
    if case.pins.alerts >= FEWEST:  # on the same rows: nothing of the difference is chance of the rows
        yield replace(asked, bound=QUIET, soft=True).judged(count / case.pins.alerts, told)
    if (had := case.pins.in_reach) >= MANY:
        has = on_pins.in_reach
        told = f"{has} alerts on the clean rows with {REACH:g} times the budget, {had} when they were pinned"
        yield replace(asked, bound=QUIETER, soft=True).judged(has / had, told)


def _least(count: int) -> float:
    """The least that may be expected where so many were counted.

    Source: Byar's approximation, Breslow and Day, Statistical Methods in Cancer Research 2, IARC 1987.
    """
    return count * max(0.0, 1 - 1 / (9 * count) - DEVIATIONS / (3 * sqrt(count))) ** 3 if count else 0.0

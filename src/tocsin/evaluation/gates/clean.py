"""False alarms on rows that never change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.gates.base import NO_PINS, Asked, Case, gate
from tocsin.records import Judgement

DEVIATIONS = 3.0
"""Standard deviations that a count may be off by chance: one candidate of a thousand."""
QUIET = Comparison.parse(">= 0.5", "ratio")
"""A model that rings for less than half of what it should may have learnt to look away; that is for a person to say."""


@gate("<= 1.5")
def clean(case: Case, asked: Asked) -> Iterator[Judgement]:
    """The level is set on rows of today; rows of another day, pinned once, show a level that telemetry has pushed.

    Of the alerts on the pinned clean rows over those that its own budget allows there, or that the anchor rang there,
    whichever are more; fewer than half of both asks for approval. A count is given what chance may do to it.
    """
    standing = case.candidate.standing
    if standing is None or case.pins is None or not standing.ready.any():
        yield asked.skipped(NO_PINS if case.pins is None else "no pinned row has a full window behind it")
        return
    count, expected = standing.alerts, (standing.promised, float(case.pins.alerts))
    low, high = _between(count)
    told = f"{count} alerts on {int(standing.ready.sum()):,} clean rows, {max(expected):.3g} were to be expected"
    yield asked.judged(low / max(*expected, 1.0), told)
    if min(expected) > 0 and not QUIET.holds(high / min(expected)):
        yield replace(asked, bound=QUIET, soft=True).judged(high / min(expected), told)


def _between(count: int) -> tuple[float, float]:
    """The least and the most that may be expected where so many were counted.

    Source: Byar's approximation, Breslow and Day, Statistical Methods in Cancer Research 2, IARC 1987.
    """
    more = count + 1
    low = count * max(0.0, 1 - 1 / (9 * count) - DEVIATIONS / (3 * sqrt(count))) ** 3 if count else 0.0
    return low, more * (1 - 1 / (9 * more) + DEVIATIONS / (3 * sqrt(more))) ** 3

"""A threshold that keeps an alert budget, by conformal risk control over blocks of time.

Source: Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal Risk Control, arXiv 2208.02814; its form for risks
that are not monotone. Beyond the data: peaks over a threshold, see `ParetoTail`.
"""

from __future__ import annotations

from math import ceil, exp, log
from typing import Literal

import numpy as np

from tocsin.component import Duration, seconds
from tocsin.thresholds.base_level import HELD, LevelThreshold, Served, State
from tocsin.thresholds.base_span import COVERAGE, Span

PROVISIONAL = 3.0
"""Alerts that the span must allow for a budget that is served from counts wherever a tail could be fitted."""
CAUTION = 0.2
"""A provisional level rings more than its budget with at most this probability, where alerts come singly."""
SMALLEST = -log(CAUTION)
"""Alerts that a span without any still allows with that caution: the smallest budget that counts can serve."""
BEYOND = 10.0
"""How far an extrapolated level may lie beyond the data: one alert in this many calibration spans."""
BLOCK_SHARE = 5.0
"""One block counts at most one part in this many of what its whole span may ring, so that no single incident in the
calibration rows takes the budget of all others."""


class Conformal(LevelThreshold):
    """Flag at the lowest level whose expected number of alerts a day stays within the budget.

    What is counted are alerts as the policy sends them, one per episode, in blocks of time: rows that follow each
    other are alike, and counting rows would miss the budget several times over. The level t is the lowest at which

        (sum of L_i(t) + max L_i(t)) / (M + 1) <= budget per block,

    where L_i(t) are the alerts begun in block i of M, at most a fifth of what the whole span may ring, and the sum
    is monotone from above: the most it was at t or any higher level. The block to come is thereby taken to be as
    bad as the worst seen. The bound is exact for exchangeable blocks whose counts grow as the level falls and stay
    below a known most. Episodes can join and the most is estimated, so here it is approximate:
    `benchmarks/budget.py` measures how close it comes.

    A budget in rows is the same with every row a block of its own: a row is flagged iff its p-value is at most the
    rate.

    With k = budget x calibration span the promise is *held* (k >= 20), *provisional* (3 <= k < 20: run so low that
    alerts that come singly keep the budget in four cases of five) or *extrapolated* (a Pareto tail of at least 100
    declustered peaks, at most ten times beyond the span). What not even that reaches is not served: the smallest
    budget that can be is.

    Parameters
    ----------
    block
        Length of a block, at least 1m; longer than the time over which scores resemble each other is better. It is
        never shorter than the cool-down.
    by
        `entity`: each entity's scores count from their own median, in their own spread, so that a quiet one rings at
        what is unusual for it and a loud one does not take the whole budget. An entity with fewer than 500
        calibration rows takes the scale of its group, a group with fewer that of all. The level stays one, since
        the budget is one. `all`: scores count as they are, which is right where an entity that scores high on most
        days is one to look at.
    separator
        With `entity`, what ends the name of a group within an entity's: `.` makes 10.0.1 the group of 10.0.1.7.
        Names that are pseudonyms have no groups.

    Raises
    ------
    ValueError
        If the block is shorter than a minute.

    Examples
    --------
    >>> from tocsin.thresholds.base import AlertBudget, Calibration
    >>> scores = np.random.default_rng(0).normal(size=9_999)
    >>> threshold = Conformal().fit(Calibration(scores), AlertBudget(per_row=0.01))
    >>> int(threshold.flag(scores).sum()), threshold.promise()["state"]
    (99, 'held')
    """

    def __init__(self, *, block: Duration = 3_600.0, by: Literal["all", "entity"] = "all", separator: str = "") -> None:
        self.block = seconds(block)
        if self.block < 60.0:
            raise ValueError(f"block is {self.block:g} s, wanted at least 1m")
        self.by = by
        self.separator = separator

    def _serve(self, span: Span, asked: float) -> Served:
        alerts = asked * span.length
        state: State = "held" if alerts >= HELD else "provisional"
        tail = span.tail if alerts < PROVISIONAL else None
        rate = asked
        if alerts >= PROVISIONAL:
            level = _counted(span, alerts)
        elif tail is not None:
            state = "extrapolated"
            rate, alerts = at_least(1.0 / BEYOND, asked, span)
            # A smaller budget never rings more than the smallest that is counted.
            level = max(tail.level_for(alerts), _counted(span, PROVISIONAL))
        else:
            rate, alerts = at_least(SMALLEST, asked, span)
            level = _counted(span, alerts)
        level = max(level, span.above_most)
        return Served(level, rate, state, lambda: tail.band(level, COVERAGE) if tail else span.band(level))


def at_least(least: float, asked: float, span: Span) -> tuple[float, float]:
    """The budget that is served and its alerts in the span: as asked, unless that is below the least."""
    alerts = asked * span.length
    return (asked, alerts) if alerts >= least else (least / span.length, least)


def _counted(span: Span, alerts: float) -> float:
    """The lowest level that keeps the span within this many alerts, by the condition in `Conformal`."""
    # Where alerts are few, a block that has several of them is not an incident but half of what is known.
    # More alerts than rows cannot ring, however large the budget.
    totals = span.totals(ceil(min(alerts / BLOCK_SHARE if alerts >= HELD else alerts, len(span.floors))))
    # The budget per block times M + 1; what is lost in the last digit must not cost an alert.
    allowed = alerts * (span.blocks + 1) / span.blocks * (1.0 + 1e-12)
    within = totals.totals + np.maximum(totals.worst, 1) <= allowed
    if alerts < HELD:
        within &= totals.totals <= _cautious(alerts)
    return totals.lowest_level(within)


def _cautious(alerts: float) -> int:
    """The most that may be counted, if a level that rings `alerts` counts no more with probability `CAUTION`."""
    probability = reached = exp(-alerts)
    count = 0
    while reached <= CAUTION:
        count += 1
        probability *= alerts / count
        reached += probability
    return count - 1

"""Whether a version that has just begun to serve does worse than the one before it, on the same rows.

The one before is scored beside it, so that an attack, a surge or a busy machine meets both alike: what is compared are
two models, never two hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log

from tocsin.evaluation.beside import Beside
from tocsin.scoring.canary import Result

ERRORS = 0.001
"""Share of rows that a model may fail on."""
FEWEST_ERRORS = 3
SLOWER = 2.0
"""Times the 99th percentile of the one before."""
FEWEST_PACES = 200
LOUDER = 3.0
"""Times as many, or as few, alerts."""
CHANCE = 1e-4
"""How likely two equal models may differ so much: below it, they are not equal."""
CANARY_S = 300.0
"""Between two canaries."""
MISSED = 2
"""Canaries in a row."""
LOOK_S = 60.0
"""Between two looks at the latency, of which two in a row must be too slow."""


@dataclass(slots=True)
class Health:
    """How a version has done since it began to serve.

    Parameters
    ----------
    began
        When it did, in seconds that only grow.
    lasts_s
        How long it is watched.
    """

    began: float
    lasts_s: float
    canaries: int = 0
    """Tried so far."""
    missed: int = 0
    """In a row."""
    _slow: int = 0
    _looked: float = 0.0

    def over(self, elapsed: float) -> bool:
        """Whether it was watched for its time."""
        return elapsed - self.began >= self.lasts_s

    def canary_due(self, elapsed: float) -> bool:
        """Whether it is time for the next canary; the first is due at once."""
        return elapsed - self.began >= self.canaries * CANARY_S

    def tried(self, result: Result) -> None:
        """What became of a canary."""
        self.canaries += 1
        if result != "none":
            self.missed = 0 if result == "found" else self.missed + 1

    def complaint(self, beside: Beside, elapsed: float) -> str:
        """Why the version before is to serve again; empty while there is no reason."""
        worse = self._fails(beside) or self._rings_otherwise(beside) or self._is_slow(beside, elapsed)
        return worse or (f"it missed {self.missed} canaries in a row" if self.missed >= MISSED else "")

    def _fails(self, beside: Beside) -> str:
        had, more = beside.errors[1], beside.errors[0] - beside.errors[1]
        if more < max(FEWEST_ERRORS, ERRORS * beside.rows):
            return ""
        return f"it failed on {beside.errors[0]:,} of {beside.rows:,} rows, the one before on {had:,}"

    def _rings_otherwise(self, beside: Beside) -> str:
        has, had = beside.alerts
        if not (has > LOUDER * had or LOUDER * has < had) or by_chance(has, had) >= CHANCE:
            return ""
        return f"it rang {has:,} times in {beside.rows:,} rows, the one before {had:,} times"

    def _is_slow(self, beside: Beside, elapsed: float) -> str:
        """The times of a single moment tell what else the machine does."""
        if elapsed - self._looked < LOOK_S or beside.paced < FEWEST_PACES:
            return ""
        self._looked = elapsed
        has, had = beside.latency_p99_ms
        self._slow = self._slow + 1 if has > SLOWER * had else 0
        return f"a row takes it {has:.3g} ms, the one before {had:.3g} ms" if self._slow >= 2 else ""


def by_chance(one: int, other: int) -> float:
    """How likely two counts of the same expectation lie at least so far apart, to one side.

    Given their sum, either is binomial with one half (Przyborowski and Wilenski, Biometrika 31, 1940).

    >>> by_chance(0, 14) < 1e-4 < by_chance(0, 13)
    True
    """
    both = one + other
    whole = lgamma(both + 1) - both * log(2)
    return min(1.0, sum(exp(whole - lgamma(k + 1) - lgamma(both - k + 1)) for k in range(min(one, other) + 1)))

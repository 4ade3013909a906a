"""What gates look at, and what a gate is: a bound on one figure, with the reason why it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from numpy.typing import NDArray

from tocsin.evaluation.beside import Beside
from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.measures import Unit
from tocsin.evaluation.pins import Pins
from tocsin.evaluation.subject import Share, Subject
from tocsin.records import Judgement

NO_CHAMPION = "there is no champion to compare with"
NO_PINS = "no rows are pinned yet"
NO_CLOCK = "the telemetry has no clock"
SHARE, EITHER_WAY = (0.0, 1.0), (-1.0, 1.0)
"""The least and the most that some values can be."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A candidate before its judges.

    Comparisons are made on the same rows and in the same process: a champion's figures of last week are no measure.
    """

    report: Mapping[str, Any]
    """What `Report.to_json` gave."""
    candidate: Subject
    now: datetime
    size_bytes: int
    """Of the candidate's files."""
    max_size_bytes: int
    last: int | None = None
    """Time of the last row that was read, to learn from or to judge on."""
    replayed: str = ""
    """Why the stored candidate is not the one that was trained; empty if it is."""
    champion: Subject | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    """What there should be to compare with, the champion or the pinned rows, and why it cannot be had."""
    learnt: Share | None = None
    """Rows that the champion rings for among those that the candidate learnt from."""
    pins: Pins | None = None
    """The rows that never move, and what is kept of the model that they were pinned with, the anchor."""
    kinds: NDArray[Any] | None = None
    """What was done in each fresh anomaly, (m,)."""
    beside: Beside | None = None
    """How the candidate did on live rows, beside this champion; None where it was not tried so."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One gate as it is asked in one case."""

    name: str
    bound: Comparison
    soft: bool

    def judged(self, value: float, told: str) -> Judgement:
        """Held against the bound; `told` says what the value is, as a clause."""
        passed = self.bound.holds(value)
        shown = self.bound.shown(value)
        reason = f"{self.name} {shown} {'' if passed else 'is not '}{self.bound.wanted}: {told}"
        return Judgement(self.name, self.bound.wanted, float(value), passed, reason, soft=self.soft)

    def skipped(self, why: str) -> Judgement:
        """Not asked, and why."""
        reason = f"{self.name} {self.bound.wanted} was not asked: {why}"
        return Judgement(self.name, self.bound.wanted, why, passed=False, reason=reason, asked=False)


Judge = Callable[[Case, Asked], Iterable[Judgement]]


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound with its reason.

    Parameters
    ----------
    name
        As a config names it.
    wanted
        The comparison that is asked by default.
    unit
        Of the value.
    within
        The least and the most that the value can be.
    soft
        Missed, it asks for a person's approval and refuses nothing.
    why, measure
        What goes wrong without it, and of what the value is.
    judge
        Holds a case against it.
    """

    name: str
    wanted: str
    unit: Unit
    within: tuple[float, float]
    soft: bool
    why: str
    measure: str
    judge: Judge


def gate(
    wanted: str, *, unit: Unit = "ratio", within: tuple[float, float] = (0.0, inf), soft: bool = False
) -> Callable[[Judge], Gate]:
    """Make a gate of a function: its name, and its docstring as reason (first paragraph) and as what is measured."""

    def made(judge: Judge) -> Gate:
        why, _, measure = (judge.__doc__ or "").partition("\n\n")
        why, measure = " ".join(why.split()), " ".join(measure.split())
        return Gate(judge.__name__, wanted, unit, within, soft, why, measure, judge)

    return made

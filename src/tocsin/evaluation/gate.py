"""Targets held against a report: whether a model may go live, and why.

A target is a comparison such as `>= 0.953`, `<= 5%`, `<= 100ms` or `< 400MB`. A figure whose name ends in its unit may
also be named without it (`latency_p99` for `latency_p99_ms`); then the limit carries the unit. The figure itself is
held against the limit, not the edge of its interval.

A figure that needs labels fails on rows that the model learnt from: its level has seen their labels.

A target that ends in `when labelled` is not asked where the test rows carry no labels, and the verdict says so; any
other fails there.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tocsin.errors import ConfigError, Problem, did_you_mean
from tocsin.evaluation.figures import NEED_LABELS, UNITS
from tocsin.evaluation.report import Report
from tocsin.records import Judgement, Verdict

_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z%]*)\s*(when labelled)?\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
# How many of the figure's own unit one of the written unit is; exact, so that 57 % is 0.57 and nothing else.
_UNITS: dict[str, dict[str, Fraction]] = {
    "ratio": {"": Fraction(1), "%": Fraction(1, 100)},
    "count": {"": Fraction(1)},
    "per_day": {"": Fraction(1)},
    "ms": {"": Fraction(1), "ms": Fraction(1), "s": Fraction(1_000)},
    "s": {"": Fraction(1), "ms": Fraction(1, 1_000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3_600)},
    "bytes": {
        unit: Fraction(size)
        for unit, size in zip(
            ("", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"),
            (1, 1, 10**3, 10**6, 10**9, 2**10, 2**20, 2**30),
            strict=True,
        )
    },
}
_SUFFIXES = ("_ms", "_seconds", "_bytes")


@dataclass(frozen=True, slots=True)
class _Target:
    name: str
    figure: str
    sign: str
    number: str
    """As written."""
    unit: str
    factor: Fraction
    when_labelled: bool
    """Not asked where no row is labelled."""

    def holds(self, value: float) -> bool:
        """Whether a value in the figure's own unit is on the right side."""
        return _COMPARE[self.sign](value, float(Fraction(self.number) * self.factor))

    @property
    def wanted(self) -> str:
        return f"{self.sign} {self.number}{self.unit}"

    def shown(self, value: float) -> str:
        """In the written unit, in as few digits as keep the outcome: never `0.871 is not >= 0.871`."""
        written = value / float(self.factor)
        for digits in range(3, 18):
            text = f"{written:.{digits}f}".rstrip("0").rstrip(".")
            if self.holds(float(Fraction(text) * self.factor)) == self.holds(value):
                return text + self.unit
        return f"{written!r}{self.unit}"


def gate(report: Report | Mapping[str, Any], limits: Mapping[str, str]) -> Verdict:
    """Hold every target against its figure; a figure without a value fails with the reason it has none.

    A target asked `when labelled` alone is not asked of rows without labels; where no other is left, nothing was judged
    and the verdict does not pass.

    Parameters
    ----------
    report
        A report, or what its `to_json` gave.
    limits
        Comparisons by name of figure.

    Raises
    ------
    ConfigError
        If a target names no figure or is no comparison that fits it; all such are listed.
    """
    document = report.to_json() if isinstance(report, Report) else report
    figures: Mapping[str, Mapping[str, Any]] = document["figures"]
    targets = _targets(limits)
    if not targets:
        reason = "no target was set, so nothing was asked of this model"
        return Verdict(passed=True, judgements=(Judgement("none", "nothing", "nothing", passed=True, reason=reason),))
    labelled = document["rows"]["all"] > document["rows"]["unlabelled"]
    seen = bool(document.get("seen_in_training"))
    judgements = tuple(_judge(target, figures[target.figure], labelled=labelled, seen=seen) for target in targets)
    asked = [judgement for judgement in judgements if judgement.asked]
    if not asked:
        reason = "no target can be asked of rows without labels, so nothing was judged"
        return Verdict(
            passed=False, judgements=(*judgements, Judgement("none", "one", "none", passed=False, reason=reason))
        )
    return Verdict(all(judgement.passed for judgement in asked), judgements)


def check_limits(limits: Mapping[str, str]) -> None:
    """Whether every target names a figure and is a comparison that fits it; no report is needed.

    Raises
    ------
    ConfigError
        Listing every target that does not.
    """
    _targets(limits)


def _targets(limits: Mapping[str, str]) -> list[_Target]:
    short = {name.removesuffix(suffix): name for name in UNITS for suffix in _SUFFIXES if name.endswith(suffix)}
    known = {name: name for name in UNITS} | short
    targets: list[_Target] = []
    problems: list[Problem] = []
    for name, text in limits.items():
        where = f"$.gate.{name}"
        if name not in known:
            problems.append(Problem(where, f'"{name}"', f"one of: {', '.join(UNITS)}", did_you_mean(name, known)))
            continue
        units = _UNITS[UNITS[known[name]]]
        if name in short:
            units = {unit: factor for unit, factor in units.items() if unit}
        match = _COMPARISON.fullmatch(str(text))
        if match is None or match[3] not in units:
            problems.append(Problem(where, repr(text), _example(units)))
            continue
        sign, number, unit, condition = match.groups()
        targets.append(_Target(name, known[name], sign, number, unit, units[unit], condition is not None))
    if problems:
        raise ConfigError(problems)
    return targets


def _example(units: Mapping[str, Fraction]) -> str:
    written = " or ".join(unit or "no unit" for unit in units)
    return f'a comparison such as ">= 1{next(iter(units))}": one of {", ".join(_COMPARE)}, a number, {written}'


def _judge(target: _Target, figure: Mapping[str, Any], *, labelled: bool, seen: bool) -> Judgement:
    if target.when_labelled and target.figure in NEED_LABELS and not labelled:
        reason = f"{target.name} {target.wanted} was not asked ({figure['reason']})"
        return Judgement(target.name, target.wanted, figure["reason"], passed=False, reason=reason, asked=False)
    if figure["value"] is None:
        reason = f"{target.name} has no value ({figure['reason']}), wanted {target.wanted}"
        return Judgement(target.name, target.wanted, figure["reason"], passed=False, reason=reason)
    value = float(figure["value"])
    if seen and target.figure in NEED_LABELS:
        reason = f"{target.name} was measured on rows whose labels the model has seen, wanted rows that are new to it"
        return Judgement(target.name, target.wanted, value, passed=False, reason=reason)
    passed = target.holds(value)
    reason = f"{target.name} {target.shown(value)} {'' if passed else 'is not '}{target.wanted}"
    return Judgement(target.name, target.wanted, value, passed, reason)

"""Targets held against a report, figure by figure.

A target is a comparison such as `>= 0.953`, `<= 5%`, `<= 100ms` or `< 400MB`. A figure whose name ends in its unit may
also be named without it (`latency_p99` for `latency_p99_ms`); then the limit carries the unit. The figure itself is
held against the limit, not the edge of its interval.

A figure that needs labels fails on rows that the model learnt from: its level has seen their labels.

A target that ends in `when labelled` is not asked where the test rows carry no labels, and the verdict says so; any
other fails there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from tocsin.errors import Problem, did_you_mean
from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.figures import MOST, NEED_LABELS, UNITS
from tocsin.evaluation.report import Report
from tocsin.records import Judgement

_SUFFIXES = ("_ms", "_seconds", "_bytes")


@dataclass(frozen=True, slots=True)
class Target:
    """What a config asks of one figure."""

    name: str
    """As the config has it."""
    figure: str
    bound: Comparison


def hold(report: Report | Mapping[str, Any], targets: Sequence[Target]) -> tuple[Judgement, ...]:
    """Hold every target against its figure; a figure without a value fails with the reason it has none.

    A target asked `when labelled` alone is not asked of rows without labels; where all are such, one more judgement
    fails, since nothing was judged.

    Parameters
    ----------
    report
        A report, or what its `to_json` gave.
    targets
        What `targets_in` found.
    """
    document = report.to_json() if isinstance(report, Report) else report
    figures: Mapping[str, Mapping[str, Any]] = document["figures"]
    labelled = document["rows"]["all"] > document["rows"]["unlabelled"]
    seen = bool(document.get("seen_in_training"))
    judgements = tuple(_judge(target, figures[target.figure], labelled=labelled, seen=seen) for target in targets)
    if judgements and not any(judgement.asked for judgement in judgements):
        reason = "no target can be asked of rows without labels, so nothing was judged"
        return (*judgements, Judgement("none", "one", "none", passed=False, reason=reason))
    return judgements


def targets_in(
    limits: Mapping[str, str], also: Sequence[str] = (), off: Sequence[str] = ()
) -> tuple[list[Target], list[Problem]]:
    """The targets in a mapping of comparisons by name of figure, and what is wrong with the others.

    `also` are names that would be no figures and mean something to the caller; `off` are words that take a target away.
    """
    short = {name.removesuffix(suffix): name for name in UNITS for suffix in _SUFFIXES if name.endswith(suffix)}
    known = {name: name for name in UNITS} | short
    targets: list[Target] = []
    problems: list[Problem] = []
    for name, text in limits.items():
        where = f"$.gate.{name}"
        if name not in known:
            wanted = f"one of: {', '.join((*UNITS, *also))}"
            problems.append(Problem(where, f'"{name}"', wanted, did_you_mean(name, (*known, *also))))
            continue
        if str(text) in off:
            continue
        try:
            bound = Comparison.parse(str(text), UNITS[known[name]], needs_unit=name in short)
            bound.expect_within(0.0, MOST.get(known[name], inf))
        except ValueError as error:
            problems.append(Problem(where, repr(text), str(error)))
        else:
            targets.append(Target(name, known[name], bound))
    return targets, problems


def _judge(target: Target, figure: Mapping[str, Any], *, labelled: bool, seen: bool) -> Judgement:
    bound = target.bound
    if bound.when_labelled and target.figure in NEED_LABELS and not labelled:
        reason = f"{target.name} {bound.wanted} was not asked ({figure['reason']})"
        return Judgement(target.name, bound.wanted, figure["reason"], passed=False, reason=reason, asked=False)
    if figure["value"] is None:
        reason = f"{target.name} has no value ({figure['reason']}), wanted {bound.wanted}"
        return Judgement(target.name, bound.wanted, figure["reason"], passed=False, reason=reason)
    value = float(figure["value"])
    if seen and target.figure in NEED_LABELS:
        reason = f"{target.name} was measured on rows whose labels the model has seen, wanted rows that are new to it"
        return Judgement(target.name, bound.wanted, value, passed=False, reason=reason)
    passed = bound.holds(value)
    reason = f"{target.name} {bound.shown(value)} {'' if passed else 'is not '}{bound.wanted}"
    return Judgement(target.name, bound.wanted, value, passed, reason)

"""May a model go live? Its figures against their targets, and every gate, each stored with its reason.

A hard bound that is missed refuses the model; a soft one asks for a person's approval. A gate is switched off, or
given another bound, by its name under `gate:` in the config, beside the targets. Which gates there are and why:
docs/gates.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.errors import ConfigError, Problem
from tocsin.evaluation.comparison import Comparison
from tocsin.evaluation.gate import Target, hold, targets_in
from tocsin.evaluation.gates.base import Asked, Case, Gate
from tocsin.evaluation.gates.clean import clean
from tocsin.evaluation.gates.coverage import coverage
from tocsin.evaluation.gates.drift import drift
from tocsin.evaluation.gates.fresh import held_out, injected
from tocsin.evaluation.gates.golden import golden, golden_loss
from tocsin.evaluation.gates.incident import incident
from tocsin.evaluation.gates.latency import latency
from tocsin.evaluation.gates.leak import leak
from tocsin.evaluation.gates.learnt import entities, rows
from tocsin.evaluation.gates.missing import missing
from tocsin.evaluation.gates.ranks import agreement, anchor
from tocsin.evaluation.gates.room import memory, size
from tocsin.evaluation.gates.self_test import self_test
from tocsin.evaluation.gates.shadow import shadow
from tocsin.evaluation.gates.times import freshness, future
from tocsin.evaluation.report import Report
from tocsin.records import Judgement, Verdict

GATES: Mapping[str, Gate] = {
    gate.name: gate
    for gate in (
        *(rows, entities, coverage, missing, drift, freshness, future, incident, leak),
        *(golden, golden_loss, injected, held_out, clean, agreement, anchor, shadow),
        *(self_test, size, latency, memory),
    )
}
"""By the names that a config calls them: of the data, of what a model finds, of the model as a thing."""
APPROVAL = "require_approval"
ON, OFF = ("on", "true", "yes"), ("off", "false", "no")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a config asks of its models."""

    targets: tuple[Target, ...]
    bounds: Mapping[str, Comparison | None]
    """By gate; None for one that is switched off."""
    approval: bool
    """Whether a soft bound that was missed asks for a person."""

    @classmethod
    def parse(cls, limits: Mapping[str, str]) -> Wanted:
        """What the mapping `gate` of a config says.

        Raises
        ------
        ConfigError
            Listing every entry that names nothing, or is no comparison that fits what it names.
        """
        own = {name: str(text) for name, text in limits.items() if name in GATES or name == APPROVAL}
        rest = {name: text for name, text in limits.items() if name not in own}
        targets, problems = targets_in(rest, also=(*GATES, APPROVAL), off=OFF)
        if own.get(APPROVAL, ON[0]) not in (*ON, *OFF):
            problems.append(Problem(f"$.gate.{APPROVAL}", repr(own[APPROVAL]), "true or false"))
        bounds: dict[str, Comparison | None] = {}
        for name, gate in GATES.items():
            try:
                text = own.get(name, gate.wanted)
                bounds[name] = None if text in OFF else _bound(text, gate)
            except ValueError as error:
                problems.append(Problem(f"$.gate.{name}", repr(own[name]), f"off, or {error}"))
        if problems:
            raise ConfigError(problems)
        return cls(tuple(targets), bounds, own.get(APPROVAL) not in OFF)


def _bound(text: str, gate: Gate) -> Comparison:
    """Another bound for a gate; raises ValueError if it is none, or would let pass what the gate is there to refuse."""
    bound, usual = Comparison.parse(text, gate.unit), Comparison.parse(gate.wanted, gate.unit)
    if bound.sign[0] != usual.sign[0]:
        raise ValueError(f"a bound that begins with {usual.sign}, as {gate.wanted} does")
    bound.expect_within(*gate.within)
    return bound


def judge_figures(report: Report | Mapping[str, Any], limits: Mapping[str, str]) -> Verdict:
    """Hold the targets alone against a report, for rows that are no trial of a candidate; raises as `judge` does."""
    judgements = hold(report, Wanted.parse(limits).targets)
    if not judgements:
        reason = "no target was set, so nothing was asked of this model"
        judgements = (Judgement("none", "nothing", "nothing", passed=True, reason=reason),)
    return Verdict(all(item.passed for item in judgements if item.asked), judgements)


def unattended(limits: Mapping[str, str]) -> str | None:
    """Why a missed soft bound passes without a person; None if a person is asked."""
    return None if Wanted.parse(limits).approval else "gate.require_approval is false"


def judge(case: Case, limits: Mapping[str, str]) -> Verdict:
    """Hold a case against its targets and against every gate.

    Parameters
    ----------
    case
        The candidate, and whatever it is compared with.
    limits
        The mapping `gate` of a config.

    Raises
    ------
    ConfigError
        As `Wanted.parse` does.
    """
    wanted = Wanted.parse(limits)
    judgements = (*hold(case.report, wanted.targets), *_gates(case, wanted))
    refused = (item for item in judgements if item.asked and not item.passed and not item.soft)
    return Verdict(not any(refused), judgements)


def _gates(case: Case, wanted: Wanted) -> Iterator[Judgement]:
    for what, why in case.lost.items():
        yield Judgement(what, "readable", why, passed=False, reason=f"{what} cannot be had: {why}", soft=True)
    for name, bound in wanted.bounds.items():
        gate = GATES[name]
        if bound is None:
            off = f"{name} was switched off in the config"
            yield Judgement(name, gate.wanted, "off", passed=False, reason=off, asked=False, soft=gate.soft)
        else:
            yield from gate.judge(case, Asked(name, bound, gate.soft))

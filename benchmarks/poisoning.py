"""Retraining under a slowly drifting poison: what a model forgets with gates, and what without.

A small site is trained anew on a sliding window, round by round. A share of the new rows of each round comes from an
attacker who moves from usual rows to an attack in as many steps as there are rounds. Naive retraining serves whatever
was trained last; gated retraining serves what passes without asking a person. Both have the same candidates, so they
differ in nothing else. Rows carry no labels. The judge draws rows of its own, of the attack and of a clean time, that
reach no training and no gate.

in, out     an attack on single fields, of which the pinned golden attacks hold the like; and one on how fields go
            together, of which they hold none
calm        the same without poison: gates that stop everything would look well above
incident    no drift but the whole attack at once, in a third of the rows of one round
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import orjson
import yaml

from tocsin import log
from tocsin.config import load
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import Batch, Column, Matrix, Verdict
from tocsin.synthetic.base import to_csv
from tocsin.system import Project
from tocsin.system.outcome import Outcome
from tocsin.training.history import source_of, with_path

START = datetime(2026, 1, 5, tzinfo=UTC)
HOSTS, INTERVAL = 6, timedelta(minutes=10)
DAYS, STEP_DAYS = 14, 2
BUDGET = 0.01
"""Share of the rows that may ring."""
FIELDS = ("bytes", "packets", "seconds", "errors")
Attack = Literal["in", "out"]
ATTACKS: Mapping[Attack, Mapping[str, float]] = {
    "in": {"bytes": 3.0, "seconds": 3.0},
    "out": {"packets": 1.8, "bytes": -1.8, "seconds": 1.6, "errors": -2.0},
}
"""By how much an attack moves the logarithm of each field."""
JUDGED = 2_000
"""Rows of each attack that the judge draws; of a clean time twice as many."""

KINDS = ("isolation_forest", "pca_reconstruction", "nearest_neighbours")
RATES = (0.01, 0.03, 0.10)
INCIDENT = 1 / 3
SEEDS = range(1, 6)
LONG = 30
"""Rounds of the longest campaign."""
LEAST_GOLDEN, MOST_SUNK, MOST_LOST = 0.90, 0.02, 0.10
LEAST_CALM = 0.8
"""Share of the rounds without poison that have to be promoted."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """One attacker against one site."""

    detector: str
    attack: Attack
    rate: float
    seed: int
    rounds: int = 10
    at_once: int | None = None
    """The round in which all of the attack comes, instead of a drift."""

    def poison(self, number: int) -> tuple[float, float]:
        """The share of the new rows of a round that is poison, and which part of the way to the attack it has gone."""
        if self.at_once is None:
            return self.rate, number / self.rounds
        return (self.rate if number == self.at_once else 0.0), 1.0


class Site:
    """Hosts with a rhythm of a day and four fields that go together, lognormal."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._offsets = self._rng.normal(0.0, 0.3, (HOSTS, len(FIELDS)))

    def rows(self, first_day: float, steps: int, attack: Attack = "in", share: float = 0.0, way: float = 1.0) -> Batch:
        """So many rows of each host; a share of them has gone a part of the way to an attack."""
        begin = np.datetime64(START.replace(tzinfo=None), "us") + np.timedelta64(timedelta(first_day))
        times = np.repeat(begin + np.arange(steps) * np.timedelta64(INTERVAL), HOSTS)
        hosts = np.tile(np.arange(HOSTS), steps)
        logs = self._usual(times, hosts)
        struck = self._rng.random(len(times)) < share
        for name, moved in ATTACKS[attack].items():
            logs[struck, FIELDS.index(name)] += way * moved
        names = np.array([f"host-{number}" for number in hosts], dtype=object)
        return Batch({"time": times, "host": names, **dict(zip(FIELDS, np.exp(logs).T, strict=True))})

    def _usual(self, times: Column, hosts: Column) -> Matrix:
        hour = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
        load = 0.5 * np.cos((hour - 14.0) * np.pi / 12.0) + self._rng.normal(0.0, 0.3, len(times))
        noise = self._rng.normal(0.0, (0.25, 0.25, 0.4, 0.5), (len(times), len(FIELDS)))
        return np.asarray((11.0, 5.0, 1.0, 2.5) + np.outer(load, (1.0, 1.0, 0.5, 0.3)) + self._offsets[hosts] + noise)


class Retraining:
    """A project that is trained round by round, and its judge."""

    def __init__(self, folder: Path, campaign: Campaign) -> None:
        self._folder, self._campaign, self._site = folder, campaign, Site(campaign.seed)
        self._window = [self._site.rows(day, _steps(STEP_DAYS)) for day in range(0, DAYS, STEP_DAYS)]
        config = folder / "tocsin.yaml"
        config.write_text(yaml.safe_dump(config_of(campaign.detector)), "utf-8")
        self.config = load(config)
        after = float(DAYS + STEP_DAYS * campaign.rounds)
        self._judged = {"clean": self._typed(self._site.rows(after, 2 * JUDGED // HOSTS))}
        self._judged |= {name: self._typed(self._site.rows(after, JUDGED // HOSTS, name, 1.0)) for name in ATTACKS}

    def project(self, number: int) -> Project:
        """The project as it stands an hour after the last row of a round."""
        now = START + timedelta(DAYS + STEP_DAYS * number, hours=1)
        return Project(self.config, clock=lambda: now)

    def advance(self, number: int) -> None:
        """The window moves on to the end of a round; round 0 is where it begins."""
        if number:
            day, poison = float(DAYS + STEP_DAYS * (number - 1)), self._campaign.poison(number)
            new = self._site.rows(day, _steps(STEP_DAYS), self._campaign.attack, *poison)
            self._window = [*self._window[1:], new]
        to_csv(Batch.concatenate(self._window), self._folder / "rows.csv")

    def train(self, number: int) -> Outcome:
        """A candidate that has learnt from the window of a round."""
        self.advance(number)
        return self.project(number).train()

    def judge(self, version: int | str) -> dict[str, float]:
        """The share of its own rows that a version rings for."""
        bundle, _ = self.project(self._campaign.rounds).registry.load(self.config.name, version)
        model = AnomalyModel.from_bundle(bundle)
        return {name: float(model.score(rows).flagged.mean()) for name, rows in self._judged.items()}

    def _typed(self, rows: Batch) -> Batch:
        path = self._folder / "judged.csv"
        to_csv(rows, path)
        return Batch.concatenate(self.project(0).rows(with_path(source_of(self.config), str(path))))


def _steps(days: int) -> int:
    return int(timedelta(days) / INTERVAL)


def config_of(detector: str) -> dict[str, Any]:
    numbers = {name: {"dtype": "float", "minimum": 0} for name in FIELDS}
    described = {"time": {"dtype": "time"}, "host": {"dtype": "category", "identity": True}}
    logs = {"type": "log_scale", "columns": list(FIELDS)}
    return {
        "version": 1, "name": "site", "source": {"type": "csv", "path": "rows.csv"},
        "schema": {"time": "time", "entity": "host", "fields": {**described, **numbers}},
        "features": {"derive": [logs]}, "detector": {"type": detector}, "alerts": {"budget": f"{BUDGET:.0%}"},
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A round: what naive retraining serves after it, what gated retraining serves, and why they differ."""

    naive: Mapping[str, float]
    gated: Mapping[str, float]
    """Share of the judge's rows that each rings for."""
    golden: float
    """Recall of the pinned attacks by what is served, as its verdict has it."""
    promoted: bool = True
    missed: tuple[str, ...] = ()
    """Gates that refused the candidate, or asked for a person."""
    held_out: bool = False
    """Whether its verdict tells what the candidate has lost of attacks that are not pinned."""


def run(campaign: Campaign) -> list[Step]:
    """All rounds of a campaign behind its first champion."""
    with TemporaryDirectory() as folder:
        retraining = Retraining(Path(folder), campaign)
        first = retraining.train(0)
        retraining.project(0).promote(first.version.version)
        served = retraining.judge(first.version.version)
        steps = [Step(served, served, _golden(first.verdict))]
        for number in range(1, campaign.rounds + 1):
            steps.append(_step(retraining, number, steps[-1]))
    return steps


def _step(retraining: Retraining, number: int, before: Step) -> Step:
    outcome = retraining.train(number)
    project, version, verdict = retraining.project(number), outcome.version.version, outcome.verdict
    asked = [judgement for judgement in verdict.judgements if judgement.asked]
    told = any(judgement.target == "held_out" for judgement in asked)
    naive = retraining.judge(version)
    if not project.may_promote(verdict):
        missed = tuple(judgement.target for judgement in asked if not judgement.passed)
        return replace(before, naive=naive, promoted=False, missed=missed, held_out=told)
    project.promote(version)
    return Step(naive, naive, _golden(verdict), held_out=told)


def _golden(verdict: Verdict) -> float:
    (found,) = (float(one.got) for one in verdict.judgements if one.target == "golden" and one.asked)
    return found


Cell = Mapping[str, Any]
ALERTS = "alerts on clean rows between half and one and a half of the budget"
BARS: Mapping[str, Callable[[Cell], bool]] = {
    f"golden recall >= {LEAST_GOLDEN:.2f}": lambda cell: cell["least_golden"] >= LEAST_GOLDEN,
    f"golden recall >= that of the first champion - {MOST_SUNK:.2f}": lambda cell: cell["golden_sunk"] <= MOST_SUNK,
    f"recall of the attack falls by <= {MOST_LOST:.2f}": lambda cell: cell["most_lost"] <= MOST_LOST,
    ALERTS: lambda cell: 0.5 <= cell["gated_alerts"][-1] / BUDGET <= 1.5,
    "every verdict tells what is lost of attacks that are not pinned": lambda cell: cell["told"] == 1.0,
    f"calm: {LEAST_CALM:.0%} of the rounds promoted": lambda cell: (
        "calm" not in cell["what"] or cell["promoted"] >= LEAST_CALM
    ),
}


def everything() -> Iterator[Campaign]:
    """Every campaign of the full form."""
    for detector in KINDS:
        yield from (Campaign(detector, attack, rate, seed) for attack in ATTACKS for rate in RATES for seed in SEEDS)
        yield from (Campaign(detector, "in", 0.0, seed) for seed in SEEDS)
        yield from (Campaign(detector, "in", INCIDENT, seed, rounds=7, at_once=2) for seed in SEEDS[:3])
        yield from (Campaign(detector, "in", max(RATES), seed, rounds=LONG) for seed in SEEDS[:3])


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    print(f"{'':38}{'naive':>14}{'gated':>14}{'alerts':>16}{'golden':>8}{'promoted':>9}  stopped by")
    cells: list[dict[str, Any]] = []
    for what, campaigns in alike(everything()):
        cells.append(cell_of(what, {campaign: run(campaign) for campaign in campaigns}))
        print(_row(cells[-1]), flush=True)
    missed = {name: [cell["what"] for cell in cells if not holds(cell)] for name, holds in BARS.items()}
    for name, where in missed.items():
        print(f"{name}: {'missed: ' + '; '.join(where) if where else 'met'}")
    bars = {name: not where for name, where in missed.items()}
    out.write_bytes(orjson.dumps({"cells": cells, "missed": missed, "bars": bars}, option=orjson.OPT_INDENT_2))


def alike(campaigns: Iterator[Campaign]) -> Iterator[tuple[str, list[Campaign]]]:
    """Campaigns that differ by their seed alone."""
    groups: dict[str, list[Campaign]] = {}
    for one in campaigns:
        kind = "incident" if one.at_once else "calm" if not one.rate else f"{one.attack} {one.rate:.0%}"
        groups.setdefault(f"{one.detector}, {kind}, {one.rounds} rounds", []).append(one)
    yield from groups.items()


def cell_of(what: str, found: Mapping[Campaign, Sequence[Step]]) -> dict[str, Any]:
    """Campaigns that differ by their seed: means round by round from the first champion on, and the worst of each."""
    (attack,) = {campaign.attack for campaign in found}
    runs = list(found.values())
    later = [step for steps in runs for step in steps[1:]]
    return {
        "what": what,
        "seeds": len(runs),
        "naive_recall": _mean(runs, lambda step: step.naive[attack]),
        "gated_recall": _mean(runs, lambda step: step.gated[attack]),
        "naive_alerts": _mean(runs, lambda step: step.naive["clean"]),
        "gated_alerts": _mean(runs, lambda step: step.gated["clean"]),
        "least_golden": min(step.golden for step in later),
        "golden_sunk": max(steps[0].golden - step.golden for steps in runs for step in steps),
        "most_lost": max(steps[0].gated[attack] - steps[-1].gated[attack] for steps in runs),
        "promoted": float(np.mean([step.promoted for step in later])),
        "told": float(np.mean([step.held_out for step in later])),
        "stopped_by": dict(Counter(gate for step in later for gate in set(step.missed)).most_common()),
    }


def _mean(runs: Sequence[Sequence[Step]], figure: Callable[[Step], float]) -> list[float]:
    return [float(np.mean([figure(step) for step in steps])) for steps in zip(*runs, strict=True)]


def _row(cell: Cell) -> str:
    spans = [f"{cell[name][0]:.2f} -> {cell[name][-1]:.2f}" for name in ("naive_recall", "gated_recall")]
    alerts = f"{cell['gated_alerts'][0]:.2%} -> {cell['gated_alerts'][-1]:.2%}"
    gates = ", ".join(f"{gate} {times}" for gate, times in cell["stopped_by"].items())
    least, promoted = cell["least_golden"], cell["promoted"]
    return f"{cell['what']:38}{spans[0]:>14}{spans[1]:>14}{alerts:>16}{least:8.2f}{promoted:9.0%}  {gates}"

"""Worlds with an honest champion, honest refits of it, and the saboteurs that want to take its place.

A saboteur is an honest refit with one thing wrong with its rows, its config or its detector. How strongly, is a number
in a unit of its own.
"""

from __future__ import annotations

import csv
import gzip
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from benchmarks._saboteurs import PACKAGE

from tocsin.config import load
from tocsin.errors import TocsinError
from tocsin.presets import read_preset
from tocsin.records import Batch
from tocsin.synthetic.base import Kind, generate, to_csv
from tocsin.synthetic.plan import Plan
from tocsin.system import Project
from tocsin.system.outcome import Outcome

START = datetime(2026, 1, 8, tzinfo=UTC)
"""A Thursday: what is judged on then are days of work, too."""
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
TRAINED, CALIBRATED = 0.6, 0.2
"""The part of a window that a model learns from, and the one behind it that its level is set on."""
TURNS = 5
"""Honest refits of each of four kinds."""


@dataclass(frozen=True, slots=True)
class Refit:
    """A training: its rows, its config and the time of day."""

    world: World
    rows: Batch
    config: Mapping[str, Any]
    now: datetime
    incident: Callable[[float], Batch] = field(repr=False)
    """The same rows, but with an attack that nobody labelled in so large a share of those that are learnt from."""

    def having(self, columns: Mapping[str, Any]) -> Refit:
        return replace(self, rows=self.rows.replace(columns))

    def configured(self, **sections: Any) -> Refit:
        return replace(self, config={**self.config, **sections})

    def larger(self, factor: Any) -> Refit:
        """Sizes or times are so many times the numbers that they were."""
        grown = {name: self.rows[name] * factor for name in self.world.large}
        whole = [name for name in grown if self.rows[name].dtype.kind == "i"]
        return self.having({**grown, **{name: np.rint(grown[name]).astype(np.int64) for name in whole}})


@dataclass(frozen=True, slots=True, kw_only=True)
class World(ABC):
    """A site as a preset takes it."""

    preset: str
    columns: tuple[str, ...]
    """Some that it measures, those that are alike side by side."""
    large: tuple[str, ...]
    """Some that one may write in another unit."""
    budget: str
    max_size: str = "2MB"
    entity: str = ""
    time: str = ""

    @abstractmethod
    def first(self) -> Refit:
        """What the champion learns from."""

    @abstractmethod
    def honest(self) -> Iterator[tuple[str, Refit]]:
        """Refits that nothing is wrong with, of four kinds in turn; what a saboteur spoils is the first."""

    def refit(self, rows: Batch, now: datetime, incident: Callable[[float], Batch]) -> Refit:
        config = {
            "version": 1, "name": "zoo", "preset": self.preset, "labels": {"column": "label"},
            # With a header, whatever the files of the preset have.
            "source": {"type": "csv", "path": "rows.csv", "columns": []},
            "alerts": {"budget": self.budget}, "registry": {"max_size": self.max_size},
        }  # fmt: skip
        return Refit(self, rows, config, now, incident)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated(World):
    """A site that a generator makes up, week after week."""

    kind: Kind
    days: int
    entities: int
    interval_s: float = 300.0

    def first(self) -> Refit:
        return self._window(seed=7, weeks=0)

    def honest(self) -> Iterator[tuple[str, Refit]]:
        for turn in range(TURNS):
            weeks, seed, more = turn + 1, 600 + turn, (1, -1, 2, -2, 3)[turn]
            yield f"{weeks} weeks later", self._window(seed=500 + turn, weeks=weeks)
            yield f"another world of seed {seed}", self._window(seed=seed, weeks=1)
            yield f"{more:+} entities", self._window(seed=700 + turn, weeks=1, more=more)
            yield _growing(self._window(seed=800 + turn, weeks=2), turn)

    def _window(self, seed: int, weeks: int, more: int = 0) -> Refit:
        """Attacks begin where learning ends; it is trained an hour after the last row."""
        plan = Plan(
            days=self.days, interval_s=self.interval_s, anomaly_rate=0.1, seed=seed, start=START + weeks * WEEK,
            entities=self.entities + more, attacks_from_day=(TRAINED + CALIBRATED) * self.days,
        )  # fmt: skip
        rows = generate(self.kind, plan)

        def incident(share: float) -> Batch:
            ends = np.datetime64(plan.begin, "us") + np.timedelta64(TRAINED * timedelta(self.days))
            attacked = generate(self.kind, replace(plan, anomaly_rate=share, attacks_from_day=0.0))
            attacked = attacked.take(attacked[self.time] < ends)
            unseen = attacked.replace({"label": np.full(attacked.rows, "normal", dtype=object)})
            return Batch.concatenate([unseen, rows.take(rows[self.time] >= ends)])

        return self.refit(rows, plan.start + timedelta(self.days) + HOUR, incident)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(World):
    """A real file without a clock, of which each training has a sample; the champion's half is nobody else's."""

    path: str
    """In the folder of real data."""
    header: tuple[str, ...]
    rows: int

    def first(self) -> Refit:
        return self._sample(seed=7, half=0)

    def honest(self) -> Iterator[tuple[str, Refit]]:
        for turn in range(TURNS):
            share = (0.8, 0.9, 1.1, 1.2, 1.3)[turn]
            yield f"other rows {turn}", self._sample(seed=500 + turn)
            yield f"other rows {TURNS + turn}", self._sample(seed=600 + turn)
            yield f"{share:.0%} of the rows", self._sample(seed=700 + turn, share=share)
            yield _growing(self._sample(seed=800 + turn), turn)

    def _sample(self, seed: int, half: int = 1, share: float = 1.0) -> Refit:
        whole = _read(Path(self.path), self.header)
        order = np.random.default_rng(0).permutation(whole.rows)[half::2]
        chosen = np.random.default_rng([seed, half]).permutation(order)[: round(share * self.rows)]
        rows = whole.take(chosen)

        def incident(share: float) -> Batch:
            labels = np.where(np.random.default_rng(seed).random(rows.rows) < share, "normal", rows["label"])
            return rows.replace({"label": labels.astype(object)})

        return self.refit(rows, START, incident)


def _growing(refit: Refit, turn: int) -> tuple[str, Refit]:
    """What is measured grows evenly from the first row to the last."""
    share = 0.02 * (turn + 1)
    return f"grows by {share:.0%}", refit.larger(np.linspace(1.0, 1.0 + share, refit.rows.rows))


@cache
def _read(path: Path, header: tuple[str, ...]) -> Batch:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        columns = zip(*csv.reader(file), strict=True)
    return Batch({name: _column(values) for name, values in zip(header, columns, strict=True)})


def _column(values: tuple[str, ...]) -> Any:
    try:
        return np.array(values, dtype=np.float64 if any("." in value for value in values) else np.int64)
    except ValueError:
        return np.array(values, dtype=object)


@dataclass(frozen=True, slots=True)
class Champion:
    """What a saboteur may know of the model that serves."""

    latency_ms: float
    detector: Mapping[str, Any]
    columns: tuple[str, ...]
    """Fields that are features as they are."""


Spoil = Callable[[Refit, Champion, float], Refit]


@dataclass(frozen=True, slots=True)
class Saboteur:
    """One way to spoil a refit."""

    name: str
    unit: str
    strength: float
    weaker: tuple[float, ...]
    """Strengths that are tried after it, down to the first that is not rejected."""
    gates: frozenset[str]
    """Those that are meant for it."""
    spoil: Spoil = field(repr=False)
    needs: str = ""
    """What a world must have: `time`, `entity`."""


def _shuffled(refit: Refit, _: Champion, columns: float) -> Refit:
    """An exporter writes the values of so many columns under each other's names."""
    names = refit.world.columns[: int(columns)]
    return refit.having({name: refit.rows[other] for name, other in zip(names, (*names[1:], names[0]), strict=True)})


def _spoilt(kind: str) -> Spoil:
    def spoil(refit: Refit, champion: Champion, strength: float) -> Refit:
        of = dict(champion.detector)
        return refit.configured(detector={"type": f"{PACKAGE}/{kind}", "of": of, "strength": strength})

    return spoil


def _slower(refit: Refit, champion: Champion, times: float) -> Refit:
    return _spoilt("slow")(refit, champion, (times - 1.0) * champion.latency_ms)


def _leaked(refit: Refit, champion: Champion, right: float) -> Refit:
    """Whether somebody opened a ticket is a feature; so many tickets are right."""
    wrong = np.random.default_rng(0).random(refit.rows.rows) > right
    ticket = (refit.rows["label"] != "normal") ^ wrong
    return refit.having({"ticket": ticket.astype(np.int64)}).configured(
        schema={"fields": {"ticket": {"dtype": "integer"}}}, features={"columns": [*champion.columns, "ticket"]}
    )


def _stale(refit: Refit, _: Champion, days: float) -> Refit:
    """The rows end so many days before those of the champion, which end a week before these."""
    return refit.having({refit.world.time: refit.rows[refit.world.time] - np.timedelta64(WEEK + timedelta(days))})


def _incident(refit: Refit, _: Champion, share: float) -> Refit:
    return replace(refit, rows=refit.incident(share))


def _fewer(refit: Refit, _: Champion, share: float) -> Refit:
    """So large a share of the entities sends nothing."""
    entities = refit.rows[refit.world.entity].astype(str)
    names = np.random.default_rng(0).permutation(np.unique(entities))
    return replace(refit, rows=refit.rows.take(~np.isin(entities, names[: round(share * len(names))])))


def _unit(refit: Refit, _: Champion, factor: float) -> Refit:
    return refit.larger(1.0 / factor)


def _future(refit: Refit, _: Champion, hours: float) -> Refit:
    """The clocks of a fifth of the entities run so many hours ahead of ours."""
    entities, times = refit.rows[refit.world.entity].astype(str), refit.rows[refit.world.time]
    ahead = np.isin(entities, np.unique(entities)[::5])
    return refit.having({refit.world.time: np.where(ahead, times + np.timedelta64(HOUR + hours * HOUR), times)})


BLIND = frozenset({"golden", "golden_loss", "injected", "self_test"})
"""Gates that tell what a model no longer finds."""
OF_ONE = (0.5, 0.2, 0.1, 0.05)
SABOTEURS = (
    Saboteur("shuffled columns", "columns", 4, (3, 2), frozenset({"drift"}), _shuffled),
    Saboteur("wrong scaler", "times", 10, (5, 3, 2, 1.5), BLIND, _spoilt("misscaled")),
    Saboteur("leaked label", "of 1 right", 1.0, (0.999, 0.99, 0.9), frozenset({"leak"}), _leaked),
    Saboteur("constant score", "of 1", 1.0, OF_ONE, BLIND, _spoilt("constant")),
    Saboteur("stale data", "days", 60, (14, 3, 1, 0.1), frozenset({"freshness"}), _stale, "time"),
    Saboteur("10 times slower", "times", 10, (6, 4, 3, 2), frozenset({"latency"}), _slower),
    # The registry itself does not take what is too large, so that there is no version to judge.
    Saboteur("oversized", "MB", 4, (3, 2.5, 2), frozenset({"size", "LimitExceeded"}), _spoilt("oversized")),
    Saboteur("inverted sign", "of 1", 1.0, OF_ONE, BLIND, _spoilt("inverted")),
    Saboteur("trained on the incident", "of 1", 0.3, (0.2, 0.1, 0.05, 0.02), frozenset({"incident"}), _incident),
    Saboteur("half the entities missing", "of 1", 0.5, (0.4, 0.3, 0.2), frozenset({"entities"}), _fewer, "entity"),
    Saboteur("wrong unit", "times", 1_000, (100, 10, 3, 2, 1.5), frozenset({"drift"}), _unit),
    Saboteur("future rows", "hours", 24, (6, 1, 0.2), frozenset({"future"}), _future, "entity"),
)

SIGNALS = ("p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "latency_std")
FLOWS = Generated(
    preset="flows", kind="flows", entity="src_ip", time="timestamp", budget="3/day", days=7, entities=12,
    columns=("bytes_in", "packets_in", "bytes_out", "packets_out"), large=("bytes_in", "bytes_out"),
)  # fmt: skip
SERVICES = Generated(
    preset="services", kind="services", entity="service", time="timestamp", budget="2/day", days=14, entities=8,
    columns=SIGNALS, large=SIGNALS, interval_s=600.0,
)  # fmt: skip
WORLDS = (FLOWS, SERVICES)


def nsl_kdd(folder: Path) -> Sampled:
    """The training file of NSL-KDD, in a folder of real data."""
    return Sampled(
        preset="flows/nsl_kdd", path=str(folder / "nsl_kdd" / "KDDTrain+_20Percent.txt.gz"), rows=6_000, budget="5%",
        header=tuple(read_preset("flows/nsl_kdd")["source"]["columns"]), large=("src_bytes", "dst_bytes"),
        columns=("src_bytes", "dst_bytes", "dst_host_count", "dst_host_srv_count"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a refit."""

    refused_by: tuple[str, ...]
    """Gates whose bound it missed, or the error that ended its training."""
    asks: tuple[str, ...]
    """Gates that want a person to look at it."""
    reasons: tuple[str, ...]
    version: int | None

    @property
    def rejected(self) -> bool:
        """Whether nobody may promote it."""
        return bool(self.refused_by)

    @property
    def accepted(self) -> bool:
        """Whether it goes live without asking anybody."""
        return not self.rejected and not self.asks


class Zoo:
    """A project with an honest champion, in a folder."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self._base = next(world.honest())[1]
        outcome = self.train(world.first(), promote=True)
        config = load(folder / "tocsin.yaml")
        self.first = outcome.verdict
        latency_ms = outcome.report.to_json()["figures"]["latency_p50_ms"]["value"]
        self.champion = Champion(latency_ms, config.detector.to_json(), config.features.columns)

    def train(self, refit: Refit, *, promote: bool = False) -> Outcome:
        """What `tocsin train` makes of it."""
        to_csv(refit.rows, self.folder / "rows.csv")
        (self.folder / "tocsin.yaml").write_text(yaml.safe_dump(dict(refit.config)), "utf-8")
        return Project(load(self.folder / "tocsin.yaml"), clock=lambda: refit.now).train(promote=promote)

    def spoilt(self, saboteur: Saboteur, strength: float | None = None) -> Judged:
        """How the gates judge a saboteur, by default at its full strength."""
        return self.judged(saboteur.spoil(self._base, self.champion, strength or saboteur.strength))

    def judged(self, refit: Refit) -> Judged:
        """How the gates judge a refit."""
        try:
            outcome = self.train(refit)
        except TocsinError as error:
            return Judged((type(error).__name__,), (), (str(error),), None)
        missed = [judgement for judgement in outcome.verdict.judgements if judgement.asked and not judgement.passed]
        return Judged(
            refused_by=tuple(judgement.target for judgement in missed if not judgement.soft),
            asks=tuple(judgement.target for judgement in missed if judgement.soft),
            reasons=tuple(judgement.reason for judgement in missed),
            version=outcome.version.version,
        )

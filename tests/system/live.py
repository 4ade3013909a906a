"""A stream at work in a thread of its own, fed by a test, and the registry whose channel it follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from tocsin.config import KeepConfig, parse
from tocsin.journal import Journal
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import CLASS, FILE, LABEL, ROW, SECOND, Batch, Judgement, Position, Verdict
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.requests import Requests
from tocsin.scoring.stream import Stream
from tocsin.scoring.work import Clocks, Letters
from tocsin.sources.base import Intake, Source
from tocsin.system import Project
from tocsin.system.following import Follower
from tocsin.system.serving import serving_of

PATIENCE_S = 60.0
"""After which what a test waits for will not come any more; no measure of anything."""
PASSED = Verdict(passed=True, judgements=(Judgement("recall", ">= 0.9", 0.95, passed=True, reason=""),))
REPORT: dict[str, Any] = {"figures": {}, "rows": {"all": 10, "unlabelled": 0}}
BEGIN = 1_790_000_000
CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields:
    time: {dtype: time}
    host: {dtype: category}
    load: {dtype: float, unit: ratio}
features:
  columns: [load]
  derive: [{type: rolling, columns: [load], windows: [10m], statistics: [max], min_count: 3}]
detector: {type: robust_zscore}
alerts: {budget: 1%, cooldown: 1m}
registry: {path: registry, keep: 100}
stream: {record: all}
"""
OTHER_FEATURES = CONFIG.replace("windows: [10m]", "windows: [20m]")
WAITS = CONFIG.replace("features:\n", "features:\n  wait: 5m\n")


def rows(rng: np.random.Generator, count: int, begin: int = BEGIN, *, spread: float = 0.05, high: int = 0) -> Batch:
    """Typed rows of three hosts, one a minute; every `high`-th is far too high."""
    load = rng.normal(0.5, spread, count)
    if high:
        load[high - 1 :: high] = 9.0
    return Batch(
        {
            "time": (begin + 60 * np.arange(count)) * SECOND,
            "host": np.array([f"host-{row % 3}" for row in range(count)], dtype=object),
            "load": load,
            LABEL: np.zeros(count, dtype=np.int8),
            CLASS: np.full(count, "normal", dtype=object),
            FILE: np.full(count, "rows.csv", dtype=object),
            ROW: np.arange(count) + 2 + begin,
        }
    )


def raw(batch: Batch) -> Batch:
    """As a source gives it."""
    kept = {name: batch[name] for name in ("time", "host", "load", FILE, ROW)}
    return Batch(kept | {"time": batch["time"].astype("datetime64[us]")})


class Fed(Source):
    """Gives what a test feeds it, batch by batch, and can give it again."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self._given = 0
        self._ended = False
        self._changed = threading.Condition()

    def feed(self, batch: Batch) -> None:
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def open(self, resume: Position | None = None) -> None:
        self._given = resume.offsets["batches"] if resume else 0
        self.batches += [Batch({})] * (self._given - len(self.batches))  # what it gave in an earlier life

    def read(self, timeout_s: float) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._given < len(self.batches) or self._ended, timeout_s)
            if self._given >= len(self.batches):
                return None
            self._given += 1
            return self.batches[self._given - 1]

    @property
    def ended(self) -> bool:
        return self._ended and self._given >= len(self.batches)

    def acknowledge(self, batch: Batch) -> Position:
        return Position("fed", {"batches": self._given})


class Clock:
    """Seconds and the time of day, as a test moves them."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: round((BEGIN + 10_000_000 + self.seconds) * SECOND), lambda: self.seconds)


@cache
def fitted(config: str, seed: int, spread: float) -> AnomalyModel:
    """A model of rows that spread so far."""
    rng = np.random.default_rng(seed)
    train, calibration = rows(rng, 600, 1_000_000, spread=spread), rows(rng, 600, 1_036_000, spread=spread)
    return AnomalyModel(Design.of(parse(config))).fit(train, calibration)


class Site:
    """A project with a registry whose versions a test makes."""

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.path = folder / "tocsin.yaml"
        self.path.write_text(config)
        self.folder = folder / ".tocsin" / "stream"
        self.config = config

    @property
    def project(self) -> Project:
        return Project.load(self.path)

    def fit(self, seed: int, *, config: str = "", spread: float = 0.05) -> AnomalyModel:
        return fitted(config or self.config, seed, spread)

    def publish(self, model: AnomalyModel, *, promote: bool = True, notes: dict[str, Any] | None = None) -> int:
        project = self.project
        version = project.registry.add("hosts", model.bundle(notes or {}), REPORT, PASSED).version
        if promote:
            project.promote(version)
        return version


class Live:
    """A stream at work, from the beginning of a block to its end; the test is what makes the follower look."""

    def __init__(self, site: Site, source: Fed | None = None, version: int | str = "champion") -> None:
        self.site = site
        self.source = source or Fed()
        self.clock = Clock()
        self._version = version
        self._fed = 0
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self.stream: Stream
        self.follower: Follower

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.source.end()
        self._thread.join(PATIENCE_S)
        if kind is None:
            assert self._failure is None, repr(self._failure)

    def _run(self) -> None:
        try:
            project, clocks = self.site.project, self.clock.clocks()
            settings = project.config.stream
            requests, letters = Requests(), Letters()
            with Journal(self.site.folder, [], KeepConfig(), clocks.now) as journal:
                self.stream = Stream(
                    source=self.source,
                    intake=Intake(self.source, project.config.schema_, quarantine=letters),
                    letters=letters,
                    serving=serving_of(project, self._version),
                    journal=journal,
                    outbox=Outbox({}, str, clocks.now),
                    requests=requests,
                    settings=settings,
                    folder=self.site.folder,
                    clocks=clocks,
                )
                self.follower = Follower(self.site.project, self.stream, self.site.folder, clocks)
                self._ready.set()
                self.stream.run()
                self.follower.close()
        except BaseException as error:  # noqa: BLE001  # told by the test's own thread
            self._failure = error
            self._ready.set()

    @property
    def version(self) -> int:
        return self.stream.serving.version

    def feed(self, batch: Batch) -> None:
        """Give rows, and wait until they are committed."""
        self.clock.seconds += 0.001
        self._give(raw(batch))

    def feed_again(self, other: Live, number: int) -> None:
        """Give what another one was given."""
        self._give(other.source.batches[number])

    def _give(self, batch: Batch) -> None:
        self._fed += batch.rows
        self.source.feed(batch)
        self.wait(lambda: self.stream.rows >= self._fed)

    def wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not until():
            assert self._failure is None, repr(self._failure)
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.005)

    def after(self, seconds: float, ticks: int = 1) -> None:
        """Let time pass, and the follower look so often meanwhile."""
        for _ in range(ticks):
            self.clock.seconds += seconds / ticks
            self.follower.tick()

    def verdicts(self) -> list[dict[str, Any]]:
        return self.stream.requests.ask(lambda: self.stream.journal.stored.verdicts(limit=10_000))

    def alerts(self) -> list[str]:
        kept = self.stream.requests.ask(lambda: self.stream.journal.stored.alerts(limit=1_000))
        return [item.alert.id for item in kept]

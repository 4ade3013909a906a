"""One event at a time, called from Python: 48 window features, then the score of a forest of 100 trees.

Ours with 1,000 and with 100,000 entities, event by event and in micro-batches, and the interpreted twin; beside it what
one writes by hand (a deque for each window, numpy, scikit-learn) and River (24 rolling features, which is all it can
roll of the 48, and half-space trees that learn as they score). All windows are full. A row costs us the same however
many rows its windows hold, so ours are filled with a row in every pane; the peers' are filled with a row every 5 s, and
they have few entities, which is in their favour.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import orjson
from benchmarks.features import BETWEEN_S, COLUMNS, START, WINDOWS, program
from numpy.typing import NDArray

from tocsin.detectors.isolation_forest import IsolationForest
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Vector

REPEATS = 5
MICRO_BATCH = 1_000
PEER_ENTITIES = 20

Values = tuple[float, ...]
Event = tuple[str, int, Values]
Step = Callable[[str, int, Values], object]
Figures = dict[str, Any]

SPARSE = (
    *np.arange(-1_800.0, -300.0, 150.0),
    *np.arange(-300.0, -60.0, 25.0),
    *np.arange(-60.0, 0.0, BETWEEN_S),
)
"""Seconds before the first event: one row for every pane of every window."""
DENSE = tuple(np.arange(-1_800.0, 0.0, BETWEEN_S))


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    results: dict[str, Figures] = {
        "ours, 1,000 entities": ours(1_000, events=50_000),
        "ours, 100,000 entities": ours(100_000, events=50_000),
        "interpreted, 100 entities": interpreted(),
        "by hand, 20 entities": by_hand(),
        "river, 20 entities": river(),
    }
    for name, figures in results.items():
        print(f"{name:<26}" + "".join(f"{how:>14}: {rate:>9,.0f}/s" for how, rate in figures.items()))
    held = bars(results)
    print(orjson.dumps(held, option=orjson.OPT_INDENT_2).decode())
    figures = {
        "features": len(program().outputs),
        "events_per_s": results,
        "bars": held,
    }
    out.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def bars(results: dict[str, Figures]) -> dict[str, bool]:
    """What the figures are held against."""
    few, many = results["ours, 1,000 entities"], results["ours, 100,000 entities"]
    twin, hand, peer = (results[name] for name in list(results)[2:])
    return {
        "1,000 entities, features and score >= 200,000/s": few["and score"] >= 200_000,
        "100,000 entities, features and score >= 120,000/s": many["and score"] >= 120_000,
        "1,000 entities, micro-batches >= 500,000/s": few["micro-batches"] >= 500_000,
        ">= 1,000 times deque and scikit-learn": few["and score"] >= 1_000 * hand["and score"],
        ">= 10 times River": few["and score"] >= 10 * peer["and score"],
        "interpreted, features >= 10,000/s": twin["features"] >= 10_000,
        "interpreted, features and score >= 3,000/s": twin["and score"] >= 3_000,
    }


class Stream:
    """Events of entities that each have one every 5 s, in another order every time."""

    def __init__(self, entities: int, before: Sequence[float]) -> None:
        self.random = np.random.default_rng(0)
        self.names = [self.random.bytes(16) for _ in range(entities)]
        # From before the first event on, the rows that fill the windows; then the events.
        rounds = chain(before, np.arange(10_000) * BETWEEN_S)
        self.unread: Iterator[Event] = chain.from_iterable(self.round(seconds) for seconds in rounds)

    def round(self, seconds: float) -> Iterator[Event]:
        """One row of every entity; names come as they do from a wire, each a text of its own."""
        entities = len(self.names)
        times = START + round(seconds * SECOND) + np.arange(entities) * round(BETWEEN_S * SECOND) // entities
        values = self.random.lognormal(8.0, 2.0, (entities, len(COLUMNS))).tolist()
        for number, time, row in zip(
            self.random.permutation(entities).tolist(),
            times.tolist(),
            values,
            strict=True,
        ):
            yield self.names[number].hex(), time, tuple(row)

    def take(self, count: int) -> list[Event]:
        return list(islice(self.unread, count))


def batch_of(events: list[Event]) -> Batch:
    names, times, values = zip(*events, strict=True)
    columns = dict(zip(COLUMNS, np.array(values).T, strict=True))
    return Batch({"time": np.array(times), "host": np.array(names, dtype=object), **columns})


def ours(entities: int, events: int) -> Figures:
    """Events per second: features, features and score, and both in micro-batches."""
    kernel, stream = Kernel(program(), entities=entities), Stream(entities, SPARSE)
    state = kernel.start()
    for _ in SPARSE:
        kernel.run(batch_of(stream.take(entities)), state)
    forest = IsolationForest().fit(kernel.run(batch_of(stream.take(2_000)), state).values)
    row = state.outputs[np.newaxis]  # written anew by every step

    def step(name: str, time: int, values: Values) -> None:
        kernel.step(state, name, time, values)

    def score_one(name: str, time: int, values: Values) -> None:
        kernel.step(state, name, time, values)
        forest.score(row)

    def score_many(batch: Batch) -> Vector:
        return forest.score(kernel.run(batch, state).values)

    best = dict.fromkeys(("features", "and score", "micro-batches"), 0.0)
    for _ in range(REPEATS):
        best["features"] = max(best["features"], rate(step, stream.take(events)))
        best["and score"] = max(best["and score"], rate(score_one, stream.take(events)))
        batches = [batch_of(stream.take(MICRO_BATCH)) for _ in range(events // MICRO_BATCH)]
        start = process_time()
        for batch in batches:
            score_many(batch)
        best["micro-batches"] = max(best["micro-batches"], events / (process_time() - start))
    return best


def rate(step: Step, events: list[Event]) -> float:
    """Events per CPU second: that of the clock on an idle machine, and the same on a busy one."""
    start = process_time()
    for name, time, values in events:
        step(name, time, values)
    return len(events) / (process_time() - start)


def interpreted() -> Figures:
    """Ours as it is where there was no compiler, in a child that finds no compiled walks either."""
    code = (
        "import sys; sys.modules['tocsin.kernel.walks'] = None\n"
        "import orjson; from benchmarks.events import ours; print(orjson.dumps(ours(100, events=2_000)).decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TOCSIN_KERNEL": "interpreted"},
    )
    figures: Figures = orjson.loads(done.stdout)
    return figures


class ByHand:
    """Rows in a deque for every window, statistics by numpy."""

    def __init__(self) -> None:
        self.windows: dict[str, list[deque[tuple[int, Values]]]] = {}

    def add(self, name: str, time: int, values: Values) -> None:
        windows = self.windows.setdefault(name, [deque() for _ in WINDOWS])
        for length, window in zip(WINDOWS.values(), windows, strict=True):
            window.append((time, values))
            while window[0][0] <= time - length * SECOND:
                window.popleft()

    def features(self, name: str) -> Vector:
        statistics = []
        for window in self.windows[name]:
            rows = np.array([values for _, values in window])
            statistics += [
                rows.mean(axis=0),
                rows.std(axis=0, ddof=1),
                rows.min(axis=0),
                rows.max(axis=0),
            ]
        return np.concatenate(statistics)


def by_hand() -> Figures:
    from sklearn.ensemble import IsolationForest as ScikitForest

    windows, stream = ByHand(), Stream(PEER_ENTITIES, DENSE)
    for name, time, values in stream.take(PEER_ENTITIES * len(DENSE)):
        windows.add(name, time, values)
    rows: list[NDArray[np.float64]] = []

    def step(name: str, time: int, values: Values) -> None:
        windows.add(name, time, values)
        rows.append(windows.features(name))

    def score(name: str, time: int, values: Values) -> None:
        windows.add(name, time, values)
        forest.score_samples(windows.features(name)[np.newaxis])

    features = max(rate(step, stream.take(500)) for _ in range(REPEATS))
    forest = ScikitForest(random_state=0).fit(np.array(rows))
    return {
        "features": features,
        "and score": max(rate(score, stream.take(100)) for _ in range(REPEATS)),
    }


def river() -> Figures:
    from river import anomaly, preprocessing, stats, utils

    rolled: dict[str, dict[str, Any]] = {}
    stream = Stream(PEER_ENTITIES, DENSE)
    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=0)

    def statistics() -> dict[str, Any]:
        return {
            f"{column}_{statistic.__name__}_{window}": utils.TimeRolling(statistic, period=timedelta(seconds=seconds))
            for column in COLUMNS
            for window, seconds in WINDOWS.items()
            for statistic in (stats.Mean, stats.Var)
        }

    def step(name: str, time: int, values: Values) -> dict[str, float]:
        # River compares with a time that names no zone.
        at = datetime.fromtimestamp(time / SECOND, UTC).replace(tzinfo=None)
        if name not in rolled:
            rolled[name] = statistics()
        each = len(rolled[name]) // len(COLUMNS)
        for place, statistic in enumerate(rolled[name].values()):
            statistic.update(values[place // each], t=at)
        return {feature: statistic.get() for feature, statistic in rolled[name].items()}

    def score(name: str, time: int, values: Values) -> None:
        features = step(name, time, values)
        model.score_one(features)
        model.learn_one(features)

    rate(step, stream.take(PEER_ENTITIES * len(DENSE)))
    return {
        "features": max(rate(step, stream.take(1_000)) for _ in range(REPEATS)),
        "and score": max(rate(score, stream.take(1_000)) for _ in range(REPEATS)),
    }

"""Events per second through 48 window features and a forest of 100 trees, ours beside what users write and River.

Each event is one call from Python: features of the row, then its score. Windows are full. The plain way keeps a deque
per entity, column and window, takes statistics of it with numpy, and asks scikit-learn for the score of one row; River
has its rolling statistics and half-space trees, which score and learn. Their windows are exact to the row, ours move in
panes. The interpreted twin runs in a child process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import orjson
from benchmarks.features import COLUMNS, START, STATISTICS, WINDOWS, program

from tocsin.detectors.isolation_forest import IsolationForest
from tocsin.kernel.build import SETTING, compiled
from tocsin.kernel.run import Kernel
from tocsin.kernel.state import KernelState
from tocsin.records import SECOND, Batch, Matrix

ENTITIES = (1_000, 100_000)
BETWEEN_S = 5
MICRO_BATCH = 1_000
TREES = 100
PLAIN_EVENTS, RIVER_EVENTS = 600, 2_000
PLAIN_ENTITIES = 3
BARS = {
    "ours_1000_entities": 200_000,
    "ours_100000_entities": 120_000,
    "micro_batches_1000_entities": 500_000,
    "interpreted_features": 10_000,
    "interpreted": 3_000,
}

Event = tuple[str, int, tuple[float, ...]]


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    rates: dict[str, float] = {}
    for entities in ENTITIES:
        rates |= {f"{name}_{entities}_entities": rate for name, rate in ours(entities).items()}
    rates |= {"micro_batches_1000_entities": micro_batches(ENTITIES[0])}
    rates |= interpreted()
    rates |= {"deque_and_scikit_learn": plain_way(), "river": river_way()}
    single = rates["ours_1000_entities"]
    ratios = {name: single / rates[name] for name in ("deque_and_scikit_learn", "river")}
    for name, rate in rates.items():
        print(f"{name:<34}{rate:>12,.0f} events/s")
    print(f"ours / plain way: {ratios['deque_and_scikit_learn']:,.0f}, ours / River: {ratios['river']:,.0f}")
    bars = {f"{name} >= {bar:,}": rates[name] >= bar for name, bar in BARS.items()}
    bars |= {
        ">= 1,000 x the plain way": ratios["deque_and_scikit_learn"] >= 1_000,
        ">= 10 x River": ratios["river"] >= 10,
    }
    out.write_bytes(orjson.dumps({"events_per_s": rates, "ratios": ratios, "bars": bars}, option=orjson.OPT_INDENT_2))


def stream(entities: int, seed: int = 0) -> Iterator[Event]:
    """Events without end, each entity's about 5 s apart."""
    random = np.random.default_rng(seed)
    time, step = START, BETWEEN_S * SECOND / entities
    names = [f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}" for number in range(entities)]
    while True:
        order = random.permutation(entities).tolist()
        times = (time + np.arange(entities) * step).astype(np.int64).tolist()
        values = random.lognormal(3.0, 2.0, (entities, len(COLUMNS))).tolist()
        yield from zip((names[number] for number in order), times, map(tuple, values), strict=True)
        time += BETWEEN_S * SECOND


def forest() -> IsolationForest:
    """Grown on features as the kernel computes them."""
    kernel = Kernel(program(), entities=100)
    state = kernel.start()
    rows: Matrix = kernel.run(batch(islice(stream(100, seed=1), 5_000)), state).values[1_000:]
    return IsolationForest(trees=TREES).fit(rows)


def batch(events: Iterator[Event]) -> Batch:
    """Typed rows."""
    names, times, values = zip(*events, strict=True)
    columns = dict(zip(COLUMNS, np.array(values).T, strict=True))
    return Batch({"time": np.array(times), "host": np.array(names, dtype=object), **columns})


def ours(entities: int) -> dict[str, float]:
    """Events per second, one call each, features alone and with the score."""
    kernel, model = Kernel(program(), entities=entities), forest()
    state, events = filled(kernel, entities)
    row = state.outputs[np.newaxis]

    def features(event: Event) -> None:
        kernel.step(state, *event)

    def scored(event: Event) -> None:
        kernel.step(state, *event)
        model.score(row)

    number = 100_000 if compiled() else 5_000
    return {"ours_features": best(features, events, number), "ours": best(scored, events, number)}


def filled(kernel: Kernel, entities: int) -> tuple[KernelState, Iterator[Event]]:
    """A state whose windows hold what they hold in the long run, or, of many entities, some rows each."""
    state, events = kernel.start(), stream(entities)
    for _ in range(max(400_000 // entities, 4) if compiled() else 20):
        kernel.run(batch(islice(events, entities)), state)
    return state, events


def best(call: Callable[[Event], None], events: Iterator[Event], number: int, repeats: int = 3) -> float:
    """Calls per second, of the quickest of some runs."""
    taken = []
    for _ in range(repeats):
        some = list(islice(events, number))
        start = perf_counter()
        for event in some:
            call(event)
        taken.append(perf_counter() - start)
    return number / min(taken)


def micro_batches(entities: int) -> float:
    """Events per second in batches of a thousand, features and score."""
    kernel, model = Kernel(program(), entities=entities), forest()
    state, events = filled(kernel, entities)
    taken = []
    for _ in range(3):
        batches = [batch(islice(events, MICRO_BATCH)) for _ in range(200)]
        start = perf_counter()
        for rows in batches:
            model.score(kernel.run(rows, state).values)
        taken.append((perf_counter() - start) / len(batches))
    return MICRO_BATCH / min(taken)


def interpreted() -> dict[str, float]:
    """The same events in a process that runs the kernel's sources."""
    script = "import orjson, sys; from benchmarks.events import ours; sys.stdout.buffer.write(orjson.dumps(ours(100)))"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, SETTING: "interpreted"}, capture_output=True, check=True
    )
    rates = orjson.loads(done.stdout)
    return {"interpreted_features": rates["ours_features"], "interpreted": rates["ours"]}


def plain_way() -> float:
    """Events per second of deques, numpy and scikit-learn."""
    from sklearn.ensemble import IsolationForest as ScikitForest

    windows: dict[tuple[str, int, float], deque[tuple[int, float]]] = {}
    kinds: dict[str, Callable[[Any], float]] = {
        "mean": np.mean,
        "std": lambda values: np.std(values, ddof=1) if len(values) > 1 else 0.0,
        "min": np.min,
        "max": np.max,
    }

    def features(event: Event) -> list[float]:
        name, time, values = event
        row = []
        for column, value in enumerate(values):
            for length in WINDOWS.values():
                window = windows.setdefault((name, column, length), deque())
                window.append((time, value))
                while window[0][0] <= time - length * SECOND:
                    window.popleft()
                held = [value for _, value in window]
                row += [float(kinds[kind](held)) for kind in STATISTICS]
        return row

    events = stream(PLAIN_ENTITIES)
    rows = [features(event) for event in islice(events, 400 * PLAIN_ENTITIES)]
    model = ScikitForest(n_estimators=TREES, random_state=0, n_jobs=1).fit(rows[PLAIN_ENTITIES * 2 :])
    return best(lambda event: model.score_samples([features(event)]), events, PLAIN_EVENTS // 3)


def river_way() -> float:
    """Events per second of River's rolling statistics and half-space trees."""
    from river import anomaly, stats, utils

    kinds = (stats.Mean, stats.Var)
    windows: dict[tuple[str, int, float, Any], Any] = {}
    model: Any = anomaly.HalfSpaceTrees(n_trees=25, seed=0)

    def scored(event: Event) -> None:
        name, time, values = event
        # River compares with a time that has no zone.
        at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).replace(tzinfo=None)
        row = {}
        for column, value in enumerate(values):
            for length in WINDOWS.values():
                for kind in kinds:
                    key = (name, column, length, kind)
                    if key not in windows:
                        windows[key] = utils.TimeRolling(kind(), period=timedelta(seconds=length))
                    windows[key].update(value, t=at)
                    row[str(key[1:])] = windows[key].get()
        model.score_one(row)
        model.learn_one(row)

    events = stream(PLAIN_ENTITIES)
    for event in islice(events, 400 * PLAIN_ENTITIES):
        scored(event)
    return best(scored, events, RIVER_EVENTS // 3)

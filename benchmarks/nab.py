"""One configuration on the 58 series of the Numenta Anomaly Benchmark, as the board scores them and without labels.

A series is walked through as a stream: the model is learnt from what has passed, 60 % to learn from and the rest to
calibrate on, first when the board's probation ends, then anew whenever the history has grown by half, and is frozen in
between. A row's score is how rarely the calibration rows score as high, so that
series compare; what rings is the first row of an episode, by
the product's own cool-down.

board       one level for all series, found by the board's optimiser: it is chosen on the labels ("label-tuned, protocol
            of the board"), as all figures on the board are
label-free  each model's own level, set by its alert budget before the rows come
rows        the board's score where every flagged row rings and no cool-down holds it back
vus_pr      of the scores of rows, mean over the series that have a label, probation left out

Stretch length, clip, share of history to calibrate on, tail and cool-down were chosen on every second series
(`CHOOSING`); the board's figure is of all series, that of the series on which nothing was chosen stands beside it.

Source: Lavin and Ahmad, Evaluating Real-Time Anomaly Detection Algorithms, ICMLA 2015.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from benchmarks.telemetry import config_of, rows_of
from numpy.typing import NDArray

from tocsin import log
from tocsin.calibration import episodes, first_rows
from tocsin.errors import DataError
from tocsin.evaluation.volume import volume_figure
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, SECOND, Batch, Mask, Times, Vector

FOLDER = Path(os.environ.get("TOCSIN_DATA", "")) / "nab"
NAMES = sorted(path.relative_to(FOLDER / "data").as_posix().removesuffix(".gz") for path in FOLDER.glob("data/*/*.gz"))
CHOOSING = NAMES[0::2]
JUDGING = NAMES[1::2]
PROBATION, LONGEST_PROBATION = 0.15, 750
LEARNT = 0.6
GROWTH = 1.5
LEVELS = 200
TAIL, LEAST_EXCESS, FURTHEST = 0.05, 1e-9, 600.0
BAR = 55.0
BOARD = {"Numenta HTM": 70.1, "KNN-CAD": 58.0, "Random cut forest": 51.7, "Windowed Gaussian": 39.6, "Random": 16.8}

CONFIG = """
        schema:
          time: timestamp
          fields: {{timestamp: {{dtype: time}}, value: {{dtype: float}}}}
        source: {{type: csv, path: {data}}}
        labels: {{windows: {labels}, series: {name}}}
        features: {{columns: [value]}}
        detector: {{type: matrix_profile, steps: 20}}
        alerts: {{budget: 1/week, cooldown: 12h}}
"""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a found window, a false alert and a window that was missed count."""

    found: float
    false: float
    missed: float


PROFILES = {"standard": Profile(1.0, 0.11, 1.0), "low FP": Profile(1.0, 0.22, 1.0), "low FN": Profile(1.0, 0.11, 2.0)}


@dataclass(frozen=True)
class Walk:
    """A series after it was walked through; every array has shape (n,)."""

    times: Times
    anomalous: Mask
    surprise: Vector
    flagged: Mask
    """By the level that no label has set."""
    cooldown_s: float

    @property
    def probation(self) -> int:
        return min(int(PROBATION * len(self.times)), LONGEST_PROBATION)

    @cached_property
    def window(self) -> Places:
        """The number of each row's window, -1 outside."""
        begins = self.anomalous & ~np.concatenate([[False], self.anomalous[:-1]])
        return np.where(self.anomalous, np.cumsum(begins) - 1, -1)

    @cached_property
    def worth(self) -> Vector:
        """What an alert at each row is worth: up to 1 early in a window, down to -1 far behind the last one."""
        past = np.full(len(self.times), 3.0)
        worth = np.empty(len(past))
        for number in range(self.window.max() + 1):
            rows = np.flatnonzero(self.window == number)
            last, width = rows[-1], len(rows)
            worth[rows] = sigmoid(-(last - rows + 1) / width) / sigmoid(np.array(-1.0))
            past[last + 1 :] = (np.arange(last + 1, len(past)) - last) / (width - 1)
        outside = self.window < 0
        worth[outside] = np.where(past[outside] >= 3, -1.0, sigmoid(past[outside]))
        return worth

    def ringing(self, flagged: Mask, *, every_row: bool = False) -> Places:
        """The rows at which something rings."""
        rows = np.flatnonzero(flagged & (np.arange(len(flagged)) >= self.probation))
        if every_row or not len(rows):
            return rows
        times = self.times[rows]
        return np.sort(rows[first_rows(episodes(times, None, self.cooldown_s), times)])


def sigmoid(position: Vector) -> Vector:
    return np.asarray(2 / (1 + np.exp(5 * position)) - 1)


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    walks = {name: walk(name) for name in NAMES}
    judged = [walks[name] for name in JUDGING]
    every = list(walks.values())
    results: dict[str, Any] = {
        "check": check(every),
        "board": {name: optimised(every, profile) for name, profile in PROFILES.items()},
        "board, judging half": optimised(judged, PROFILES["standard"]),
        "label-free": {name: scored(every, profile, _own_level) for name, profile in PROFILES.items()},
        "label-free, judging half": scored(judged, PROFILES["standard"], _own_level),
        "rows": optimised(every, PROFILES["standard"], every_row=True),
        "alerts a day, label-free": _alerts_a_day(every),
        "vus_pr": float(np.mean([_volume(one) for one in every if one.anomalous[one.probation :].any()])),
        "published, standard": BOARD,
    }
    results["bars"] = {f"standard >= {BAR:g} (label-tuned, protocol of the board)": results["board"]["standard"] >= BAR}
    for title, figures in results.items():
        print(title, orjson.dumps(figures).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def walk(name: str) -> Walk:
    """A series from its first row to its last, each row scored by a model that has seen earlier ones alone."""
    with TemporaryDirectory() as folder:
        data, labels = FOLDER / "data" / f"{name}.gz", FOLDER / "labels" / "combined_windows.json"
        config, rows, _ = rows_of(config_of(Path(folder), CONFIG.format(data=data, labels=labels, name=name)))
    design = Design.of(config)
    unlabelled = Batch({name: column for name, column in rows.items() if not name.startswith("_l")})
    surprise, flagged = np.zeros(rows.rows), np.zeros(rows.rows, dtype=bool)
    for now, then in _retrainings(rows.rows):
        past, coming = unlabelled.take(slice(now)), unlabelled.take(slice(now, then))
        surprise[now:then], flagged[now:then] = _scores(design, past, coming)
    return Walk(rows["timestamp"], rows[LABEL] == 1, surprise, flagged, design.budget.cooldown_s)


def _scores(design: Design, past: Batch, coming: Batch) -> tuple[Vector, Mask]:
    """How surprising each coming row is, and which are flagged; where too little has passed to learn from, none is."""
    learnt = round(LEARNT * past.rows)
    train, calibration = past.take(slice(learnt)), past.take(slice(learnt, None))
    try:
        model = AnomalyModel(design).fit(train, calibration)
    except DataError:
        return np.zeros(coming.rows), np.zeros(coming.rows, dtype=bool)
    state = model.start()
    model.features(train, state)
    known = model.judge(model.features(calibration, state))
    scores = model.judge(model.features(coming, state))
    rare = rarity(known.score[known.state == "ready"], scores.score)
    return np.where(scores.state == "ready", rare, 0.0), scores.flagged


def rarity(usual: Vector, scores: Vector) -> Vector:
    """How rarely usual scores are as high, as -log10 of a share: counted, and from an exponential tail beyond 95 %."""
    usual = np.sort(usual)
    start = usual[int((1 - TAIL) * len(usual))]
    excess = usual[usual > start] - start
    scale = max(float(excess.mean()) if len(excess) else 0.0, LEAST_EXCESS)
    counted = 1 - np.searchsorted(usual, np.minimum(scores, start)) / len(usual)
    beyond = np.minimum(np.maximum(scores - start, 0.0) / scale, FURTHEST)
    return np.asarray(np.where(scores > start, -np.log10(TAIL) + beyond / np.log(10), -np.log10(counted)))


def _retrainings(rows: int) -> Iterator[tuple[int, int]]:
    """Where the days of each model begin and end."""
    now = min(int(PROBATION * rows), LONGEST_PROBATION)
    while now < rows:
        then = min(int(GROWTH * now), rows)
        yield now, then
        now = then


def scored(
    walks: Sequence[Walk], profile: Profile, flagged: Callable[[Walk], Mask], *, every_row: bool = False
) -> float:
    """The board's score of all alerts: 0 if nothing rings, 100 if nothing but the first row of every window does."""
    windows, total = 0, 0.0
    for one in walks:
        rows = one.ringing(flagged(one), every_row=every_row)
        window, worth = one.window[rows], one.worth[rows]
        best = np.full(one.window.max() + 1, -profile.missed)
        np.maximum.at(best, window[window >= 0], profile.found * worth[window >= 0])
        total += float(best.sum() + profile.false * worth[window < 0].sum())
        windows += len(best)
    return 100 * (total + profile.missed * windows) / ((profile.found + profile.missed) * windows)


def optimised(walks: Sequence[Walk], profile: Profile, *, every_row: bool = False) -> float:
    """The best score that one level for all series reaches: chosen on the labels."""
    surprises = np.concatenate([one.surprise[one.probation :] for one in walks])
    levels = np.unique(np.quantile(surprises, 1 - np.geomspace(1e-5, 0.1, LEVELS)))
    return max(scored(walks, profile, _at_least(level), every_row=every_row) for level in levels)


def check(walks: Sequence[Walk]) -> dict[str, float]:
    """The scorer on what it must know: silence, perfection, and random scores (the board: 16.8)."""
    standard = PROFILES["standard"]
    generator = np.random.default_rng(0)
    chance = [
        Walk(one.times, one.anomalous, generator.random(len(one.times)), one.flagged, one.cooldown_s) for one in walks
    ]
    return {
        "nothing": scored(walks, standard, lambda one: np.zeros(len(one.times), dtype=bool)),
        "everything": scored(walks, standard, lambda one: np.diff(one.window, prepend=-1) > 0, every_row=True),
        "random": optimised(chance, standard, every_row=True),
        "random, by episodes": optimised(chance, standard),
    }


def _own_level(one: Walk) -> Mask:
    return one.flagged


def _at_least(level: float) -> Callable[[Walk], Mask]:
    return lambda one: one.surprise >= level


def _alerts_a_day(walks: Sequence[Walk]) -> float:
    """Outside of the windows; the budget asks for a seventh."""
    false = sum(int((one.window[one.ringing(one.flagged)] < 0).sum()) for one in walks)
    spans = [float(one.times[-1] - one.times[one.probation]) / SECOND / 86_400 for one in walks]
    return false / sum(spans)


def _volume(one: Walk) -> float:
    rows = slice(one.probation, None)
    codes = np.zeros(len(one.times) - one.probation, dtype=np.intp)
    return float(volume_figure(one.anomalous[rows], one.surprise[rows], codes, seed=0).value or 0.0)

"""Walks through trees beside scikit-learn's and xgboost's, one core for everybody, in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import IsolationForest as ScikitForest

from tocsin.detectors.isolation_forest import IsolationForest
from tocsin.kernel.boosting import from_xgboost
from tocsin.kernel.trees import TreeEnsemble, walks
from tocsin.records import Matrix

Call = Callable[[Matrix], object]
ROWS = 20_000
REPEATS = 25
SINGLE_ROWS = 1_000
# Long enough that what one call leaves in the caches does not weigh on the median of the next.
TURN = 250
WIDTHS = (12, 104)
MISSING = 0.1


def main(out: Path) -> None:
    figures = {
        "scikit_learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
        "forest": {f"{columns}_columns": forest(columns) for columns in WIDTHS},
        "boosted": boosted(),
    }
    show(figures)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def forest(columns: int) -> dict[str, Any]:
    """100 trees of 256 samples."""
    x = np.random.default_rng(0).normal(size=(ROWS, columns))
    theirs = ScikitForest(random_state=0, n_jobs=1).fit(x)
    ours = IsolationForest.from_scikit_learn(theirs)
    trees = ours._trees
    calls: dict[str, Call] = {walk: TreeEnsemble(trees.arrays, trees.depth, walk).leaf_sum for walk in walks()}
    bulk = quickest({"scikit_learn": theirs.score_samples, "ours": ours.score, **calls}, x, REPEATS)
    one = medians({"scikit_learn": theirs.score_samples, "ours": ours.score, "ours_trees": trees.leaf_sum}, x)
    return {
        "columns": columns,
        "bulk_rows_per_s": {name: ROWS / seconds for name, seconds in bulk.items()},
        "bulk_ratio": {name: bulk["scikit_learn"] / seconds for name, seconds in bulk.items()},
        "one_row_p50_us": {name: 1e6 * seconds for name, seconds in one.items()},
        "largest_difference": float(np.abs(ours.score(x) + theirs.score_samples(x)).max()),
        "first_call_ms": {walk: 1e3 * first_call(trees, walk, x[:100]) for walk in walks()},
    }


def boosted() -> dict[str, Any]:
    """100 trees of depth 6 over 104 columns, a tenth of the values missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, WIDTHS[-1]))
    target = (x[:, :10].sum(axis=1) + rng.normal(size=ROWS) > 0).astype(float)
    x[rng.random(x.shape) < MISSING] = np.nan
    parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    theirs = xgboost.train(parameters, xgboost.DMatrix(x, target, nthread=1), 100)
    ours = from_xgboost(theirs.save_raw("json"))
    trees = ours.trees

    def margins(rows: Matrix) -> object:
        return theirs.inplace_predict(rows, predict_type="margin")

    calls: dict[str, Call] = {walk: TreeEnsemble(trees.arrays, trees.depth, walk).leaf_sum for walk in walks()}
    bulk = quickest({"xgboost": margins, "ours": ours.margin, **calls}, x, REPEATS)
    one = medians({"xgboost": margins, "ours": ours.margin}, x)
    return {
        "columns": x.shape[1],
        "bulk_rows_per_s": {name: ROWS / seconds for name, seconds in bulk.items()},
        "bulk_ratio": {name: bulk["xgboost"] / seconds for name, seconds in bulk.items()},
        "one_row_p50_us": {name: 1e6 * seconds for name, seconds in one.items()},
        "one_row_ratio": one["xgboost"] / one["ours"],
        "largest_difference": float(np.abs(ours.margin(x) - np.asarray(margins(x))).max()),
        "largest_margin": float(np.abs(ours.margin(x)).max()),
    }


def quickest(calls: dict[str, Call], x: Matrix, repeats: int) -> dict[str, float]:
    """Least seconds of each call over all rows, in turns so that a busy machine is busy for all."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            spent[name].append(seconds(call, x))
    return {name: min(times) for name, times in spent.items()}


def medians(calls: dict[str, Call], x: Matrix) -> dict[str, float]:
    """Median seconds of each call for one row, another one each time."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(0, SINGLE_ROWS, TURN):
        for name, call in calls.items():
            spent[name] += [seconds(call, x[row : row + 1]) for row in range(turn, turn + TURN)]
    return {name: float(np.median(times)) for name, times in spent.items()}


def seconds(call: Call, x: Matrix) -> float:
    start = time.perf_counter()
    call(x)
    return time.perf_counter() - start


def first_call(trees: TreeEnsemble, walk: str, x: Matrix) -> float:
    """With it the tables of the walk are built."""
    return min(seconds(TreeEnsemble(trees.arrays, trees.depth, walk).leaf_sum, x) for _ in range(5))


def show(figures: dict[str, Any]) -> None:
    for kind in (*figures["forest"].values(), figures["boosted"]):
        ratio = kind["bulk_ratio"]
        print(f"{kind['columns']} columns, 100 trees: rows/s, times the peer's")
        for name, rate in kind["bulk_rows_per_s"].items():
            print(f"  {name:<14}{rate:>12.3g}{ratio[name]:>9.1f}x")
        print("  one row, p50 in us: " + ", ".join(f"{name} {us:.2f}" for name, us in kind["one_row_p50_us"].items()))
        print(f"  largest difference: {kind['largest_difference']:.1e}")
    print(f"boosted, one row: {figures['boosted']['one_row_ratio']:.0f} times faster")

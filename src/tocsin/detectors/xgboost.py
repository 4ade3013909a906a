"""Boosted trees that tell labelled anomalies from normal rows: grown by xgboost, walked by the kernel.

Source: Chen and Guestrin, XGBoost: A Scalable Tree Boosting System, KDD 2016. The shares: Saabas, Interpreting Random
Forests, 2014, which is what xgboost calls approximate contributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.component import optional_packages
from tocsin.detectors.base import Detector, Labels, State, Supervision
from tocsin.detectors.base_blocks import held_out
from tocsin.errors import DataError
from tocsin.kernel.boosting import BoostedTrees, from_xgboost
from tocsin.kernel.trees import ARRAYS, MAX_NODES, MAX_VALUE, as_float32, validate
from tocsin.records import Matrix, Vector

MAX_DEPTH = 16
PATIENCE = 20
"""Trees in a row that may bring nothing on the rows held out before no more are grown."""


class XGBoost(Detector):
    """Score a row by the log-odds that it is one of the anomalies that were labelled.

    Takes incidents that come again: nothing ranks them as well. Blind to kinds of anomaly that no label told of,
    which it calls normal with confidence: blend it with a detector that learns what is normal. Both labels weigh the
    same, however rare one of them is, and rows without a label are left out.

    A quarter of the rows, in blocks, says how many trees to grow; that many are then grown on all rows. Only `fit`
    needs xgboost (`pip install 'tocsin[boost]'`).

    Parameters
    ----------
    trees
        Most trees to grow.
    depth
        Comparisons from a root to a leaf, at most; 1 to 16.
    learning_rate
        How much of what a tree says is added, in (0, 1].
    sample
        Share of the rows and of the columns that each tree sees, in (0, 1]. Below 1 no single column can carry all
        trees, so that an attack that leaves one usual trace out is still seen by others.
    seed
        Of the samples, at least 0.

    Raises
    ------
    DataError
        On fit, if the labels do not hold both normal rows and anomalies.
    MissingExtraError
        On fit, if xgboost is not installed.
    ValueError
        If a parameter is out of its range.
    """

    supervision = Supervision.LABELLED
    libraries = ("xgboost",)

    _boosted: BoostedTrees

    def __init__(
        self, *, trees: int = 500, depth: int = 6, learning_rate: float = 0.1, sample: float = 0.5, seed: int = 0
    ) -> None:
        if not 1 <= depth <= MAX_DEPTH:
            raise ValueError(f"depth is {depth}, wanted 1 to {MAX_DEPTH}")
        if not 1 <= trees <= MAX_NODES >> (depth + 1):
            raise ValueError(f"trees is {trees}, wanted 1 to {MAX_NODES >> (depth + 1):,} of depth {depth}")
        for name, value in (("learning_rate", learning_rate), ("sample", sample)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} is {value}, wanted above 0, at most 1")
        if seed < 0:
            raise ValueError(f"seed is {seed}, wanted at least 0")
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.sample = sample
        self.seed = seed

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        y = np.full(len(x), -1, dtype=np.int8) if y is None else y
        normal, anomalies = np.count_nonzero(y == 0), np.count_nonzero(y == 1)
        if not normal or not anomalies:
            hint = "label both, or take a detector that learns what is normal"
            raise DataError(repr(self), f"{normal} normal rows and {anomalies} anomalies", "some of both", hint)
        cells, y = as_float32(x[y >= 0]), y[y >= 0]
        held, trees = held_out(y), self.trees
        if len(np.unique(y[held])) == len(np.unique(y)):
            trees = self._grown(cells[~held], y[~held], trees, cells[held], y[held]).best_iteration + 1
        # JSON, not UBJSON: it holds the same numbers to the last bit, and its reader is there.
        self._boosted = from_xgboost(self._grown(cells, y, trees).save_raw("json"))
        return self

    def score(self, x: Matrix) -> Vector:
        """The log-odds of an anomaly, had there been as many anomalies as normal rows."""
        return self._boosted.margin(x)

    def explain(self, x: Matrix) -> Matrix:
        """What each column added to the log-odds on the way down the trees, (n, d)."""
        return self._boosted.trees.shares(x) * -float(len(self._boosted.trees.arrays["roots"]))

    def state(self) -> State:
        return {**self._boosted.trees.arrays, "base": self._boosted.base}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {**ARRAYS, "base": Array((1,), least=-MAX_VALUE, most=MAX_VALUE)}

    def adopt(self, arrays: State, columns: int) -> None:
        trees = {name: arrays[name] for name in ARRAYS}
        self._boosted = BoostedTrees(validate(trees, columns, "xgboost"), arrays["base"])

    def _grown(self, x: NDArray[np.float32], y: Labels, trees: int, *held: NDArray[Any]) -> Any:
        """A booster of so many trees; of fewer, if the last of them brought nothing on rows and labels held out."""
        with optional_packages(repr(self)):
            import xgboost

        parameters = {
            "objective": "binary:logistic",
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "subsample": self.sample,
            "colsample_bytree": self.sample,
            "seed": self.seed,
            "nthread": 1,  # sums may depend on how many threads add them up
        }

        def rows(x: NDArray[Any], y: Labels) -> Any:
            return xgboost.DMatrix(x, y, weight=_weights(y), nthread=1)

        patience = {"evals": [(rows(*held), "held")], "early_stopping_rounds": PATIENCE} if held else {}
        return xgboost.train(parameters, rows(x, y), trees, verbose_eval=False, **patience)


def _weights(y: Labels) -> Vector:
    """One for each row, (n,), so that both labels weigh the same together."""
    return np.asarray(0.5 / np.array([np.mean(y == 0), np.mean(y == 1)])[y])

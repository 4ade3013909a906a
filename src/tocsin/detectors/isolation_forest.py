"""Isolation forest: rows that few random cuts set apart are anomalous.

Source: Liu, Ting and Zhou, Isolation Forest, ICDM 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.detectors.base import Labels, State
from tocsin.detectors.base_mixtures import Mixtures
from tocsin.detectors.base_trees import RandomTrees
from tocsin.kernel.trees import (
    DTYPES,
    MAX_VALUE,
    TreeEnsemble,
    Trees,
    as_float32,
    lay_out,
    levels,
    settle,
)
from tocsin.records import Matrix, Vector

Cells = NDArray[np.float32]
Counts = NDArray[np.int64]

# Cells of the sub-samples that grow at the same time: bounds memory on wide tables.
_CELLS = 2_000_000


class IsolationForest(RandomTrees):
    """Score a row by how few random cuts set it apart from a sample of the training rows.

    Needs no labels and no scaling, is quick to train and sees combinations of columns, too. Takes every column for
    equally important: many columns of noise hide the few that matter. A row as deep in the trees as chance would
    put it scores 0.5, one that the first cuts set apart near 1. A column's share in a score is by how many steps the
    cuts in it shortened the mean path; a row's shares add up to the path length expected at the roots less the one
    that its score is made of.

    Parameters
    ----------
    trees
        Number of trees, 1 to 10,000; more make the score steadier and slower. A hundred settle the second decimal
        of a score, 10,000 the third; a row costs a walk down every one of them.
    samples
        Training rows that each tree sees, at least 2; more rows hide anomalies behind each other. Trees x samples is
        at most 4 million, which grow in about ten seconds on 20 columns; the defaults need a hundredth of that.
    oblique
        Columns that are mixed for slanted cuts, 0 to 64; 0 cuts single columns alone. Twice as many mixtures as there
        are columns are drawn by chance and cut like columns: 5 to a mixture see better how columns go together, and
        make a row's walk dearer by the mixing.
    seed
        Start of the random numbers, at least 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or trees x samples is more than 4 million.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(1_000, 2))
    >>> forest = IsolationForest(seed=1).fit(rows)
    >>> forest.score(np.array([[0.0, 0.0], [0.0, 9.0]])).round(1)
    array([0.4, 0.6])
    >>> forest.explain(np.array([[0.0, 9.0]])).argmax()
    np.int64(1)
    """

    _samples: Counts
    _exponent: Vector | None
    """What turns the sum of a row's path lengths into the power of 2 that it scores; None if a path tells nothing."""

    def __init__(self, *, trees: int = 100, samples: int = 256, oblique: int = 0, seed: int = 0) -> None:
        super().__init__(trees=trees, samples=samples, oblique=oblique, seed=seed)

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        """Grow the trees on sub-samples drawn without replacement; labels are not looked at."""
        random = np.random.default_rng(self.seed)
        samples = min(self.samples, len(x))
        self._mixtures = Mixtures.draw(x, self.oblique, random) if self.oblique else None
        together = max(1, _CELLS // (samples * self._seen(x[:1]).shape[1]))
        grown = [
            _grow(self._sample(x, min(together, self.trees - first), samples, random), samples, random)
            for first in range(0, self.trees, together)
        ]
        self._keep(_path_lengths(*_joined(grown)), np.array([samples]))
        return self

    def score(self, x: Matrix) -> Vector:
        """2 to the power of minus (mean path length / the path length expected by chance), in (0, 1)."""
        if self._exponent is None:
            return np.full(len(x), 0.5)
        # In place would spare memory of many rows and cost a single one a microsecond.
        scores: Vector = np.exp2(self._trees.leaf_sum(self._seen(x)) * self._exponent)
        return scores

    def state(self) -> State:
        return {**super().state(), "samples": self._samples}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        paths = Array(("nodes",), least=0, most=MAX_VALUE)
        return {**super().arrays(columns), "value": paths, "samples": Array((1,), np.int64, 1)}

    def adopt(self, arrays: State, columns: int) -> None:
        super().adopt(arrays, columns)
        self._keep(self._trees, arrays["samples"])

    @classmethod
    def from_scikit_learn(cls, forest: Any) -> Self:
        """The forest that a fitted `sklearn.ensemble.IsolationForest` holds; scores equal its `-score_samples`.

        Only its arrays are read. Its `contamination` is a threshold and stays behind.
        """
        trees = [estimator.tree_ for estimator in forest.estimators_]
        sizes = np.array([tree.node_count for tree in trees])
        roots = np.cumsum(sizes) - sizes
        children = np.concatenate([np.column_stack([tree.children_left, tree.children_right]) for tree in trees])
        # A leaf compares no column and has no children: both are negative there.
        children += np.where(children < 0, 0, roots.repeat(sizes)[:, None])
        columns = zip(trees, forest.estimators_features_, strict=True)
        laid, order = lay_out(
            children,
            {
                "feature": np.concatenate([chosen[np.maximum(tree.feature, 0)] for tree, chosen in columns]),
                "threshold": np.concatenate([tree.threshold for tree in trees]),
                "missing": np.zeros(len(children)),
                "value": np.zeros(len(children)),
                "roots": roots,
            },
        )
        samples = int(forest.max_samples_)
        seed = forest.random_state if isinstance(forest.random_state, int) else 0
        imported = cls(trees=len(trees), samples=max(2, samples), seed=seed)
        rows = np.concatenate([tree.n_node_samples for tree in trees])[order]
        imported._keep(_path_lengths(laid, rows), np.array([samples]))
        imported._columns = forest.n_features_in_
        return imported

    def _sample(self, x: Matrix, trees: int, samples: int, random: np.random.Generator) -> Cells:
        """A sub-sample for each tree, side by side: (columns, trees x samples)."""
        rows = [random.choice(len(x), samples, replace=False, shuffle=False) for _ in range(trees)]
        return np.ascontiguousarray(as_float32(self._seen(x[np.concatenate(rows)])).T)

    def _keep(self, trees: TreeEnsemble, samples: Counts) -> None:
        self._trees = trees
        self._samples = samples
        by_chance = average_path_length(samples)[0]  # 0 where trees were grown on a single row
        paths = by_chance * len(trees.arrays["roots"])
        self._exponent = np.array(-1.0 / paths) if by_chance else None


def average_path_length(rows: Counts) -> Vector:
    """Mean depth of an unsuccessful search among so many rows: what a leaf of that many rows still hides."""
    above = np.maximum(rows - 1, 1)
    lengths = 2.0 * (np.log(above) + np.euler_gamma) - 2.0 * above / np.maximum(rows, 1)
    return np.where(rows > 2, lengths, (rows == 2).astype(np.float64))


def _path_lengths(trees: Trees, rows: Counts) -> TreeEnsemble:
    """The ensemble whose leaves say how long the path to one of their rows is."""
    for depth, level in enumerate(levels(trees["left"], trees["roots"])):
        trees["value"][level] = depth + average_path_length(rows[level])
    return settle(trees, rows)


def _grow(cells: Cells, samples: int, random: np.random.Generator) -> tuple[Trees, Counts]:
    """Trees over sub-samples that lie side by side, and the rows in each node; all grow one level at a time.

    `cells` (columns, rows) stays sorted by node and holds the rows of those nodes that may still be split.
    """
    rows: Counts = np.full(cells.shape[1] // samples, samples)
    trees, nodes = len(rows), 0
    grown = []
    for steps_left in reversed(range(ceil(log2(samples)) + 1)):
        left = np.arange(nodes, nodes + len(rows))
        nodes += len(rows)
        level: Trees = {"feature": np.zeros_like(rows), "threshold": np.full(len(rows), np.inf), "left": left}
        level["rows"] = rows
        grown.append(level)
        if not steps_left or not (rows > 1).any():
            break
        cells, rows = _split(cells, level, nodes, random)
    whole = {name: np.concatenate([level[name] for level in grown]) for name in grown[0]}
    counts = whole.pop("rows")
    nothing = np.zeros(nodes)
    return {**whole, "missing": nothing, "value": nothing, "roots": np.arange(trees)}, counts


def _split(cells: Cells, level: Trees, behind: int, random: np.random.Generator) -> tuple[Cells, Counts]:
    """Cut every node of a level in which a column varies; the sorted rows and the sizes of their children.

    The column is drawn uniformly among those that vary in the node, the threshold uniformly between the column's
    smallest and largest value there. `behind` is the number of the first child.
    """
    may = np.flatnonzero(level["rows"] > 1)
    sizes = level["rows"][may]
    starts = np.cumsum(sizes) - sizes
    low, high = np.minimum.reduceat(cells, starts, axis=1), np.maximum.reduceat(cells, starts, axis=1)
    varying = (high > low).cumsum(axis=0, dtype=np.int32)
    drawn = random.random((2, len(may)))
    column = (varying > drawn[0] * varying[-1]).argmax(axis=0)
    place = np.arange(len(may))
    lowest, highest = low[column, place].astype(np.float64), high[column, place].astype(np.float64)
    threshold = lowest + drawn[1] * (highest - lowest)
    threshold = np.where(threshold < highest, threshold, lowest)  # rounding must not leave the right side empty

    cut = varying[-1] > 0
    level["feature"][may[cut]] = column[cut]
    level["threshold"][may[cut]] = threshold[cut]
    level["left"][may[cut]] = behind + 2 * np.arange(np.count_nonzero(cut))

    node = place.repeat(sizes)
    child = 2 * node + (cells[column[node], np.arange(len(node))] > threshold[node])
    rows = np.bincount(child, minlength=2 * len(may))
    kept = np.flatnonzero(cut[node] & (rows[child] > 1))
    order = kept[np.argsort(child[kept], kind="stable")]
    return cells[:, order], rows.reshape(-1, 2)[cut].ravel()


def _joined(groups: list[tuple[Trees, Counts]]) -> tuple[Trees, Counts]:
    """Groups of trees behind one another in one layout."""
    sizes = np.array([len(rows) for _, rows in groups])
    starts = np.cumsum(sizes) - sizes
    for (trees, _), start in zip(groups, starts, strict=True):
        trees["left"] += start
        trees["roots"] += start
    joined = {
        name: np.concatenate([trees[name] for trees, _ in groups]).astype(dtype) for name, dtype in DTYPES.items()
    }
    return joined, np.concatenate([rows for _, rows in groups])

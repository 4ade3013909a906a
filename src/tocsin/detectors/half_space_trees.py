"""Half-space trees: rows that fall where few training rows lie, in boxes cut without looking at them, are anomalous.

Source: Tan, Ting and Liu, Fast Anomaly Detection for Streaming Data, IJCAI 2011. The paper fills its boxes anew from
every window of a stream; here they are filled in fit and retraining, and a served model stays as it was judged. The
logarithm of a box's density: Wu, Zhang, Fan, Edwards and Yu, RS-Forest: A Rapid Density Estimator for Streaming
Anomaly Detection, ICDM 2014.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.detectors.base import Labels
from tocsin.detectors.base_mixtures import Mixtures
from tocsin.detectors.base_trees import RandomTrees
from tocsin.kernel.trees import DTYPES, MAX_DEPTH, Trees, as_float32, settle
from tocsin.records import Matrix, Vector

Counts = NDArray[np.int64]

# Rows that tell where the bulk of a column lies.
_LOOKED_AT = 10_000
# Values further out count as this far out: cuts around them are still numbers of the kind that trees compare.
_FURTHEST = 1e37
# Share of a column's rows at either end that its bulk leaves out.
_OUTERMOST = 0.02
# What an empty box counts as, in rows: never having seen any is weaker news the fewer were looked at.
_EMPTY = 0.5


class HalfSpaceTrees(RandomTrees):
    """Score a row by how thinly the boxes that it falls into are filled.

    Each tree halves the space again and again, in a column or a mixture of some drawn by chance and always in the
    middle, before it has seen a row; then it counts the rows in its boxes. Learns from samples, in memory that does
    not grow with the rows. Finds what lies outside the usual ranges and in the gaps between crowds; the boxes are
    coarse, so that an isolation forest or neighbours are sharper where there is time for them. A column's share in a
    score is how much thinner than expected the cuts in it made the boxes, in halvings.

    Parameters
    ----------
    trees
        Number of trees, 1 to 10,000; more make the score steadier and slower.
    depth
        Halvings from the whole space to the smallest box, 1 to 63.
    samples
        Training rows that each tree counts, at least 2. Trees x samples is at most 4 million.
    least
        Share of its rows at which a tree stops to halve a box, in (0, 1).
    oblique
        Columns that are mixed for slanted boxes, 0 to 64; 0 halves single columns alone.
    seed
        Start of the random numbers, at least 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or trees x samples is more than 4 million.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(1_000, 2))
    >>> trees = HalfSpaceTrees(seed=1).fit(rows)
    >>> usual, unusual = trees.score(np.array([[0.0, 0.0], [0.0, 9.0]]))
    >>> bool(unusual > usual + 1.0)
    True
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        trees: int = 100,
        depth: int = 15,
        samples: int = 500,
        least: float = 0.02,
        oblique: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(trees=trees, samples=samples, oblique=oblique, seed=seed)
        if not 1 <= depth < MAX_DEPTH:
            raise ValueError(f"depth is {depth}, wanted 1 to {MAX_DEPTH - 1}")
        if not 0 < least < 1:
            raise ValueError(f"least is {least}, wanted a share between 0 and 1")
        self.depth = depth
        self.least = least

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        """Lay out the boxes and count the rows in them; labels are not looked at."""
        random = np.random.default_rng(self.seed)
        samples = min(self.samples, len(x))
        self._mixtures = Mixtures.draw(x, self.oblique, random) if self.oblique else None
        looked_at = random.choice(len(x), min(_LOOKED_AT, len(x)), replace=False, shuffle=False)
        low, high = _spaces(self._seen(x[looked_at]), self.trees, random)
        drawn = (random.choice(len(x), samples, replace=False, shuffle=False) for _ in range(self.trees))
        rows = np.concatenate([as_float32(self._seen(x[places])) for places in drawn])
        trees, counts, halvings = self._halve(rows, low, high, random)
        trees["value"] = halvings + np.log2((counts + _EMPTY) / (samples + _EMPTY))
        self._trees = settle(trees, counts + _EMPTY)
        return self

    def score(self, x: Matrix) -> Vector:
        """By how many halvings a row's boxes are thinner than rows spread evenly would leave them, mean, (n,)."""
        return -self._trees.leaf_mean(self._seen(x))

    def _halve(
        self, rows: NDArray[np.float32], low: Matrix, high: Matrix, random: np.random.Generator
    ) -> tuple[Trees, Counts, Counts]:
        """Trees over rows that lie side by side, the rows in each box and how often it was halved.

        All trees grow one level at a time; `low` and `high` hold the corners of a level's boxes.
        """
        samples = len(rows) // self.trees
        counts: Counts = np.full(self.trees, samples)
        box = np.arange(self.trees).repeat(samples)
        grown: list[Trees] = []
        behind = 0
        for halvings in range(self.depth + 1):
            halved = counts > self.least * samples if halvings < self.depth else np.zeros(len(counts), dtype=np.bool_)
            column = random.integers(low.shape[1], size=np.count_nonzero(halved))
            place = np.arange(len(column))
            low, high = low[halved], high[halved]
            middle = 0.5 * (low[place, column] + high[place, column])
            level: Trees = {
                "feature": np.zeros_like(counts),
                "threshold": np.full(len(counts), np.inf),
                "left": behind + np.arange(len(counts)),
                "counts": counts,
                "halvings": np.full_like(counts, halvings),
            }
            behind += len(counts)
            level["feature"][halved], level["threshold"][halved] = column, middle
            level["left"][halved] = behind + 2 * place
            grown.append(level)

            kept = halved[box]
            rows, parent = rows[kept], (np.cumsum(halved) - 1)[box[kept]]
            box = 2 * parent + (rows[np.arange(len(rows)), column[parent]] > middle[parent])
            counts = np.bincount(box, minlength=2 * len(place))
            low, high = low.repeat(2, axis=0), high.repeat(2, axis=0)
            high[2 * place, column] = low[2 * place + 1, column] = middle
        whole = {name: np.concatenate([level[name] for level in grown]) for name in grown[0]}
        nothing = np.zeros(behind)
        laid = {**whole, "missing": nothing, "value": nothing, "roots": np.arange(self.trees)}
        return {name: laid[name].astype(dtype) for name, dtype in DTYPES.items()}, whole["counts"], whole["halvings"]


def _spaces(x: Matrix, trees: int, random: np.random.Generator) -> tuple[Matrix, Matrix]:
    """The lowest and highest corner of each tree's space, (trees, d): the bulk of the rows with room on both sides.

    The outermost rows of a column have no say, or the furthest of all would leave one box for the rest. A column in
    which nothing else varies has the width of all its rows, or of one unit.
    """
    bounded = np.clip(x, -_FURTHEST, _FURTHEST)
    edges = np.quantile(bounded, (0.0, _OUTERMOST, 1.0 - _OUTERMOST, 1.0), axis=0)
    bulk, all_rows = edges[2] - edges[1], edges[3] - edges[0]
    width = np.where(bulk > 0, bulk, np.where(all_rows > 0, all_rows, 1.0))
    low = np.where(bulk > 0, edges[1], edges[0])
    middle = random.random((trees, x.shape[1]))
    reach = 2.0 * np.maximum(middle, 1.0 - middle)
    return low + (middle - reach) * width, low + (middle + reach) * width

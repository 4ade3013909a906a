"""What detectors share that grow trees by chance: their parameters, what the trees see of a row, their state."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.arrays import Array
from tocsin.component import snake_case
from tocsin.detectors.base import Detector, State
from tocsin.detectors.base_mixtures import MAX_MIXED, PER_COLUMN, Mixtures
from tocsin.kernel.trees import ARRAYS, TreeEnsemble, validate
from tocsin.records import Matrix

MAX_TREES = 10_000
"""A score's chance error falls with the root of the trees: far fewer have none that shows."""
MAX_SAMPLED = 4_000_000
"""Trees x samples: about ten seconds of growing on 20 columns, and 8 million nodes to keep."""


class RandomTrees(Detector):
    """Grows trees on samples of the training rows, over their columns or over columns and mixtures of some.

    Subclasses write `fit`, which draws `_mixtures` first and ends with `_trees`, and `score`.

    Parameters
    ----------
    trees
        Number of trees, 1 to 10,000.
    samples
        Training rows that each tree sees, at least 2. Trees x samples is at most 4 million.
    oblique
        Columns of a mixture, 0 to 64; 0 mixes none.
    seed
        Start of the random numbers, at least 0.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    _trees: TreeEnsemble
    _mixtures: Mixtures | None = None

    def __init__(self, *, trees: int, samples: int, oblique: int, seed: int) -> None:
        for name, value, least, most in (("trees", trees, 1, MAX_TREES), ("oblique", oblique, 0, MAX_MIXED)):
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}, wanted {least} to {most:,}")
        for name, value, least in (("samples", samples, 2), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} is {value}, wanted at least {least}")
        if trees * samples > MAX_SAMPLED:
            raise ValueError(f"trees x samples is {trees * samples:,}, wanted at most {MAX_SAMPLED:,}")
        self.trees = trees
        self.samples = samples
        self.oblique = oblique
        self.seed = seed

    def explain(self, x: Matrix) -> Matrix:
        """What the cuts in each column gave to the mean over the trees, (n, d), above what any row is expected."""
        shares = self._trees.shares(self._seen(x))
        return shares if self._mixtures is None else self._mixtures.shares(x, shares)

    def state(self) -> State:
        return {**self._trees.arrays, **({} if self._mixtures is None else self._mixtures.state())}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        return {**ARRAYS, **(Mixtures.arrays(self.oblique, columns) if self.oblique else {})}

    def adopt(self, arrays: State, columns: int) -> None:
        if self.oblique:
            self._mixtures = Mixtures(**{name: arrays[name] for name in Mixtures.arrays(self.oblique, columns)})
            columns += PER_COLUMN * columns
        self._trees = validate({name: arrays[name] for name in ARRAYS}, columns, snake_case(type(self).__name__))

    def _seen(self, x: Matrix) -> Matrix:
        """What the trees compare: the columns, and mixtures of them if there are any."""
        return x if self._mixtures is None else self._mixtures.beside(x)

"""Distance from what is usual in the context of a row: its hour and day, and the rows just before it.

Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, ASQC 1993 (robust deviations); Vallis, Hochenbaum and
Kejariwal, A Novel Technique for Long-Term Anomaly Detection in the Cloud, HotCloud 2014 (season and recent median).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.detectors.base import Detector, Labels, State, Supervision
from tocsin.errors import DataError, IntegrityError, SchemaError, did_you_mean
from tocsin.records import Matrix, Vector

Numbers = NDArray[np.int64]

MAX_CELLS = 65_536
MAX_RECENT = 1_023
# Rows below which the median of a cell says little, and below which a regime has no deviation of its own.
_CELL_ROWS, _REGIME_ROWS = 6, 30
# More cells than this are bundled by their medians before they are compared, since every join looks at all.
_MOST_JOINED = 1_024
# Nine tenths of a normal variable lie below so many deviations; its median and its mean distance are such parts of one.
_NORMAL_TENTH, _NORMAL_MAD, _NORMAL_MEAN = 1.2816, 0.6745, 0.7979
# Values further out count as this far out, so that no distance overflows.
_FURTHEST = 1e100


class ContextResidual(Detector):
    """Score a row by the column that stands furthest from what is usual in its context, in robust deviations.

    Take it where the same value is normal at noon and strange at night, or on a working day and on a day off. Which
    hours of which days are alike is learnt, column by column: each combination of the context columns is a cell, and
    cells whose medians lie close together make one regime, with many rows and therefore a tight deviation, upwards
    and downwards each, since latencies are skewed. A cell that was seen too seldom goes by the coarser one, which
    lacks its last context column, and in the end by all rows.

    With `recent`, a column of several regimes is judged by the smaller of two distances: from its regime, and from
    the median of the entity's last rows, in deviations of the regime at that level. So a rise that the calendar knows
    is as usual as a day off that goes on as it began. An outage rings when it begins, and no longer once it is what
    the last rows say. A column of one regime, or of one for each value of `each`, is judged by that alone.

    Parameters
    ----------
    context
        Columns that say when a row is, such as those of `calendar`, the most telling first. They are not judged.
        Without any, this is a robust z-score.
    each
        A column that says whose a row is, such as the code of a `category`: each has regimes of its own. It is not
        judged.
    upper, lower
        Columns of which only high, or only low values are unusual. All others are judged both ways.
    recent
        How many rows of the entity before this one tell its recent level, at most 1,023; 0 asks the context alone.
    alike
        Cells whose medians lie less than this many deviations apart are of one regime, greater than 0.
    min_scale
        Smallest deviation, in the prepared column's unit and greater than 0, so that a constant column does not turn
        noise into alarms.

    Raises
    ------
    SchemaError
        On meet, if a named column is not there or is named twice, or no column is left to judge. On fit, if columns
        are named and it has not met them.
    DataError
        On fit, if the context has more than 65,536 cells.
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> night = np.arange(1_000.0) % 2
    >>> load = np.random.default_rng(0).normal(np.where(night, 10.0, 50.0), 1.0)
    >>> detector = ContextResidual(context=("night",))
    >>> detector.meet(("night", "load"))
    >>> detector = detector.fit(np.column_stack([night, load]))
    >>> (detector.score(np.array([[0.0, 50.0], [1.0, 50.0]])) > 5).tolist()
    [False, True]
    """

    supervision = Supervision.NONE

    _context: Numbers
    """Places of the context columns, (k,); that of `each` comes first."""
    _side: NDArray[np.int8]
    """1 for columns judged upwards, -1 downwards, 0 both ways, (d,)."""
    _values: Vector
    """The values of each context column, ascending, one column behind the other."""
    _sizes: Numbers
    """How many values each of them has, (k,)."""
    _regime: NDArray[np.int32]
    """The regime of each cell in each column, (cells, d), -1 for that of all rows. A value that was never seen has
    the last place in its column."""
    _seasonal: NDArray[np.bool_]
    """Which columns have several regimes, (1, d), or have them for a value of `each`, (values, d)."""
    _usual: NDArray[np.float64]
    """Median, deviation downwards and upwards of each regime in each column, (3, regimes + 1, d), by ascending
    medians; the last regime is that of all rows. A column of fewer regimes repeats its highest."""

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        context: tuple[str, ...] = (),
        each: str | None = None,
        upper: tuple[str, ...] = (),
        lower: tuple[str, ...] = (),
        recent: int = 0,
        alike: float = 2.0,
        min_scale: float = 1e-3,
    ) -> None:
        if not 0 <= recent <= MAX_RECENT:
            raise ValueError(f"recent is {recent}, wanted 0 to {MAX_RECENT:,}")
        for name, value in (("alike", alike), ("min_scale", min_scale)):
            if not 1 / _FURTHEST <= value <= _FURTHEST:
                raise ValueError(f"{name} is {value:g}, wanted a number greater than 0, at most {_FURTHEST:g}")
        self.context = context
        self.each = each
        self.upper = upper
        self.lower = lower
        self.recent = recent
        self.alike = alike
        self.min_scale = min_scale
        self.steps = recent + 1
        self._names: tuple[str, ...] = ()

    def meet(self, names: Sequence[str]) -> None:
        named = (*self._contexts, *self.upper, *self.lower)
        for at, name in enumerate(named):
            if name not in names:
                raise SchemaError(repr(self), f'"{name}"', "a column of the matrix", did_you_mean(name, names))
            if name in named[:at]:
                raise SchemaError(repr(self), f'"{name}" twice', "each column in one of context, each, upper and lower")
        if len(self._contexts) == len(names):
            raise SchemaError(repr(self), "context columns alone", "at least one column to judge")
        self._names = tuple(names)

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        named = bool(self._contexts or self.upper or self.lower)
        if named and len(self._names) != x.shape[-1]:
            got = f"{len(self._names)} names of {x.shape[-1]} columns"
            raise SchemaError(repr(self), got, "one of each", "call meet before fit")
        x = self._now(x)
        self._context = np.array([self._names.index(name) for name in self._contexts], dtype=np.int64)
        sides = [(name in self.upper) - (name in self.lower) for name in self._names]
        self._side = np.array(sides if named else [0] * x.shape[1], dtype=np.int8)
        columns = [np.unique(x[:, at]) for at in self._context]
        self._values = np.concatenate([np.empty(0), *columns])
        self._sizes = np.array([len(values) for values in columns], dtype=np.int64)
        if np.prod(self._sizes + 1.0) > MAX_CELLS:
            got = f"{' x '.join(map(str, self._sizes))} values of {', '.join(self._contexts)}"
            raise DataError(repr(self), got, f"at most {MAX_CELLS:,} cells", "name coarser parts, such as the hour")
        codes = self._codes(x)
        x[:, self._context] = 0.0
        self._learn(x, codes)
        return self

    def _learn(self, x: Matrix, codes: Numbers) -> None:
        """The regimes of every column, and which of them each cell has."""
        widths = self._widths()
        filled = [np.bincount(codes // width)[codes // width] >= min(_CELL_ROWS, len(x)) for width in widths]
        # Regimes are learnt from the finest cells that most rows share with enough others.
        cells = codes // min(width for width, rows in zip(widths, filled, strict=True) if rows.mean() > 0.5)
        learnt = [_regimes(values, cells, self.alike, self.min_scale) for values in x.T]
        most = max(usual.shape[1] for usual in learnt)
        self._usual = np.empty((3, most + 1, x.shape[1]))
        self._regime = np.full((widths[0], x.shape[1]), -1, dtype=np.int32)
        for column, usual in enumerate(learnt):
            self._usual[:, :-1, column] = np.pad(usual, ((0, 0), (0, most - usual.shape[1])), mode="edge")
            self._usual[:, -1, column] = _usual(x[:, column], self.min_scale)
            # The finer cells are written over the coarser ones.
            for width in widths[1:]:
                for cell, inside in _groups(x[:, column], codes // width):
                    regime = _nearest(np.median(inside, keepdims=True), usual)
                    self._regime[cell * width : (cell + 1) * width, column] = regime
        regimes = self._regime.reshape(widths[0] // widths[1] if self.each else 1, -1, x.shape[1])
        lowest = np.where(regimes < 0, most, regimes).min(axis=1)
        self._seasonal = regimes.max(axis=1) > lowest
        if self.each:  # whoever was never seen has no regime to keep to
            self._seasonal |= lowest == most

    def score(self, x: Matrix) -> Vector:
        furthest: Vector = self._residual(x).max(axis=1)
        return furthest

    def explain(self, x: Matrix) -> Matrix:
        """Distance of each value from what is usual, of the shape of x, in deviations; 0 for the rows before."""
        if self.steps == 1:
            return self._residual(x)
        shares = np.zeros_like(x)
        shares[:, -1] = self._residual(x)
        return shares

    def state(self) -> State:
        return {name: vars(self)[f"_{name}"] for name in self.arrays(self._columns)}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        contexts = len(self._contexts)
        return {
            "context": Array((contexts,), np.int64, 0, columns - 1),
            "side": Array((columns,), np.int8, -1, 1),
            "values": Array(("values",), exact=True),
            "sizes": Array((contexts,), np.int64, 1, MAX_CELLS),
            "regime": Array(("cells", columns), np.int32, -1),
            "seasonal": Array(("groups", columns), np.bool_),
            "usual": Array((3, "regimes", columns), least=-2 * _FURTHEST, most=2 * _FURTHEST),
        }

    def adopt(self, arrays: State, columns: int) -> None:
        super().adopt(arrays, columns)
        self._validate_cells()
        self._validate_regimes()

    def _validate_cells(self) -> None:
        places, sizes, values = self._context, self._sizes, self._values
        if len(set(places.tolist())) != len(places):
            raise _damaged("context", places, "different columns")
        if np.prod(sizes + 1.0) > MAX_CELLS:
            raise _damaged("sizes", sizes, f"counts that make at most {MAX_CELLS:,} cells")
        if len(values) != sizes.sum():
            raise _damaged("values", values, f"{sizes.sum()} numbers")
        if not all((np.diff(column) > 0).all() for column in np.split(values, np.cumsum(sizes)[:-1])):
            raise _damaged("values", values, "ascending numbers in each column")

    def _validate_regimes(self) -> None:
        regime, usual, widths = self._regime, self._usual, self._widths()
        if usual.shape[1] < 2 or not (usual[1:] >= 1 / _FURTHEST).all():
            raise _damaged("usual", usual, "at least 2 regimes, deviations above 0")
        if not (np.diff(usual[0, :-1], axis=0) >= 0).all():
            raise _damaged("usual", usual, "ascending medians")
        regimes = usual.shape[1] - 1
        if len(regime) != widths[0] or not (regime < regimes).all():
            raise _damaged("regime", regime, f"regimes below {regimes} of {widths[0]} cells")
        groups = widths[0] // widths[1] if self.each else 1
        if len(self._seasonal) != groups:
            raise _damaged("seasonal", self._seasonal, f"truths for {groups} groups")

    @property
    def _contexts(self) -> tuple[str, ...]:
        return (self.each, *self.context) if self.each else self.context

    def _now(self, x: Matrix) -> Matrix:
        return np.clip(x if self.steps == 1 else x[:, -1], -_FURTHEST, _FURTHEST)

    def _residual(self, x: Matrix) -> Matrix:
        """Of the last row of each sequence, (n, d)."""
        now = self._now(x)
        codes = self._codes(now)
        regime = self._regime[codes]
        residual = self._distance(now, self._usual[0][regime, np.arange(now.shape[1])], regime)
        if self.recent:
            level = np.clip(np.median(x[:, :-1], axis=1), -_FURTHEST, _FURTHEST)
            recent = self._distance(now, level, _nearest(level, self._usual[:, :-1]))
            seasonal = self._seasonal[codes // (len(self._regime) // len(self._seasonal))]
            residual = np.where(seasonal, np.minimum(residual, recent), residual)
        residual[:, self._context] = 0.0
        return residual

    def _distance(self, x: Matrix, usual: Matrix, regime: NDArray[Any]) -> Matrix:
        """In deviations of the regimes, on the sides that count, (n, d)."""
        columns = np.arange(x.shape[1])
        below = np.maximum(usual - x, 0.0) / self._usual[1][regime, columns]
        above = np.maximum(x - usual, 0.0) / self._usual[2][regime, columns]
        return np.maximum(np.where(self._side <= 0, below, 0.0), np.where(self._side >= 0, above, 0.0))

    def _widths(self) -> Numbers:
        """How many codes share the first 0, 1, ... of the contexts, (k + 1,)."""
        return np.append(np.cumprod((self._sizes + 1)[::-1])[::-1], 1)

    def _codes(self, x: Matrix) -> Numbers:
        """The number of each row's cell, (n,)."""
        codes, end = np.zeros(len(x), dtype=np.int64), 0
        for at, size in zip(self._context, self._sizes, strict=True):
            values = self._values[end : end + size]
            place = np.minimum(np.searchsorted(values, x[:, at]), size - 1)
            codes = codes * (size + 1) + np.where(values[place] == x[:, at], place, size)
            end += size
        return codes


def _damaged(name: str, array: object, wanted: str) -> IntegrityError:
    return IntegrityError(f"context_residual.{name}", repr(array)[:80], wanted)


def _groups(values: Vector, cells: Numbers) -> Iterator[tuple[int, Vector]]:
    """The number of each cell that has enough rows, and its values."""
    order = np.argsort(cells, kind="stable")
    numbers, starts = np.unique(cells[order], return_index=True)
    for number, inside in zip(numbers.tolist(), np.split(values[order], starts[1:]), strict=True):
        if len(inside) >= min(_CELL_ROWS, len(values)):
            yield number, inside


def _regimes(values: Vector, cells: Numbers, alike: float, min_scale: float) -> Matrix:
    """Cells of one column joined, the nearest first, until all stand apart: `_usual` of each, (3, regimes)."""
    inside = sorted((found for _, found in _groups(values, cells)), key=lambda found: float(np.median(found)))
    if len(inside) > _MOST_JOINED:
        bundles = np.array_split(np.arange(len(inside)), _MOST_JOINED)
        inside = [np.concatenate([inside[at] for at in bundle]) for bundle in bundles]
    center = np.array([np.median(found) for found in inside])
    deviation = np.array([max(_deviation(found), min_scale) for found in inside])
    rows = np.array([float(len(found)) for found in inside])
    first = np.arange(len(inside))
    while len(first) > 1:
        apart = np.diff(center) / np.sqrt((deviation[:-1] ** 2 + deviation[1:] ** 2) / 2)
        few = np.minimum(rows[:-1], rows[1:]) < _REGIME_ROWS
        at = int(np.where(few, apart, np.inf).argmin() if few.any() else apart.argmin())
        if apart[at] >= alike and not few.any():
            break
        pair = slice(at, at + 2)
        for array in (center, deviation):
            array[at] = np.average(array[pair], weights=rows[pair])
        rows[at] += rows[at + 1]
        center, deviation, rows, first = (np.delete(array, at + 1) for array in (center, deviation, rows, first))
    found = [_usual(np.concatenate(inside[a:b]), min_scale) for a, b in zip(first, [*first[1:], None], strict=True)]
    return np.array(sorted(found)).T


def _deviation(values: Vector) -> float:
    """From the median absolute deviation, or the mean one where half of the values are equal."""
    distance = np.abs(values - np.median(values))
    return float(np.median(distance) / _NORMAL_MAD or distance.mean() / _NORMAL_MEAN)


def _usual(values: Vector, min_scale: float) -> tuple[float, float, float]:
    """Median, deviation downwards, deviation upwards."""
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9))
    down, up = (
        # Where nine values of ten are equal, the others say how far it goes.
        float(abs(tenth - median) / _NORMAL_TENTH or np.maximum(side, 0.0).mean() * 2 / _NORMAL_MEAN)
        for tenth, median, side in ((median, low, median - values), (high, median, values - median))
    )
    return float(median), max(down, min_scale), max(up, min_scale)


def _nearest(level: Matrix, usual: NDArray[np.float64]) -> Numbers:
    """The regime of `usual`, (3, regimes, ...), that a level is fewest deviations away from."""
    center, down, up = usual
    borders = (center[:-1] * down[1:] + center[1:] * up[:-1]) / (down[1:] + up[:-1])
    regime = np.zeros(level.shape, dtype=np.int64)
    for border in borders:
        regime += level > border
    return regime

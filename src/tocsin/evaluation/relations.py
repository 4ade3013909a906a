"""Relations between columns that hold on one side of the label and not on the other.

Four forms are tried on all columns: `a = k * c`, `a = c + k`, `a + b = c` and `a * b = k * c`. The first also takes for
c 1, and the mean, sum, max, min and std of columns whose names differ in a number only. k is learnt on the normal rows,
on the anomalous ones, and rounded. A relation holds on a row if it holds within the decimals that its columns are
written with. All are tried on a few rows of each side, the most telling ones on many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Column, Mask, Matrix, Vector

ROWS, FEW_ROWS = 1_000, 32
"""Of each side: for the relations that tell most, and for all."""
KEPT = 40
"""Relations of one form that are tried on many rows."""
IN_PAIRS, IN_THREES = 256, 64
"""Columns that are tried so, the first that vary."""
GROUPS = 8

_DECIMALS = 6
_LOOSEST = 0.05
"""Coarse decimals excuse no greater difference than this share of a value."""
_EXACT = 1e-6
"""Share of a value that arithmetic may lose."""
_STATISTICS: Mapping[str, Callable[..., Vector]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "std": np.std,
}

Places = NDArray[np.intp]
Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Relation:
    """How well one relation tells the label."""

    text: str
    broken: bool
    """The anomalies are the rows that break it; False: those that keep it."""
    precision: float
    recall: float
    balanced_accuracy: float


@dataclass(frozen=True, slots=True)
class _Form:
    text: str
    columns: int
    """Tried at most."""
    join: str = ""
    """What stands between a and b; nothing where there is only a."""
    shifted: bool = False
    """k is added to c instead of multiplied with it."""
    statistics: bool = False
    """1 and statistics of numbered columns are tried for c too."""


_FORMS = (
    _Form("{a} = {right}", IN_PAIRS, statistics=True),
    _Form("{a} = {right}", IN_PAIRS, shifted=True),
    _Form("{a} + {b} = {right}", IN_THREES, join="+"),
    _Form("{a} * {b} = {right}", IN_THREES, join="*"),
)


@dataclass(frozen=True, slots=True)
class _Table:
    names: Sequence[str]
    normal: Matrix
    odd: Matrix
    half: Vector
    """(d,) half of the last decimal that a column is written with, 0 where it is exact."""

    @property
    def sides(self) -> tuple[Matrix, Matrix]:
        return self.normal, self.odd

    def of(self, form: _Form) -> _Table:
        """What a form takes for c."""
        names, half = list(self.names[: form.columns]), self.half[: form.columns]
        normal, odd = (x[:, : form.columns] for x in self.sides)
        if not form.statistics:
            return _Table(names, normal, odd, half)
        alike: dict[str, list[int]] = {}
        for column, name in enumerate(names):
            alike.setdefault(re.sub(r"\d+", "#", name), []).append(column)
        groups = [columns for columns in alike.values() if len(columns) > 1][:GROUPS]
        for group in groups:
            for what, statistic in _STATISTICS.items():
                normal, odd = (np.column_stack([x, statistic(x[:, group], axis=1)]) for x in (normal, odd))
                half = np.append(half, half[group].max())
                names.append(f"{what}({names[group[0]]} to {names[group[-1]]})")
        normal, odd = (np.column_stack([x, np.ones(len(x))]) for x in (normal, odd))
        return _Table([*names, "1"], normal, odd, np.append(half, 0.0))

    def few(self) -> _Table:
        """The same with a few rows of each side."""
        normal, odd = (x[_spread(np.arange(len(x)), FEW_ROWS)] for x in self.sides)
        return _Table(self.names, normal, odd, self.half)


@dataclass(frozen=True, slots=True)
class _Tried:
    """Relations of one form, (p,) each: which columns, which constant, how differently it holds on the two sides."""

    a: Places
    b: Places
    c: Places
    k: Vector
    contrast: Vector

    def best(self) -> _Tried:
        chosen = np.argsort(-self.contrast, kind="stable")[:KEPT]
        return _Tried(*(getattr(self, name)[chosen] for name in self.__slots__))


def best_relation(columns: Mapping[str, Column], anomalous: Mask) -> Relation | None:
    """The relation with the highest balanced accuracy; None where there is nothing to tell apart.

    Parameters
    ----------
    columns
        Numbers, (n,) each. A missing value, NaN, breaks every relation that it is part of.
    anomalous
        (n,)
    """
    sides = [_spread(np.flatnonzero(side), ROWS) for side in (~anomalous, anomalous)]
    if not columns or not all(len(side) for side in sides):
        return None
    both = np.concatenate(sides)
    names = [name for name, column in columns.items() if (column[both] != column[both[0]]).any()][:IN_PAIRS]
    if not names:
        return None
    normal, odd = (np.column_stack([columns[name][rows].astype(np.float64) for name in names]) for rows in sides)
    counts = np.array([columns[name].dtype.kind != "f" for name in names])
    # What was made up may be written otherwise: the coarser side says how exact a column can be.
    half = np.where(counts, 0.0, np.maximum(_half_decimals(normal), _half_decimals(odd)))
    table = _Table(names, normal, odd, half)
    best: Relation | None = None
    with np.errstate(all="ignore"):  # what overflows or divides by zero holds nowhere
        for form in _FORMS:
            found = _judged(form, table.of(form), min(len(names), form.columns), float(anomalous.mean()))
            # Of equals the first, which is the simplest.
            if found and (best is None or found.balanced_accuracy > best.balanced_accuracy + 0.001):
                best = found
    return best


def _spread(rows: Places, most: int) -> Places:
    """At most so many of the rows, evenly from the first to the last."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def _half_decimals(x: Matrix) -> Vector:
    half = np.zeros(x.shape[1])
    for decimals in range(_DECIMALS, -1, -1):
        written = np.isclose(np.round(x, decimals), x, rtol=1e-12, atol=1e-9, equal_nan=True)
        half = np.where(written.all(axis=0), 0.505 * 10.0**-decimals, half)
    return half


def _judged(form: _Form, table: _Table, lefts: int, share: float) -> Relation | None:
    """The best relation of one form, of those that tell most on a few rows."""
    tried = _screened(form, table.few(), lefts)
    if tried is None:
        return None
    on_normal, on_odd = (
        _equal(
            _left(form, x, table.half, tried.a, tried.b),
            _right(form, x[:, tried.c], table.half[tried.c], tried.k),
        ).mean(axis=0)
        for x in table.sides
    )
    plain = np.abs(tried.k - 1) < _EXACT  # of equals the one without a constant
    best = int(np.argmax(np.abs(on_normal - on_odd) + _EXACT * plain))
    broken = bool(on_normal[best] >= on_odd[best])
    wrong, recall = (1 - on_normal[best], 1 - on_odd[best]) if broken else (on_normal[best], on_odd[best])
    flagged = recall * share + wrong * (1 - share)
    precision = float(recall * share / flagged) if flagged else 0.0
    a, b, c = (table.names[column[best]] for column in (tried.a, tried.b, tried.c))
    text = form.text.format(a=a, b=b, right=_written(form, c, float(tried.k[best])))
    return Relation(text, broken, precision, float(recall), float(1 + recall - wrong) / 2)


def _written(form: _Form, c: str, k: float) -> str:
    if form.shifted and k != 0:
        return f"{c} {'-' if k < 0 else '+'} {abs(k):.6g}"
    if not form.shifted and (k == 0 or c == "1"):
        return f"{k:.6g}"
    return c if form.shifted or abs(k - 1) < _EXACT else f"{k:.6g} * {c}"


def _screened(form: _Form, table: _Table, lefts: int) -> _Tried | None:
    """The relations of one form that tell most."""
    pairs = list(combinations(range(lefts), 2)) if form.join else [(a, a) for a in range(lefts)]
    if not pairs:
        return None
    a, b = np.array(pairs, np.intp).T
    left = [_left(form, x, table.half, a, b) for x in table.sides]
    kept: list[_Tried] = []
    for column, half in enumerate(table.half):
        right = [x[:, [column]] for x in table.sides]
        itself = (a == column) | (b == column)
        for k in _constants(form, [values for values, _ in left], right):
            on_normal, on_odd = (
                _equal(one, _right(form, c, half, k)).mean(axis=0) for one, c in zip(left, right, strict=True)
            )
            contrast = np.where(itself, -1.0, np.abs(on_normal - on_odd))
            kept.append(_Tried(a, b, np.full(len(a), column), k, contrast).best())
    return _Tried(*(np.concatenate([getattr(part, name) for part in kept]) for name in _Tried.__slots__)).best()


Side = tuple[Matrix, Matrix | Vector]
"""Values, and how far their decimals may have moved them."""


def _left(form: _Form, x: Matrix, half: Vector, a: Places, b: Places) -> Side:
    one, other = x[:, a], x[:, b]
    if form.join == "+":
        return one + other, half[a] + half[b]
    if form.join == "*":
        return one * other, np.abs(one) * half[b] + np.abs(other) * half[a]
    return one, half[a]


def _right(form: _Form, c: Matrix, half: Vector | float, k: Vector) -> Side:
    return (c + k, np.broadcast_to(half, k.shape)) if form.shifted else (k * c, np.abs(k) * half)


def _equal(left: Side, right: Side) -> Truths:
    size = np.abs(right[0])
    slack = np.minimum(left[1] + right[1], _LOOSEST * size) + _EXACT * size
    return np.asarray(np.abs(left[0] - right[0]) <= slack)


def _constants(form: _Form, lefts: Sequence[Matrix], columns: Sequence[Matrix]) -> list[Vector]:
    """What k is on the normal rows and on the anomalous ones, and two digits of the first, which decimals blur."""
    if form.join == "+":
        return [np.ones(lefts[0].shape[1])]
    pairs = zip(lefts, columns, strict=True)
    normal, odd = (_middle(left - c if form.shifted else left / c) for left, c in pairs)
    unit = 10.0 ** (np.floor(np.log10(np.abs(normal))) - 1)
    return [normal, odd, np.round(normal / unit) * unit]


def _middle(values: Matrix) -> Vector:
    """One of the middle values of each column that are not NaN, (n, p) -> (p,)."""
    count = np.count_nonzero(~np.isnan(values), axis=0)
    middle = np.minimum(count // 2, len(values) - 1)
    return np.asarray(np.take_along_axis(np.sort(values, axis=0), middle[None], axis=0)[0])

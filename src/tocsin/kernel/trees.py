"""Trees as flat arrays: one layout for grown and imported ensembles, and the walks through it.

All trees of an ensemble share their arrays, so that one gather per level moves every row through every tree:

=========  =======  ====================================================================================
feature    int32    column that the node compares; 0 in a leaf
threshold  float64  a value at or below it goes left, above it right; +inf in a leaf
missing    int8     1 where NaN goes right, 0 where it goes left; 0 in a leaf
left       int32    the left child, behind its parent; the right child is the next node; a leaf names itself
value      float64  in a leaf what it says; in an inner node the mean of its leaves, weighted by training rows
roots      int32    the first node of every tree
=========  =======  ====================================================================================

A leaf leads back to itself, so every walk takes the same number of steps and none has to ask where it ends.
Values are compared as float32, thresholds as float64, as scikit-learn does.

Leaf values are added in float64, one tree after the other: every walk gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array, checked
from tocsin.errors import IntegrityError, SchemaError
from tocsin.kernel import walk_tables
from tocsin.records import Mask, Matrix, Vector

try:
    from tocsin.kernel import walks as compiled
except ImportError:  # no C compiler was at hand
    compiled = None  # type: ignore[assignment]

Indices = NDArray[np.intp]
Trees = dict[str, NDArray[Any]]
"""The arrays of the table above, by name."""

MAX_NODES = 20_000_000
MAX_DEPTH = 64
# Far above any path length or log-odds, far below what a sum over MAX_NODES trees could overflow.
MAX_VALUE = 1e12
ARRAYS: Mapping[str, Array] = {
    "feature": Array(("nodes",), np.int32, 0),
    "threshold": Array(("nodes",), most=inf, down=True),
    "missing": Array(("nodes",), np.int8, 0, 1),
    "left": Array(("nodes",), np.int32, 0),
    "value": Array(("nodes",), least=-MAX_VALUE, most=MAX_VALUE),
    "roots": Array(("trees",), np.int32, 0),
}
DTYPES: Mapping[str, type[np.generic]] = {name: array.dtype for name, array in ARRAYS.items()}
# (row, tree) pairs that walk together: few enough that what they touch stays in the second-level cache.
_PAIRS = 12_800
_ROWS = 1_024
# The bit-vector walk takes as long for one row as for 64, and asks a test for 64 rows in the time that the portable
# walk takes for three steps: it pays from so many rows on, while there are at most so many tests to a step.
_MANY_ROWS = 24
_MANY_TESTS = 25
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def as_float32(x: Matrix) -> NDArray[np.float32]:
    """The values as trees compare them; what lies outside float32 becomes its largest value."""
    return np.clip(x, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)


def walks() -> tuple[str, ...]:
    """The walks that can be taken on this machine, the quickest first; all give the same bits.

    `avx512` asks every test of 64 rows at once, `portable` is compiled for every processor, `numpy` needs nothing
    compiled.
    """
    if compiled is None:
        return ("numpy",)
    return ("avx512", "portable", "numpy") if compiled.avx512() else ("portable", "numpy")


class TreeEnsemble:
    """Trees ready to be walked.

    Parameters
    ----------
    trees
        The arrays, as `validate` accepts them.
    depth
        Steps from a root to the deepest leaf.
    walk
        One of `walks()`; by default the quickest for the trees and the rows at hand.
    """

    def __init__(self, trees: Trees, depth: int, walk: str | None = None) -> None:
        if walk is not None and walk not in walks():
            raise ValueError(f"walk is {walk!r}, wanted one of {', '.join(walks())} on this machine")
        self.arrays = trees
        self.depth = depth
        self.walk = walk
        self._columns = walk_tables.columns(trees)
        # What takes few rows, or trees with many tests, and what takes the rest.
        self._step_by_step = walk or walks()[-2:][0]
        self._all_at_once = walk or walks()[0]

    def leaf_sum(self, x: Matrix) -> Vector:
        """Sum over the trees, in their order, of the leaf value that each row of x (n, d) reaches, (n,)."""
        rows, columns = x.shape
        if columns < self._columns:
            raise SchemaError("trees", f"{columns} columns", f"{self._columns}, which the trees compare")
        x = np.ascontiguousarray(x, dtype=np.float64)
        sums = np.empty(rows)
        walk = self._all_at_once if rows >= _MANY_ROWS and self._few_tests else self._step_by_step
        if walk == "avx512":
            self._words.sum(x, sums)
        elif walk == "portable":
            self._nodes.sum(x, sums)
        else:
            self._gathers.sum(x, sums)
        return sums

    def leaf_mean(self, x: Matrix) -> Vector:
        """Mean over the trees of the leaf value that each row of x (n, d) reaches, (n,)."""
        return self.leaf_sum(x) / len(self.arrays["roots"])

    def shares(self, x: Matrix) -> Matrix:
        """What each column of x (n, d) took from the expected value on the way down, (n, d), mean over the trees.

        A row's shares add up to the mean of the roots' values less the mean of the leaves' values.
        """
        return self._gathers.shares(x)

    @cached_property
    def _few_tests(self) -> bool:
        inner = (len(self.arrays["left"]) - len(self.arrays["roots"])) // 2
        return bool(inner <= _MANY_TESTS * self.depth * len(self.arrays["roots"]))

    @cached_property
    def _words(self) -> compiled.Words:
        return compiled.Words(**walk_tables.word_table(self.arrays, self._levels()))

    @cached_property
    def _nodes(self) -> compiled.Nodes:
        return compiled.Nodes(**walk_tables.node_table(self.arrays, self._levels()))

    @cached_property
    def _gathers(self) -> _Gathers:
        return _Gathers(self.arrays, self.depth)

    def _levels(self) -> list[Indices]:
        return levels(self.arrays["left"], self.arrays["roots"])


class _Gathers:
    """The walk by numpy: one gather per level moves many rows through all trees."""

    def __init__(self, trees: Trees, depth: int) -> None:
        self._depth = depth
        self._feature = trees["feature"].astype(np.intp)
        self._left = trees["left"].astype(np.intp)
        self._roots = trees["roots"].astype(np.intp)
        self._cut = walk_tables.round_down(trees["threshold"])
        self._missing = trees["missing"].astype(np.bool_) if trees["missing"].any() else None
        self._value: Vector = trees["value"]

    def sum(self, x: Matrix, sums: Vector) -> None:
        """Write to sums what the leaves that each row of x reaches add up to, tree after tree."""
        for rows, cells, offset, roots in self._blocks(x):
            node = roots
            for _ in range(self._depth):
                _, node = self._step(cells, offset, node)
            added = np.add.accumulate(self._value.take(node).reshape(-1, len(self._roots)), axis=1)
            sums[rows] = added[:, -1] + 0.0  # what is added to 0 is never -0

    def shares(self, x: Matrix) -> Matrix:
        shares = np.zeros(x.shape)
        for rows, cells, offset, roots in self._blocks(x):
            block, node = shares[rows], roots
            for _ in range(self._depth):
                cell, child = self._step(cells, offset, node)
                lost = self._value.take(node) - self._value.take(child)
                block += np.bincount(cell, lost, minlength=block.size).reshape(block.shape)
                node = child
        return shares / len(self._roots)

    def _blocks(self, x: Matrix) -> Iterator[tuple[slice, NDArray[np.float32], Indices, Indices]]:
        trees, columns = len(self._roots), x.shape[1]
        size = min(max(1, _PAIRS // trees), _ROWS)
        for start in range(0, len(x), size):
            cells = as_float32(x[start : start + size])
            offset = np.arange(0, cells.size, columns).repeat(trees)
            yield slice(start, start + size), cells.ravel(), offset, np.tile(self._roots, len(cells))

    def _step(self, cells: NDArray[np.float32], offset: Indices, node: Indices) -> tuple[Indices, Indices]:
        """The cell that each (row, tree) pair compares at its node, and the node it goes to."""
        cell = self._feature.take(node, mode="clip")
        cell += offset
        child = self._left.take(node, mode="clip")
        value = cells.take(cell, mode="clip")
        child += value > self._cut.take(node, mode="clip")
        if self._missing is not None:
            child += np.isnan(value) & self._missing.take(node, mode="clip")
        return cell, child


def validate(arrays: Mapping[str, Any], columns: int, where: str) -> TreeEnsemble:
    """The ensemble in arrays of unknown origin.

    Raises
    ------
    IntegrityError
        If any array could make a walk leave memory, never end, or answer with anything but a finite number.
    """
    trees: Trees = {name: np.ascontiguousarray(a) for name, a in checked(arrays, ARRAYS, where).items()}
    nodes, roots = len(trees["left"]), len(trees["roots"])
    if not 1 <= roots <= nodes <= MAX_NODES:
        got = f"{nodes} nodes and {roots} roots"
        raise IntegrityError(where, got, f"1 to {MAX_NODES} nodes, a root for every tree")
    return TreeEnsemble(trees, _validate_nodes(trees, columns, where))


def _validate_nodes(trees: Trees, columns: int, where: str) -> int:
    """The depth of the ensemble, once every node has been found harmless."""
    feature, threshold, missing = trees["feature"], trees["threshold"], trees["missing"]
    left, roots = trees["left"].astype(np.int64), trees["roots"].astype(np.int64)
    nodes = np.arange(len(left))
    inner = left != nodes
    _refuse(f"{where}.feature", feature, feature >= columns, f"a column of 0 to {columns - 1}")
    _refuse(f"{where}.roots", roots, roots >= len(left), f"a node of 0 to {len(left) - 1}")
    _refuse(f"{where}.left", left, (left < nodes) | (left + inner >= len(left)), "the node itself or one behind it")
    _refuse(f"{where}.threshold", threshold, inner & ~np.isfinite(threshold), "a finite number in an inner node")
    _refuse(f"{where}.threshold", threshold, ~inner & (threshold != np.inf), "+inf in a leaf")
    _refuse(f"{where}.missing", missing, missing > inner, "0, or 1 in an inner node")
    named = np.bincount(np.concatenate([left[inner], left[inner] + 1, roots]), minlength=len(left))
    _refuse(f"{where}.left", named, named != 1, "1 parent for every node that is no root, and none for a root")
    return len(levels(left, roots, where)) - 1


def _refuse(where: str, array: NDArray[Any], wrong: Mask, wanted: str) -> None:
    if wrong.any():
        node = int(wrong.argmax())
        raise IntegrityError(where, f"{array[node]} at {node}", wanted)


def levels(left: NDArray[Any], roots: NDArray[Any], where: str = "trees") -> list[Indices]:
    """The nodes by their distance from the root, siblings side by side.

    Raises
    ------
    IntegrityError
        If a tree is deeper than `MAX_DEPTH`.
    """
    found: list[Indices] = []
    level = roots.astype(np.intp)
    while len(level):
        _refuse_deeper(found, where)
        found.append(level)
        child = left[level[left[level] != level]].astype(np.intp)
        level = np.column_stack([child, child + 1]).ravel()
    return found


def _refuse_deeper(levels: list[Indices], where: str) -> None:
    if len(levels) > MAX_DEPTH:
        raise IntegrityError(where, f"a tree of more than {MAX_DEPTH} levels", "a shallower one")


def settle(trees: Trees, rows: NDArray[Any]) -> TreeEnsemble:
    """The ensemble whose leaves have these values: inner nodes get the mean of theirs.

    Parameters
    ----------
    trees
        The arrays; `value` is read in the leaves alone.
    rows
        (nodes,) training rows that reached each node, or their weight, above 0.
    """
    left, value = trees["left"], trees["value"].copy()
    found = levels(left, trees["roots"])
    for level in reversed(found):
        inner = level[left[level] != level]
        child = left[inner]
        total = rows[child] + rows[child + 1]
        value[inner] = (rows[child] * value[child] + rows[child + 1] * value[child + 1]) / total
    return TreeEnsemble({**trees, "value": value}, len(found) - 1)


def lay_out(children: Indices, trees: Trees, where: str = "trees") -> tuple[Trees, Indices]:
    """The layout of nodes that lie in any order, and where each of them lay.

    Parameters
    ----------
    children
        (nodes, 2) left and right child; -1 in a leaf.
    trees
        The arrays save `left`, in the order of `children`.

    Raises
    ------
    IntegrityError
        If a tree is deeper than `MAX_DEPTH`.
    """
    found = [trees["roots"].astype(np.intp)]
    while len(inner := found[-1][children[found[-1], 0] >= 0]):
        _refuse_deeper(found, where)
        found.append(children[inner].ravel())
    order = np.concatenate(found)
    place = np.empty(len(children), dtype=np.intp)
    place[order] = np.arange(len(order))
    leaf = children[order, 0] < 0
    laid = {
        "feature": np.where(leaf, 0, trees["feature"][order]),
        "threshold": np.where(leaf, np.inf, trees["threshold"][order]),
        "missing": np.where(leaf, 0, trees["missing"][order]),
        "left": np.where(leaf, place[order], place[children[order, 0]]),
        "value": trees["value"][order],
        "roots": place[trees["roots"]],
    }
    return {name: laid[name].astype(dtype) for name, dtype in DTYPES.items()}, order

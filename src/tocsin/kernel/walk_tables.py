"""The tables that the compiled walks run over, made of an ensemble's arrays; no part of a model.

Both walks name a cell by the column that a node compares. Where some nodes send NaN to the right, a row has two cells
for each column: the value as it is, which is above no cut where it is NaN, and behind it the value with +inf in place
of NaN, which is above every one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Vector

Arrays = Mapping[str, NDArray[Any]]
Levels = Sequence[NDArray[np.intp]]
Indices32 = NDArray[np.int32]

NODE = np.dtype([("cut", np.float32), ("cell", np.uint32), ("left", np.uint32), ("unused", np.uint32)])
TEST = np.dtype([("cut", np.float32), ("cell", np.uint32), ("mask", np.uint32)])
WORD = np.dtype([("tests_end", np.int32), ("leaf", np.int32)])
TOGETHER = 10
"""Trees that the portable walk descends side by side."""
_BITS = 32


def round_down(threshold: Vector) -> NDArray[np.float32]:
    """The largest float32 at or below each threshold: comparing with it decides as the threshold itself does."""
    with np.errstate(over="ignore"):
        cut = threshold.astype(np.float32)
    return np.where(cut > threshold, np.nextafter(cut, np.float32(-np.inf)), cut)


def columns(trees: Arrays) -> int:
    """Columns that a row must have."""
    return int(trees["feature"].max()) + 1


def node_table(trees: Arrays, levels: Levels) -> dict[str, Any]:
    """What `walks.Nodes` is made of."""
    nodes = np.zeros(len(trees["left"]), dtype=NODE)
    nodes["cut"], nodes["cell"], nodes["left"] = round_down(trees["threshold"]), _cells(trees), 2 * trees["left"]
    tree = _tree_of_nodes(trees, levels)
    depths = np.zeros(len(trees["roots"]), dtype=np.int32)
    for depth, level in enumerate(levels):
        depths[tree[level]] = depth
    groups = np.arange(0, len(depths), TOGETHER)
    return {
        "nodes": nodes,
        "value": trees["value"],
        "roots": np.pad(2 * trees["roots"].astype(np.uint32), (0, -len(depths) % TOGETHER), mode="edge"),
        "steps": np.maximum.reduceat(depths, groups),
        "trees": len(depths),
        "columns": columns(trees),
        "twice": bool(trees["missing"].any()),
    }


def word_table(trees: Arrays, levels: Levels) -> dict[str, Any]:
    """What `walks.Words` is made of.

    The leaves of a tree are numbered from left to right and lie in words of 32. An inner node strikes the leaves of its
    left subtree out of every word that holds some of them. The last word of a tree comes first.
    """
    left, roots = trees["left"], trees["roots"]
    inner = np.flatnonzero(left != np.arange(len(left)))
    leaf = np.flatnonzero(left == np.arange(len(left)))
    tree = _tree_of_nodes(trees, levels)
    count, first = _leaf_ranges(left, levels)
    leaves_before = np.cumsum(count[roots]) - count[roots]
    words = -(-count[roots] // _BITS)
    words_end = np.cumsum(words)

    start, end = first[inner], first[inner] + count[left[inner]]
    spans = (end - 1) // _BITS - start // _BITS + 1
    node, start, end = inner.repeat(spans), start.repeat(spans), end.repeat(spans)
    word = start // _BITS + np.arange(len(node)) - (np.cumsum(spans) - spans).repeat(spans)
    place = words_end[tree[node]] - 1 - word
    order = np.lexsort((trees["feature"][node], place))
    tests = np.empty(len(node), dtype=TEST)
    tests["cut"], tests["cell"] = round_down(trees["threshold"][node]), _cells(trees)[node]
    tests["mask"] = ~_bits(np.maximum(start - _BITS * word, 0), np.minimum(end - _BITS * word, _BITS))

    table = np.empty(words_end[-1], dtype=WORD)
    table["tests_end"] = np.cumsum(np.bincount(place, minlength=len(table)))
    of = np.arange(len(roots)).repeat(words)
    table["leaf"] = leaves_before[of] + _BITS * (words_end[of] - 1 - np.arange(len(table)))
    leaves = np.empty(len(leaf))
    leaves[leaves_before[tree[leaf]] + first[leaf]] = trees["value"][leaf]
    return {
        "tests": tests[order],
        "words": table,
        "words_end": words_end.astype(np.int32),
        "leaves": leaves,
        "columns": columns(trees),
        "twice": bool(trees["missing"].any()),
    }


def _cells(trees: Arrays) -> NDArray[np.uint32]:
    cells = trees["feature"].astype(np.uint32)
    return 2 * cells + trees["missing"].astype(np.uint32) if trees["missing"].any() else cells


def _tree_of_nodes(trees: Arrays, levels: Levels) -> NDArray[np.intp]:
    left = trees["left"]
    tree = np.empty(len(left), dtype=np.intp)
    tree[trees["roots"]] = np.arange(len(trees["roots"]))
    for level in levels:
        inner = level[left[level] != level]
        tree[left[inner]] = tree[left[inner] + 1] = tree[inner]
    return tree


def _leaf_ranges(left: Indices32, levels: Levels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many leaves hang below each node, and the number of the first of them in its tree."""
    count, first = np.ones(len(left), dtype=np.int64), np.zeros(len(left), dtype=np.int64)
    for level in reversed(levels):
        inner = level[left[level] != level]
        count[inner] = count[left[inner]] + count[left[inner] + 1]
    for level in levels:
        inner = level[left[level] != level]
        first[left[inner]] = first[inner]
        first[left[inner] + 1] = first[inner] + count[left[inner]]
    return count, first


def _bits(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Words in which the bits of start to end - 1 are set, counted from the highest."""
    ones = (np.uint64(1) << (end - start).astype(np.uint64)) - np.uint64(1)
    return (ones << (_BITS - end).astype(np.uint64)).astype(np.uint32)

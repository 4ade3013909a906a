"""Every walk gives the bits of the plainest one, on any trees and any rows."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tocsin.errors import SchemaError
from tocsin.kernel import trees as module
from tocsin.kernel.trees import MAX_DEPTH, TreeEnsemble, Trees, as_float32, levels, validate, walks
from tocsin.records import Matrix, Vector

COLUMNS = 3
CUTS = (0.0, -0.0, 0.1, -0.1, 1.5, 1e-50, 16777217.0, 3.4028234663852886e38, 3.5e38, -3.5e38, 1e300, -1e300)
BESIDE = tuple(float(np.nextafter(np.float32(cut), np.float32(side))) for cut in CUTS[:6] for side in (-9e9, 9e9))
CELLS = (*CUTS, *BESIDE, np.nan, np.inf, -np.inf, 1e308, -1e308)


def reached(trees: Trees, x: Matrix) -> Vector:
    """The sums that the plainest walk finds: node by node, leaf values added in the order of the trees."""
    sums = np.zeros(len(x))
    for number, row in enumerate(as_float32(x).astype(np.float64)):
        for root in trees["roots"]:
            node = root
            while trees["left"][node] != node:
                cell = row[trees["feature"][node]]
                right = trees["missing"][node] if np.isnan(cell) else cell > trees["threshold"][node]
                node = trees["left"][node] + right
            sums[number] += trees["value"][node]
    return sums


def finished(left: list[int], roots: int, inner: dict[str, NDArray[np.generic]], value: Vector) -> Trees:
    is_leaf = np.array(left) == np.arange(len(left))
    return {
        "feature": np.where(is_leaf, 0, inner["feature"]).astype(np.int32),
        "threshold": np.where(is_leaf, np.inf, inner["threshold"]).astype(np.float64),
        "missing": np.where(is_leaf, 0, inner["missing"]).astype(np.int8),
        "left": np.array(left, dtype=np.int32),
        "value": value,
        "roots": np.arange(roots, dtype=np.int32),
    }


def random_trees(rng: np.random.Generator, leaves: list[int], missing: float = 0.3) -> Trees:
    """Trees of so many leaves, grown by cutting leaves at random."""
    left = list(range(len(leaves)))
    for root, wanted in enumerate(leaves):
        mine = [root]
        while len(mine) < wanted:
            node = mine.pop(int(rng.integers(len(mine))))
            left[node] = len(left)
            mine += [len(left), len(left) + 1]
            left += mine[-2:]
    nodes = len(left)
    inner: dict[str, NDArray[np.generic]] = {
        "feature": rng.integers(0, COLUMNS, nodes),
        "threshold": rng.normal(size=nodes),
        "missing": rng.random(nodes) < missing,
    }
    return finished(left, len(leaves), inner, rng.normal(size=nodes))


def random_rows(rng: np.random.Generator, rows: int, missing: float = 0.1) -> Matrix:
    x = rng.normal(size=(rows, COLUMNS))
    x[rng.random(x.shape) < missing] = np.nan
    return x


def assert_all_walks_agree(trees: Trees, x: Matrix) -> None:
    ensemble = validate(trees, x.shape[1], "trees")
    wanted = reached(trees, x).tobytes()
    assert ensemble.leaf_sum(x).tobytes() == wanted
    for walk in walks():
        assert TreeEnsemble(trees, ensemble.depth, walk).leaf_sum(x).tobytes() == wanted, walk


@st.composite
def some_trees(draw: st.DrawFn) -> Trees:
    roots = draw(st.integers(1, 23))
    left, leaves = list(range(roots)), list(range(roots))
    for choice in draw(st.lists(st.integers(0, 1_000), max_size=MAX_DEPTH)):
        node = leaves.pop(choice % len(leaves))
        left[node] = len(left)
        leaves += [len(left), len(left) + 1]
        left += leaves[-2:]
    inner: dict[str, NDArray[np.generic]] = {
        "feature": draw(hnp.arrays(np.int32, len(left), elements=st.integers(0, COLUMNS - 1))),
        "threshold": draw(hnp.arrays(np.float64, len(left), elements=st.sampled_from(CUTS))),
        "missing": draw(hnp.arrays(np.int8, len(left), elements=st.integers(0, 1))),
    }
    return finished(left, roots, inner, draw(hnp.arrays(np.float64, len(left), elements=st.floats(-1e9, 1e9))))


cells = st.one_of(st.sampled_from(CELLS), st.floats())
some_rows = hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(COLUMNS)), elements=cells)


@settings(max_examples=200, deadline=None)
@given(some_trees(), some_rows, st.integers(1, 130))
def test_all_walks_give_the_same_bits(trees: Trees, some: Matrix, rows: int) -> None:
    assert_all_walks_agree(trees, np.resize(some, (rows, COLUMNS)))


@pytest.mark.parametrize("leaves", [1, 2, 31, 32, 33, 63, 64, 65, 96, 97, 129, 700, 2_000])
def test_trees_of_many_words_are_walked_exactly(leaves: int, rng: np.random.Generator) -> None:
    assert_all_walks_agree(random_trees(rng, [leaves, 3, leaves]), random_rows(rng, 200))


@pytest.mark.parametrize("side", [0, 1])
def test_a_tree_as_deep_as_can_be_is_walked_exactly(side: int, rng: np.random.Generator) -> None:
    left = list(range(2 * MAX_DEPTH + 1))
    node = 0
    for child in range(1, 2 * MAX_DEPTH, 2):
        left[node] = child
        node = child + side
    nodes = len(left)
    inner: dict[str, NDArray[np.generic]] = {
        "feature": rng.integers(0, COLUMNS, nodes),
        "threshold": rng.normal(loc=2.0 - 4.0 * side, size=nodes),
        "missing": rng.random(nodes) < 0.5,
    }
    assert_all_walks_agree(finished(left, 1, inner, rng.normal(size=nodes)), random_rows(rng, 200, missing=0.02))


@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 17, 23, 24, 63, 64, 65, 129, 1_025])
def test_any_number_of_rows_gives_the_bits_of_single_rows(rows: int, rng: np.random.Generator) -> None:
    trees = random_trees(rng, [40] * 11)
    x = random_rows(rng, rows)
    assert_all_walks_agree(trees, x)
    ensemble = validate(trees, COLUMNS, "trees")
    assert ensemble.leaf_sum(x).tolist() == [ensemble.leaf_sum(row[None])[0] for row in x]


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 104, 513])
def test_tables_of_any_width_are_walked_exactly(columns: int, rng: np.random.Generator) -> None:
    trees = random_trees(rng, [80] * 5)
    inner = trees["threshold"] < np.inf
    trees["feature"][inner] = rng.integers(0, columns, inner.sum())
    x = rng.normal(size=(100, columns))
    x[rng.random(x.shape) < 0.1] = np.nan
    assert_all_walks_agree(trees, x)


def test_rows_may_lie_in_memory_in_any_way(rng: np.random.Generator) -> None:
    trees = random_trees(rng, [50] * 3)
    x = np.vstack([random_rows(rng, 100), np.zeros((100, COLUMNS))])
    for view in (np.asfortranarray(x), x[::-3], np.hstack([x, x])[:, ::2][:, :COLUMNS], x[:, ::-1]):
        assert_all_walks_agree(trees, view)
    view = x[:80]
    view.flags.writeable = False
    assert_all_walks_agree(trees, view)


def test_columns_that_no_tree_compares_are_not_needed(rng: np.random.Generator) -> None:
    trees = random_trees(rng, [20] * 3)
    wide = np.hstack([random_rows(rng, 90), np.full((90, 50), np.nan)])
    assert_all_walks_agree(trees, wide)


@pytest.mark.parametrize("walk", walks())
def test_rows_of_too_few_columns_are_refused(walk: str, rng: np.random.Generator) -> None:
    trees = random_trees(rng, [50] * 3)
    ensemble = TreeEnsemble(trees, len(levels(trees["left"], trees["roots"])) - 1, walk)
    with pytest.raises(SchemaError, match="2 columns, wanted 3, which the trees compare"):
        ensemble.leaf_sum(np.zeros((100, COLUMNS - 1)))


def test_a_walk_that_this_machine_cannot_take_is_refused(rng: np.random.Generator) -> None:
    trees = random_trees(rng, [2])
    with pytest.raises(ValueError, match=r"walk is 'leaps', wanted one of .*numpy on this machine"):
        TreeEnsemble(trees, 1, "leaps")


def test_where_nothing_is_compiled_numpy_walks(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(module, "compiled", None)
    assert walks() == ("numpy",)
    trees, x = random_trees(rng, [70] * 4), random_rows(rng, 100)
    assert_all_walks_agree(trees, x)


@pytest.mark.parametrize("walk", walks()[:-1])
def test_a_compiled_walk_lets_other_threads_run(walk: str, rng: np.random.Generator) -> None:
    trees = random_trees(rng, [50] * 100)
    ensemble = TreeEnsemble(trees, len(levels(trees["left"], trees["roots"])) - 1, walk)
    x = random_rows(rng, 5_000)
    ensemble.leaf_sum(x)
    go, ran = threading.Lock(), threading.Event()

    def wait() -> None:
        with go:
            ran.set()

    go.acquire()
    other = threading.Thread(target=wait)
    other.start()
    interval = sys.getswitchinterval()
    # From here on the other thread runs only if this one lets go of the interpreter by itself.
    sys.setswitchinterval(1_000.0)
    try:
        go.release()
        ran_meanwhile = False
        for _ in range(500):
            ensemble.leaf_sum(x)
            if ran_meanwhile := ran.is_set():
                break
    finally:
        sys.setswitchinterval(interval)
        other.join()
    assert ran_meanwhile

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.errors import IntegrityError
from tocsin.kernel.trees import DTYPES, MAX_DEPTH, Trees, as_float32, lay_out, levels, settle, validate
from tocsin.records import Matrix

# Two trees side by side, as they lie in the arrays:
#   0: column 0 <= 1.0 ? 2 : 3          1: a leaf of 8.0
#   2: a leaf of 1.0   3: column 1 <= 0.5 ? 4 : 5
#   4: a leaf of 2.0   5: a leaf of 6.0
ROWS = np.array([8, 8, 4, 4, 3, 1])


def two_trees() -> Trees:
    inf = np.inf
    return {
        "feature": np.array([0, 0, 0, 1, 0, 0], dtype=np.int32),
        "threshold": np.array([1.0, inf, inf, 0.5, inf, inf]),
        "missing": np.array([0, 0, 0, 1, 0, 0], dtype=np.int8),
        "left": np.array([2, 1, 2, 4, 4, 5], dtype=np.int32),
        "value": np.array([2.0, 8.0, 1.0, 3.0, 2.0, 6.0]),
        "roots": np.array([0, 1], dtype=np.int32),
    }


def walked(trees: Trees, x: Matrix) -> list[float]:
    """The means that a plain walk finds, one row and one tree after the other."""
    means = []
    for row in as_float32(x).astype(float):
        total = 0.0
        for root in trees["roots"]:
            node = root
            while trees["left"][node] != node:
                cell = row[trees["feature"][node]]
                right = trees["missing"][node] if np.isnan(cell) else cell > trees["threshold"][node]
                node = trees["left"][node] + right
            total += float(trees["value"][node])
        means.append(total / len(trees["roots"]))
    return means


def random_trees(rng: np.random.Generator, columns: int) -> Trees:
    """Some trees of some shape, by cutting leaves at random."""
    roots = int(rng.integers(1, 5))
    left = list(range(roots))
    for _ in range(int(rng.integers(0, 30))):
        leaf = int(rng.choice([node for node, child in enumerate(left) if node == child]))
        left[leaf] = len(left)
        left += [len(left), len(left) + 1]
    is_leaf = np.array(left) == np.arange(len(left))
    return {
        "feature": np.where(is_leaf, 0, rng.integers(0, columns, len(left))).astype(np.int32),
        "threshold": np.where(is_leaf, np.inf, rng.normal(size=len(left))),
        "missing": np.where(is_leaf, 0, rng.integers(0, 2, len(left))).astype(np.int8),
        "left": np.array(left, dtype=np.int32),
        "value": rng.exponential(size=len(left)),
        "roots": np.arange(roots, dtype=np.int32),
    }


def test_a_value_at_the_threshold_goes_left() -> None:
    ensemble = validate(two_trees(), 2, "trees")
    rows = np.array([[1.0, 9.0], [1.0001, 0.5], [1.0001, 0.5001]])
    assert ensemble.leaf_mean(rows).tolist() == [4.5, 5.0, 7.0]


def test_a_missing_value_goes_where_its_node_says() -> None:
    ensemble = validate(two_trees(), 2, "trees")
    rows = np.array([[np.nan, 9.0], [2.0, np.nan], [np.nan, np.nan]])
    assert ensemble.leaf_mean(rows).tolist() == [4.5, 7.0, 4.5]
    assert ensemble.shares(rows).tolist() == [[0.5, 0.0], [-0.5, -1.5], [0.5, 0.0]]


def test_shares_name_the_columns_that_were_asked_on_the_way() -> None:
    ensemble = validate(two_trees(), 2, "trees")
    # The roots expect (2 + 8) / 2 = 5. Going left at column 0 loses 1 of it, right gains 1, and so on.
    assert ensemble.shares(np.array([[0.0, 9.0], [2.0, 0.0], [2.0, 1.0]])).tolist() == [
        [0.5, 0.0],
        [-0.5, 0.5],
        [-0.5, -1.5],
    ]


def test_inner_nodes_expect_the_mean_of_their_rows() -> None:
    trees = two_trees()
    wanted = trees["value"].copy()
    trees["value"][[0, 3]] = -1.0
    assert settle(trees, ROWS).arrays["value"].tolist() == wanted.tolist()


def test_a_walk_through_blocks_agrees_with_a_plain_one(rng: np.random.Generator) -> None:
    for _ in range(20):
        trees = random_trees(rng, columns=3)
        x = rng.normal(size=(50, 3))
        x[rng.random(x.shape) < 0.1] = np.nan
        assert validate(trees, 3, "trees").leaf_mean(x).tolist() == walked(trees, x)


def test_many_rows_give_the_bits_of_single_rows(rng: np.random.Generator) -> None:
    ensemble = validate(random_trees(rng, columns=3), 3, "trees")
    x = rng.normal(size=(3_000, 3))
    some = [0, 1_023, 1_024, 2_999]
    assert ensemble.leaf_mean(x)[some].tolist() == [ensemble.leaf_mean(x[[row]])[0] for row in some]
    assert ensemble.shares(x)[some].tolist() == [ensemble.shares(x[[row]])[0].tolist() for row in some]


def test_shares_add_up_to_what_the_walk_lost(rng: np.random.Generator) -> None:
    ensemble = validate(random_trees(rng, columns=4), 4, "trees")
    x = rng.normal(size=(200, 4))
    expected = ensemble.arrays["value"][ensemble.arrays["roots"]].mean()
    np.testing.assert_allclose(ensemble.shares(x).sum(axis=1), expected - ensemble.leaf_mean(x), atol=1e-12)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1e-50, -1e-50, 1e300, -1e300, 3.5e38, -3.5e38, 16777217.0])
def test_a_threshold_between_two_float32_decides_as_it_is(threshold: float) -> None:
    trees = two_trees()
    trees["threshold"][0] = threshold
    nearest = np.float32(np.clip(threshold, -3.4e38, 3.4e38))
    values = [0.0, -np.inf, np.inf, nearest, np.nextafter(nearest, np.float32(-np.inf))]
    values += [np.nextafter(nearest, np.float32(np.inf))]
    x = np.array([[np.clip(float(value), -1e308, 1e308), 0.0] for value in values])
    assert validate(trees, 2, "trees").leaf_mean(x).tolist() == walked(trees, x)


def test_nodes_in_any_order_are_laid_out_with_siblings_side_by_side() -> None:
    # The first of the two trees above as it could come from elsewhere: depth first, right before left.
    children = np.array([[4, 1], [3, 2], [-1, -1], [-1, -1], [-1, -1], [-1, -1]])
    given_trees: Trees = {
        "feature": np.array([0, 1, -2, -2, -2, -2]),
        "threshold": np.array([1.0, 0.5, -2.0, -2.0, -2.0, -2.0]),
        "missing": np.array([0, 1, 1, 1, 1, 1]),
        "value": np.array([2.0, 3.0, 6.0, 2.0, 1.0, 8.0]),
        "roots": np.array([0, 5]),
    }
    laid, order = lay_out(children, given_trees)
    assert order.tolist() == [0, 5, 4, 1, 3, 2]
    for name, wanted in two_trees().items():
        assert laid[name].tolist() == wanted.tolist()
        assert laid[name].dtype == DTYPES[name]


def test_levels_are_the_distances_from_the_roots() -> None:
    trees = two_trees()
    assert [level.tolist() for level in levels(trees["left"], trees["roots"])] == [[0, 1], [2, 3], [4, 5]]


def put(name: str, node: int, value: float) -> Callable[[Trees], None]:
    def change(trees: Trees) -> None:
        trees[name][node] = value

    return change


def replace(name: str, array: object) -> Callable[[Trees], None]:
    def change(trees: Trees) -> None:
        trees[name] = array  # type: ignore[assignment]  # what a hostile file may hold

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("feature", 0, 2), "trees.feature\n  got 2 at 0, wanted a column of 0 to 1"),
        (put("feature", 2, -1), "got -1 at 2"),
        (put("left", 3, 1_000_000_000), "got 1000000000 at 3, wanted the node itself or one behind it"),
        (put("left", 3, 0), "got 0 at 3"),
        (put("left", 3, 5), "got 5 at 3"),
        (put("left", 3, 3), "trees.threshold\n  got 0.5 at 3, wanted \\+inf in a leaf"),
        (put("left", 0, 3), "1 parent for every node"),
        (put("left", 0, 4), "1 parent for every node"),
        (put("roots", 1, 0), "1 parent for every node"),
        (put("roots", 1, 6), "got 6 at 1, wanted a node of 0 to 5"),
        (put("roots", 1, -1), "got -1 at 1"),
        (put("threshold", 0, np.nan), "got nan at 0"),
        (put("threshold", 0, np.inf), "got inf at 0"),
        (put("missing", 3, 2), "trees.missing\n  got 2 at 3"),
        (put("missing", 3, -1), "got -1 at 3"),
        (put("missing", 4, 1), "got 1 at 4"),
        (put("value", 4, np.nan), "trees.value\n  got nan at 4"),
        (put("value", 3, 1e300), "got 1e\\+300 at 3"),
        (replace("value", None), "trees.value\n  got nothing, wanted float64"),
        (replace("value", np.zeros(5)), "nodes is 6"),
        (replace("value", np.zeros((6, 1))), "float64 of shape \\(6, 1\\)"),
        (replace("value", np.zeros(6, dtype=np.int64)), "got int64"),
        (replace("value", np.zeros(6, dtype=object)), "got object"),
        (replace("left", np.array([2, 1, 2, 4, 4, 5], dtype=">i4")), "got >i4"),
        (replace("roots", np.zeros(0, dtype=np.int32)), "0 roots"),
        (replace("roots", np.zeros(7, dtype=np.int32)), "7 roots"),
    ],
)
def test_what_could_crash_or_hang_a_walk_is_refused(change: Callable[[Trees], None], complaint: str) -> None:
    trees = two_trees()
    change(trees)
    with pytest.raises(IntegrityError, match=complaint):
        validate(trees, 2, "trees")


def test_a_tree_deeper_than_the_limit_is_refused() -> None:
    def chain(depth: int) -> Trees:
        left = np.arange(2 * depth + 1, dtype=np.int32)
        left[0:-1:2] += 1
        return {
            "feature": np.zeros(len(left), dtype=np.int32),
            "threshold": np.where(left > np.arange(len(left)), 0.0, np.inf),
            "missing": np.zeros(len(left), dtype=np.int8),
            "left": left,
            "value": np.zeros(len(left)),
            "roots": np.zeros(1, dtype=np.int32),
        }

    assert validate(chain(MAX_DEPTH), 1, "trees").depth == MAX_DEPTH
    with pytest.raises(IntegrityError, match="more than 64 levels"):
        validate(chain(MAX_DEPTH + 1), 1, "trees")


SIZES = {"feature": 6, "threshold": 6, "missing": 6, "left": 6, "value": 6, "roots": 2}
numbers = st.one_of(st.integers(-3, 8), st.integers(-(2**31), 2**31 - 1), st.floats(width=64))


@st.composite
def mutants(draw: st.DrawFn) -> Trees:
    """The two trees with some of their cells overwritten."""
    trees = two_trees()
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(list(SIZES)))
        value = draw(numbers)
        array: NDArray[np.generic] = trees[name]
        if array.dtype.kind == "i":
            value = int(value) % 2 ** (8 * array.itemsize - 1) if np.isfinite(value) else -1
        array[draw(st.integers(0, SIZES[name] - 1))] = value
    return trees


@settings(max_examples=300, deadline=None)
@given(mutants())
def test_a_mutant_is_refused_or_scores_finite_numbers(trees: Trees) -> None:
    try:
        ensemble = validate(trees, 2, "trees")
    except IntegrityError:
        return
    x = np.array([[0.0, 0.0], [1e308, -1e308], [-1e308, 0.5], [np.nan, np.nan]])
    assert np.isfinite(ensemble.leaf_mean(x)).all()
    assert np.isfinite(ensemble.shares(x)).all()
    assert ensemble.leaf_mean(x).tolist() == walked(trees, x)

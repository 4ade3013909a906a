from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.boosting import from_xgboost
from tocsin.kernel.trees import MAX_DEPTH, TreeEnsemble, walks
from tocsin.records import Matrix

Document = dict[str, Any]


def rows_with_holes(rng: np.random.Generator, rows: int, columns: int = 6) -> Matrix:
    """Continuous, whole-numbered and rare columns of very different size, a tenth of it missing."""
    x = rng.normal(size=(rows, columns)) * 10.0 ** rng.integers(-6, 7, columns)
    x[:, 1] = rng.poisson(3, rows)
    x[:, 2] = rng.random(rows) < 0.02
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def boosted(x: Matrix, rng: np.random.Generator, **parameters: object) -> Any:
    """What xgboost, where there is one for the processor, learns of the rows."""
    xgboost = pytest.importorskip("xgboost")
    target = (np.nansum(x / np.nanstd(x, axis=0), axis=1) > rng.normal(size=len(x))).astype(float)
    learning = {"objective": "binary:logistic", "nthread": 1, "seed": 3, **parameters}
    return xgboost.train(learning, xgboost.DMatrix(x, target), 20)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"base_score": 0.02},
        {"objective": "reg:squarederror"},
        {"objective": "reg:squarederror", "base_score": -3.5},
        {"max_depth": 1},
        {"gamma": 1e9},
        {"max_depth": 12, "min_child_weight": 0.0, "learning_rate": 1.0},
        {"grow_policy": "lossguide", "max_leaves": 200, "max_depth": 0},
        {"tree_method": "exact", "gamma": 2.0},
        {"num_parallel_tree": 3, "subsample": 0.5, "colsample_bynode": 0.5},
    ],
)
def test_margins_equal_those_of_xgboost(parameters: dict[str, object], rng: np.random.Generator) -> None:
    x = rows_with_holes(rng, 3_000)
    theirs = boosted(x, rng, **parameters)
    ours = from_xgboost(theirs.save_raw("json"))
    wanted = theirs.inplace_predict(x, predict_type="margin")
    np.testing.assert_allclose(ours.margin(x), wanted, rtol=0, atol=1e-6 * max(1.0, np.abs(wanted).max()))
    for walk in walks():
        forced = TreeEnsemble(ours.trees.arrays, ours.trees.depth, walk)
        assert forced.leaf_sum(x).tolist() == ours.trees.leaf_sum(x).tolist()


def test_values_at_and_beside_the_conditions_decide_as_in_xgboost(rng: np.random.Generator) -> None:
    x = rows_with_holes(rng, 500, columns=3)
    theirs = boosted(x, rng)
    document = orjson.loads(theirs.save_raw("json"))
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    cuts = np.array([cut for tree in trees for cut in tree["split_conditions"]], dtype=np.float32)
    near = np.concatenate([np.nextafter(cuts, np.float32(-9e9)), cuts, np.nextafter(cuts, np.float32(9e9))])
    x = rng.choice(near.astype(np.float64), (2_000, 3))
    np.testing.assert_allclose(
        from_xgboost(theirs.save_raw("json")).margin(x), theirs.inplace_predict(x, predict_type="margin"), atol=1e-5
    )


def test_shares_add_up_to_what_a_row_is_away_from_the_mean(rng: np.random.Generator) -> None:
    x = rows_with_holes(rng, 1_000)
    ours = from_xgboost(boosted(x, rng).save_raw("json"))
    expected = ours.trees.arrays["value"][ours.trees.arrays["roots"]].mean()
    np.testing.assert_allclose(ours.trees.shares(x).sum(axis=1), expected - ours.trees.leaf_mean(x), atol=1e-12)


def small() -> Document:
    """One tree: column 0 below 1.5, or missing, to the leaf -0.5, otherwise to the leaf 0.25."""
    tree = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "split_indices": [0, 0, 0],
        "split_conditions": [1.5, -0.5, 0.25],
        "default_left": [1, 0, 0],
        "sum_hessian": [4.0, 3.0, 1.0],
        "split_type": [0, 0, 0],
    }
    parameters = {"base_score": "[5E-1]", "num_feature": "2", "num_class": "0", "num_target": "1"}
    return {
        "learner": {
            "gradient_booster": {"name": "gbtree", "model": {"trees": [tree]}},
            "learner_model_param": parameters,
            "objective": {"name": "binary:logistic"},
        }
    }


def first_tree(document: Document) -> Document:
    tree: Document = document["learner"]["gradient_booster"]["model"]["trees"][0]
    return tree


def test_below_a_condition_is_left_and_a_missing_value_where_the_node_says() -> None:
    document = small()
    x = np.array([[1.4999999, 0.0], [1.5, 0.0], [np.nan, 0.0], [-np.inf, 0.0], [1e308, 0.0]])
    assert from_xgboost(orjson.dumps(document)).margin(x).tolist() == [-0.5, 0.25, -0.5, -0.5, 0.25]
    first_tree(document)["default_left"][0] = 0
    ours = from_xgboost(orjson.dumps(document))
    assert ours.margin(x).tolist() == [-0.5, 0.25, 0.25, -0.5, 0.25]
    assert ours.trees.arrays["value"].tolist() == [-0.3125, -0.5, 0.25]


def test_nodes_that_were_pruned_are_left_behind() -> None:
    document = small()
    for name, value in (("left_children", -1), ("right_children", -1), ("default_left", 0), ("split_type", 0)):
        first_tree(document)[name].append(value)
    for name, number in (("split_indices", 2**31 - 1), ("split_conditions", 7.0), ("sum_hessian", 0.0)):
        first_tree(document)[name].append(number)
    assert len(from_xgboost(orjson.dumps(document)).trees.arrays["left"]) == 3


def put(name: str, *values: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        first_tree(document)[name] = list(values)

    return change


def declare(group: str, name: str, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["learner"][group][name] = value

    return change


def chain(depth: int) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        nodes = 2 * depth + 1
        inner = np.arange(nodes) % 2 == 0
        inner[-1] = False
        tree = first_tree(document)
        tree["left_children"] = np.where(inner, np.arange(nodes) + 1, -1).tolist()
        tree["right_children"] = np.where(inner, np.arange(nodes) + 2, -1).tolist()
        for name in ("split_indices", "split_conditions", "default_left", "sum_hessian", "split_type"):
            tree[name] = [0] * nodes

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("left_children", 3, -1, -1), "a child that is not there"),
        (put("left_children", -2, -1, -1), "left_children.0\n  got -2"),
        (put("left_children", 2**31, -1, -1), "left_children.0\n  got 2147483648"),
        (put("left_children", 1, -1), "trees.0\n  got lists of \\[2, 3\\]"),
        (put("left_children"), "left_children"),
        (put("left_children", -1, -1, -1), "a child that is not there"),
        (put("left_children", 0, -1, -1), "a node with several parents"),
        (put("left_children", 2, -1, -1), "a node with several parents"),
        (put("split_indices", 2, 0, 0), "got 2 at 0, wanted a column of 0 to 1"),
        (put("split_indices", -1, 0, 0), "got -1 at 0"),
        (put("split_conditions", "NaN", 0.0, 0.0), "split_conditions.0\n  got NaN"),
        (put("split_conditions", 1e300, 0.0, 0.0), "split_conditions.0\n  got 1e\\+300"),
        (put("split_conditions", 0.0, 1e30, 0.0), "xgboost.value\n  got 1.*e\\+30"),
        (put("split_conditions", 0.0, None, 0.0), "split_conditions.1\n  got None"),
        (put("sum_hessian", 1.0, 1e300, 0.0), "sum_hessian.1"),
        (put("default_left", 7, 0, 0), "default_left.0\n  got 7"),
        (put("split_type", 1, 0, 0), "split_type.0\n  got 1"),
        (chain(MAX_DEPTH + 1), "more than 64 levels"),
        (chain(50_000), "more than 64 levels"),
        (declare("objective", "name", "multi:softprob"), "objective.name\n  got multi:softprob"),
        (declare("gradient_booster", "name", "dart"), "gradient_booster.name\n  got dart"),
        (declare("gradient_booster", "model", {"trees": []}), "model.trees"),
        (declare("learner_model_param", "num_class", "3"), "num_class\n  got 3"),
        (declare("learner_model_param", "num_target", "2"), "num_target\n  got 2"),
        (declare("learner_model_param", "num_feature", "0"), "a column of 0 to -1"),
        (declare("learner_model_param", "base_score", "[1E0]"), "base_score\n  got '\\[1E0\\]'"),
        (declare("learner_model_param", "base_score", "[5E-1,5E-1]"), "base_score"),
        (declare("learner_model_param", "base_score", "nan"), "base_score\n  got 'nan'"),
    ],
)
def test_a_model_that_cannot_be_walked_is_refused(change: Callable[[Document], None], complaint: str) -> None:
    document = small()
    change(document)
    with pytest.raises(IntegrityError, match=complaint):
        from_xgboost(orjson.dumps(document))


@pytest.mark.parametrize("model", [b"", b"{", b"[]", b"null", b"\xff", b'{"learner": 1}', b"[" * 100_000])
def test_bytes_that_are_no_model_are_refused(model: bytes) -> None:
    with pytest.raises(IntegrityError, match="xgboost"):
        from_xgboost(model)


NAMES = ["left_children", "right_children", "split_indices", "split_conditions", "default_left", "sum_hessian"]
numbers = st.one_of(st.integers(-2, 4), st.floats(-1e20, 1e20))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2), numbers), min_size=1, max_size=4))
def test_a_mutant_is_refused_or_gives_finite_margins(changes: list[tuple[str, int, float]]) -> None:
    document = small()
    for name, node, value in changes:
        first_tree(document)[name][node] = value
    try:
        ours = from_xgboost(orjson.dumps(document))
    except IntegrityError:
        return
    x = np.array([[0.0, 0.0], [1e308, -np.inf], [np.nan, np.nan]])
    assert np.isfinite(ours.margin(x)).all()
    assert np.isfinite(ours.trees.shares(x)).all()

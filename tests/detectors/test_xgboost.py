from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from tocsin.detectors.base import Labels
from tocsin.detectors.xgboost import XGBoost
from tocsin.errors import DataError, IntegrityError, MissingExtraError
from tocsin.kernel.trees import as_float32
from tocsin.records import Matrix


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[Matrix, Labels]:
    """Normal rows, and one row in ten from a cloud that only two columns together tell apart."""
    x = rng.normal(size=(2_000, 5)) * 10.0 ** np.arange(5)
    y = (np.arange(len(x)) % 10 == 0).astype(np.int8)
    x[y == 1, :2] = np.abs(x[y == 1, :2]) + np.array([1.0, 10.0])
    return x, y


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The boosters that xgboost trains during the test."""
    xgboost = pytest.importorskip("xgboost")
    train, trained = xgboost.train, []

    def kept(*arguments: Any, **named: Any) -> Any:
        trained.append(train(*arguments, **named))
        return trained[-1]

    monkeypatch.setattr(xgboost, "train", kept)
    return trained


def test_scores_and_shares_are_those_of_xgboost(rows: tuple[Matrix, Labels], native: list[Any]) -> None:
    xgboost = pytest.importorskip("xgboost")
    detector, (x, _) = XGBoost().fit(*rows), rows
    theirs = native[-1].predict(xgboost.DMatrix(as_float32(x)), pred_contribs=True, approx_contribs=True)
    np.testing.assert_allclose(detector.score(x), theirs.sum(axis=1), rtol=0, atol=1e-5)
    np.testing.assert_allclose(detector.explain(x), theirs[:, :-1], rtol=0, atol=1e-5)
    margin = native[-1].inplace_predict(as_float32(x), predict_type="margin")
    np.testing.assert_allclose(detector.score(x), margin, rtol=0, atol=1e-6 * np.abs(margin).max())


def test_it_stops_when_more_trees_bring_nothing_on_rows_held_out(
    rows: tuple[Matrix, Labels], native: list[Any], rng: np.random.Generator
) -> None:
    XGBoost(trees=400).fit(rows[0], rng.permutation(rows[1]))
    judged, grown = native
    assert grown.num_boosted_rounds() == judged.best_iteration + 1 < 100


def test_rows_without_a_label_are_not_learnt(rows: tuple[Matrix, Labels], rng: np.random.Generator) -> None:
    x, y = rows
    more = np.concatenate([x, 1e3 * rng.normal(size=x.shape)])
    unknown = np.concatenate([y, np.full(len(x), -1, dtype=np.int8)])
    assert np.array_equal(XGBoost(trees=20).fit(more, unknown).score(x), XGBoost(trees=20).fit(x, y).score(x))


def test_a_rare_label_weighs_as_much_as_the_other() -> None:
    """Where nothing tells the labels apart, the odds are even, whatever the share of anomalies."""
    x, y = np.zeros((4_000, 1)), np.zeros(4_000, dtype=np.int8)
    y[::100] = 1
    np.testing.assert_allclose(XGBoost(trees=5).fit(x, y).score(x), 0.0, atol=0.1)


def test_labels_sorted_by_class_are_held_out_all_the_same(rows: tuple[Matrix, Labels]) -> None:
    order = np.argsort(rows[1], kind="stable")
    detector = XGBoost().fit(rows[0][order], rows[1][order])
    scores = detector.score(rows[0])
    assert (scores[rows[1] == 1].mean() - scores[rows[1] == 0].mean()) > 2.0


@pytest.mark.parametrize("labels", [None, 0, 1, -1])
def test_labels_of_one_kind_are_refused(labels: int | None, rng: np.random.Generator) -> None:
    y = None if labels is None else np.full(50, labels, dtype=np.int8)
    with pytest.raises(DataError, match="some of both") as refused:
        XGBoost().fit(rng.normal(size=(50, 2)), y)
    assert "Hint: label both" in str(refused.value)


def test_it_scores_and_explains_where_xgboost_is_not_installed(
    rows: tuple[Matrix, Labels], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, (x, y) = XGBoost(trees=20).fit(*rows), rows
    monkeypatch.setitem(sys.modules, "xgboost", None)
    again = XGBoost.restore(fitted.parameters(), fitted.state(), x.shape[1])
    assert np.array_equal(again.score(x), fitted.score(x))
    assert np.array_equal(again.explain(x), fitted.explain(x))
    with pytest.raises(MissingExtraError, match=r"tocsin\[boost\]"):
        XGBoost().fit(x, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base", np.array([np.nan])),
        ("base", np.array([1e300])),
        ("base", np.zeros(2)),
        ("base", np.zeros(1, dtype=np.int64)),
        ("value", np.array([np.inf])),
        ("left", np.array([0], dtype=np.int32)),
    ],
)
def test_a_hostile_state_is_refused(name: str, value: np.ndarray, rows: tuple[Matrix, Labels]) -> None:
    state = XGBoost(trees=3).fit(*rows).state()
    with pytest.raises(IntegrityError, match="xgboost"):
        XGBoost.restore({}, {**state, name: value}, 5)
    with pytest.raises(IntegrityError, match="xgboost"):
        XGBoost.restore({}, {key: array for key, array in state.items() if key != name}, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trees", 0),
        ("trees", 10**6),
        ("depth", 0),
        ("depth", 17),
        ("learning_rate", 0.0),
        ("sample", 1.1),
        ("seed", -1),
    ],
)
def test_parameters_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is"):
        XGBoost(**{name: value})  # type: ignore[arg-type]

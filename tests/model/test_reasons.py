"""A reason says what could have been expected of a row like this one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tocsin.config import parse
from tocsin.errors import IntegrityError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.model.reasons import distances
from tocsin.model.training_rows import SKETCH, TYPICAL, TrainingRows, candidates, hashes, lowest
from tocsin.records import FILE, ROW, Batch


def rows_by_day(rng: np.random.Generator, rows: int = 2_000) -> Batch:
    """Load and heat are high by day and low by night."""
    day = np.arange(rows) % 2
    columns = {
        "hour": np.where(day, 14.0, 2.0),
        "load": np.where(day, 900.0, 10.0) * rng.uniform(0.9, 1.1, rows),
        "heat": np.where(day, 60.0, 30.0) + rng.normal(0, 1, rows),
        "noise": rng.normal(0, 1, rows),
    }
    return Batch({**columns, FILE: np.full(rows, "a.csv", dtype=object), ROW: np.arange(rows)})


@pytest.fixture
def model(rng: np.random.Generator) -> AnomalyModel:
    config = """\
version: 1
name: rooms
schema: {fields: {hour: {dtype: float}, load: {dtype: float}, heat: {dtype: float}, noise: {dtype: float}}}
features: {columns: [hour, load, heat, noise]}
detector: {type: isolation_forest, trees: 50}
alerts: {budget: 1%}
"""
    return AnomalyModel(Design.of(parse(config))).fit(rows_by_day(rng), rows_by_day(rng))


def test_what_is_expected_of_a_row_is_what_rows_like_it_had(model: AnomalyModel) -> None:
    night_under_load = np.array([[2.0, 900.0, 30.0, 0.0]])
    load = next(reason for reason in model.reasons(night_under_load)[0] if reason.feature == "load")
    assert load.usual_low < 12
    assert load.usual_high > 800
    assert 8 < load.similar_low < load.normal < load.similar_high < 12


def test_without_its_reasons_a_row_is_normal_again(model: AnomalyModel) -> None:
    odd = np.array([[2.0, 5_000.0, 30.0, 0.0]])
    explainer = model.explainer
    normal = explainer.normal_rows(odd)
    kept = explainer.rescored(odd, np.full((1, 4), np.nan))
    np.testing.assert_array_equal(kept, model.detector.score(model.prepared(odd)))
    load = np.where(np.arange(4) == 1, normal, np.nan)
    assert explainer.rescored(odd, load) < kept
    np.testing.assert_array_equal(explainer.rescored(odd, normal), model.detector.score(normal))


def test_a_wild_value_does_not_decide_which_row_is_alike(rng: np.random.Generator) -> None:
    typical = rng.normal(size=(50, 6))
    row = typical[17].copy()
    row[2] = 1e9
    assert (distances(row, typical).argmin(axis=0) == 17).all()
    # where there is nothing else, the feature itself decides
    assert distances(typical[17, :1], typical[:, :1]).argmin() == 17


def test_typical_rows_are_spread_over_training_and_leave_the_odd_ones_out(rng: np.random.Generator) -> None:
    scores, labels = rng.random(1_000), np.zeros(1_000, np.int8)
    labels[100:200] = 1
    rows = candidates(labels != 1)
    typical = lowest(rows, scores[rows])
    assert len(typical) == TYPICAL
    assert (np.diff(typical) > 0).all()
    assert not labels[typical].any()
    assert scores[typical].max() < np.quantile(scores, 0.85)
    assert candidates(np.ones(3, bool)).tolist() == [0, 1, 2]
    assert candidates(np.zeros(3, bool)).tolist() == [0, 1, 2]


def test_equal_rows_have_one_hash_and_others_have_not(rng: np.random.Generator) -> None:
    values = rng.integers(0, 3, size=(5_000, 6)).astype(float)
    values[values == 2] = np.nan
    _, places = np.unique(np.nan_to_num(values, nan=9.0), axis=0, return_inverse=True)
    _, found = np.unique(hashes(values), return_inverse=True)
    assert len(set(zip(places.tolist(), found.tolist(), strict=True))) == places.max() + 1 == found.max() + 1
    np.testing.assert_array_equal(hashes(np.array([[0.0, np.nan]])), hashes(np.array([[-0.0, -np.nan]])))


@pytest.mark.parametrize("rows", [300, 40_000])
def test_the_share_of_copies_is_estimated_from_a_bounded_sketch(rows: int, rng: np.random.Generator) -> None:
    values = rng.normal(size=(rows, 3))
    remembered = TrainingRows.of(values, values, np.arange(4), None, None)
    assert len(remembered.sketch) == min(rows, SKETCH)
    other = np.concatenate([values[: rows // 4], rng.normal(size=(rows - rows // 4, 3))])
    known, copies = remembered.sampled(other)
    assert not (copies & ~known).any()
    assert copies[known].mean() == pytest.approx(0.25, abs=0.03)


HOSTILE: dict[str, Any] = {
    "usual": np.zeros((2, 9)),
    "moments": np.full((2, 3), np.nan),
    "typical": np.zeros((TYPICAL + 1, 3)),
    "sketch": np.array([3, 1, 2]),
    "counts": np.zeros(2),
    "span": np.zeros(1, np.int64),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_remembered_is_refused(name: str, rng: np.random.Generator) -> None:
    values = rng.normal(size=(50, 3))
    arrays = TrainingRows.of(values, values, np.arange(4), None, None).state()
    assert TrainingRows.restore(arrays, 3).state().keys() == arrays.keys()
    with pytest.raises(IntegrityError, match=name):
        TrainingRows.restore({**arrays, name: HOSTILE[name]}, 3)
    with pytest.raises(IntegrityError, match="nothing"):
        TrainingRows.restore({key: array for key, array in arrays.items() if key != name}, 3)

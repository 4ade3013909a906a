from __future__ import annotations

import numpy as np
import pytest

from tocsin.evaluation import baselines
from tocsin.evaluation.baselines import Model, baseline_scores, compare, last_value, zscore


def test_the_last_value_is_that_of_the_same_entity() -> None:
    features = np.array([[0.0, 0.0], [9.0, 9.0], [1.0, -3.0], [9.0, 9.5]])
    entities = np.array(["a", "b", "a", "b"], dtype=object)
    assert last_value(features, entities).tolist() == [0, 0, 3, 0.5]
    assert last_value(features, None).tolist() == [0, 9, 12, 12.5]


def test_a_column_that_is_constant_in_training_keeps_its_unit() -> None:
    moments = np.array([[1.0, 5.0], [1.0, 0.0]])
    assert zscore(np.array([[1.0, 5.0], [4.0, 5.0], [1.0, 12.0]]), moments).tolist() == [0, 3, 7]


def test_pieces_do_not_change_the_scores(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    features, moments = rng.normal(size=(100, 4)), np.array([np.zeros(4), np.ones(4)])
    entities = np.array([str(row % 7) for row in range(100)], dtype=object)
    whole = last_value(features, entities), zscore(features, moments)
    monkeypatch.setattr(baselines, "CHUNK_BYTES", 200)
    np.testing.assert_array_equal(last_value(features, entities), whole[0])
    np.testing.assert_array_equal(zscore(features, moments), whole[1])


def test_baselines_flag_as_many_rows_as_the_model_and_ties_favour_nobody(rng: np.random.Generator) -> None:
    anomalous = np.arange(2_000) < 200
    scores = baseline_scores(np.zeros((2_000, 1)), np.zeros((2, 1)), None, rng)
    results = {
        item.name: item for item in compare(scores, anomalous, np.ones(2_000, bool), Model(0.9, 0.5, 1_000), rng)
    }
    assert results["constant"].roc_auc == 0.5
    assert results["constant"].average_precision == pytest.approx(0.1)
    assert results["constant"].recall == pytest.approx(0.5, abs=0.15)
    assert results["constant"].precision == pytest.approx(0.1, abs=0.03)
    assert results["random"].beaten
    assert results["zscore"].roc_auc == 0.5


def test_a_baseline_is_beaten_only_on_both_measures(rng: np.random.Generator) -> None:
    anomalous = np.arange(100) < 10
    scores = {"good": anomalous.astype(float)}
    judged = np.ones(100, bool)
    assert compare(scores, anomalous, judged, Model(1.0, 1.0, 10), rng)[0].beaten is False
    assert compare(scores, anomalous, judged, Model(None, None, 10), rng)[0].beaten is None
    found = compare(scores, anomalous, judged, Model(0.9, 0.9, 10), rng)[0]
    assert (found.precision, found.recall) == (1.0, 1.0)
    assert compare(scores, anomalous, judged, Model(0.9, 0.9, 0), rng)[0].precision is None

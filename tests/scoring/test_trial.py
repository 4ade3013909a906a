"""A trial looks at a model as it would be live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from inspect import signature

import numpy as np
import pytest

from tocsin.alerts import AlertPolicy
from tocsin.errors import DataError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.feature_cache import FeaturePass
from tocsin.records import LABEL, Batch
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.trial import LATENCY_ROWS, Circumstances, trial
from tocsin.thresholds.base import Calibration, Threshold

KNOWN = Circumstances(title="hosts", version="abc", train_seconds=1.5, peak_memory_bytes=10, generated=False)


def policy() -> AlertPolicy:
    return AlertPolicy(cooldown_s=600.0, model="abc")


def features(model: AnomalyModel, *before: Batch) -> FeaturePass:
    """Behind these rows."""
    behind = FeaturePass().begin(model.kernel)
    for rows in before:
        behind.run(rows)
    return behind


def test_the_evidence_is_what_the_model_says_of_the_rows(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    test = make_rows(400, 2_000_000, anomalous=range(300, 320))
    evidence = trial(model, policy(), features(model), test, KNOWN)
    np.testing.assert_array_equal(evidence.scores.score, model.score(test).score)
    assert evidence.labels is not None
    assert evidence.labels.sum() == 20
    assert evidence.times is not None
    np.testing.assert_array_equal(evidence.times, test["time"])
    assert evidence.origins[0] == "rows.csv:2"
    assert evidence.feature_names == ("load", "load_max_10m")
    assert evidence.features.shape == (400, 2)
    assert np.isfinite(evidence.features).all()
    assert len(evidence.latency_ms) == LATENCY_ROWS
    assert {alert.model for alert in evidence.alerts} == {"abc"}
    assert evidence.level == model.threshold.promise()["level"]
    assert (evidence.title, evidence.model, evidence.train_seconds) == ("hosts", "abc", 1.5)


def test_what_single_features_tell_of_the_label_stands_beside_the_scores(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    test = make_rows(400, 2_000_000, anomalous=range(300, 320))
    leaks = trial(model, policy(), features(model), test, KNOWN).leaks
    assert leaks is not None
    assert leaks.single is not None
    assert leaks.single.column in ("load", "load_max_10m")
    unlabelled = test.replace({LABEL: np.full(test.rows, -1, np.int8)})
    assert trial(model, policy(), features(model), unlabelled, KNOWN).leaks is None


def test_rows_that_went_before_warm_the_windows_up(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    before, test = make_rows(60, 2_000_000), make_rows(60, 2_003_600)
    assert "warming_up" in set(trial(model, policy(), features(model), test, KNOWN).scores.state)
    warm = trial(model, policy(), features(model, before), test, KNOWN)
    assert set(warm.scores.state) == {"ready"}
    assert len(warm.scores.score) == 60


def test_a_trial_rings_what_a_scorer_would(
    model: AnomalyModel, make_rows: Callable[..., Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.scoring.trial.BATCH", 7)
    before, test = make_rows(60, 2_000_000), make_rows(60, 2_003_600, anomalous=range(20, 40))
    judged = trial(model, policy(), features(model, before), test, KNOWN)
    scorer = Scorer(model, policy())
    scorer.score(before)
    live = [scorer.score(test.take(slice(start, start + 7))) for start in range(0, 60, 7)]
    np.testing.assert_array_equal(judged.scores.score, np.concatenate([piece.scores.score for piece in live]))
    assert judged.alerts == tuple(alert for piece in live for alert in piece.alerts) != ()


def test_measuring_latency_leaves_no_trace_in_the_state(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    test = make_rows(30, 2_000_000, anomalous=range(5))
    first, second = (trial(model, policy(), features(model), test, KNOWN) for _ in range(2))
    np.testing.assert_array_equal(first.scores.score, second.scores.score)
    np.testing.assert_array_equal(first.scores.score, model.score(test).score)


def test_rows_of_which_nothing_is_known_have_no_labels(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    test = make_rows(20)
    unknown = test.replace({LABEL: np.full(20, -1, dtype=np.int8)})
    assert trial(model, policy(), features(model), unknown, KNOWN).labels is None
    bare = Batch({name: column for name, column in test.items() if name not in ("_label", "_class")})
    evidence = trial(model, policy(), features(model), bare, KNOWN)
    assert (evidence.labels, evidence.classes) == (None, None)


def test_the_reasons_of_a_row_are_those_of_its_prepared_features(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    evidence = trial(model, policy(), features(model), make_rows(20), KNOWN)
    chosen = np.array([3, 7])
    np.testing.assert_array_equal(evidence.explain(chosen), model.detector.explain(evidence.features[chosen]))


def test_without_a_test_row_nothing_is_judged(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    with pytest.raises(DataError, match="no test rows, wanted at least one") as refused:
        trial(model, policy(), features(model), Batch({}), KNOWN)
    assert "give a source of test rows" in refused.value.problem.hint


def test_labels_of_the_test_rows_move_neither_level_nor_flags(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    test = make_rows(400, 2_000_000, anomalous=range(300, 320))
    digest = model.digest
    honest = trial(model, policy(), features(model), test, KNOWN)
    flipped = trial(model, policy(), features(model), test.replace({LABEL: 1 - test[LABEL]}), KNOWN)
    assert honest.level == flipped.level
    np.testing.assert_array_equal(honest.scores.flagged, flipped.scores.flagged)
    np.testing.assert_array_equal(honest.scores.p_value, flipped.scores.p_value)
    assert model.digest == digest


def test_a_threshold_is_never_given_a_label() -> None:
    assert {field.name for field in fields(Calibration)} & {"labels", "label", "y", "truth"} == set()
    assert list(signature(Threshold.fit).parameters) == ["self", "calibration", "budget"]


def test_copies_of_training_rows_are_known_again(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    test = make_rows(400, 2_000_000)
    copies = trial(model, policy(), features(model), test, KNOWN).copies
    assert copies is not None
    known, copied = copies
    assert known.all()  # the sketch holds every one of a few rows
    assert not copied.any()


def test_a_row_with_other_features_is_scored_by_the_model(model: AnomalyModel, make_rows: Callable[..., Batch]) -> None:
    evidence = trial(model, policy(), features(model), make_rows(400, 2_000_000, anomalous=range(300, 320)), KNOWN)
    assert evidence.rescoring is not None
    chosen = np.flatnonzero(evidence.scores.flagged)[:5]
    kept = evidence.rescoring.score(chosen, np.full((len(chosen), 2), np.nan))
    np.testing.assert_allclose(kept, evidence.scores.score[chosen])
    normal = evidence.rescoring.normal_rows(chosen)
    assert (evidence.rescoring.score(chosen, normal) < evidence.level).all()

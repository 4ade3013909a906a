"""Reasons are true if an alert goes without them, and stays without others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence, Rescoring, Rows
from tocsin.evaluation.fidelity import ALERTS, FIGURES, fidelity_figures
from tocsin.records import Matrix, Vector

Make = Callable[..., Evidence]


@pytest.fixture
def two_causes(make_evidence: Make, rng: np.random.Generator) -> Evidence:
    """Twenty features; two of each anomalous row are high, and the score is the sum of the squares."""
    features = rng.normal(size=(400, 20))
    for row in range(200, 240):
        features[row, rng.choice(20, 2, replace=False)] = 8.0
    score = (features**2).sum(axis=1)

    def rescore(rows: Rows, instead: Matrix) -> Vector:
        return np.asarray((np.where(np.isnan(instead), features[rows], instead) ** 2).sum(axis=1))

    evidence = make_evidence(
        features=features,
        feature_names=tuple(f"f{column}" for column in range(20)),
        explain=lambda rows: features[rows] ** 2,
        level=80.0,
        rescoring=Rescoring(lambda rows: np.zeros((len(rows), 20)), rescore),
    )
    return replace(evidence, scores=replace(evidence.scores, score=score, flagged=score >= 80.0))


def test_true_reasons_clear_the_alerts_and_random_ones_do_not(two_causes: Evidence) -> None:
    found = fidelity_figures(two_causes)
    assert found["fidelity_top3"].value == 1.0
    assert found["fidelity_random3"].value is not None
    assert found["fidelity_random3"].value < 0.5
    assert found["deletion_gain"].value is not None
    assert found["deletion_gain"].low is not None
    assert 2.0 < found["deletion_gain"].low < found["deletion_gain"].value


def test_made_up_reasons_are_found_out(two_causes: Evidence, rng: np.random.Generator) -> None:
    invented = fidelity_figures(replace(two_causes, explain=lambda rows: rng.random((len(rows), 20))))
    assert invented["fidelity_top3"].value is not None
    assert invented["fidelity_top3"].value < 0.5
    gain = invented["deletion_gain"]
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < 1.0 < gain.high + 0.2


def test_reasons_that_are_the_wrong_way_round_are_worse_than_chance(two_causes: Evidence) -> None:
    upside_down = fidelity_figures(replace(two_causes, explain=lambda rows: -two_causes.explain(rows)))
    assert upside_down["fidelity_top3"].value == 0.0
    assert upside_down["deletion_gain"].value is not None
    assert upside_down["deletion_gain"].value < 0.2


def test_with_three_features_at_most_it_says_that_there_are_no_others(make_evidence: Make) -> None:
    found = fidelity_figures(make_evidence())
    assert found["fidelity_top3"] == found["fidelity_random3"]
    assert found["fidelity_top3"].reason == "there are only 3 features"


def test_a_bounded_number_of_rows_is_tried(make_evidence: Make) -> None:
    tried: set[int] = set()
    evidence = make_evidence(alerts=())
    whole = replace(evidence, scores=replace(evidence.scores, flagged=np.ones(400, bool)))

    def explain(rows: Rows) -> Matrix:
        tried.update(rows.tolist())
        return np.abs(evidence.features[rows])

    fidelity_figures(replace(whole, explain=explain))
    assert len(tried) == ALERTS
    assert {0, 399} <= tried


def test_without_alerts_or_a_model_to_ask_nothing_is_measured(make_evidence: Make) -> None:
    quiet = make_evidence()
    quiet = replace(quiet, scores=replace(quiet.scores, flagged=np.zeros(400, bool)))
    for evidence, reason in ((quiet, "nothing was flagged"), (make_evidence(rescoring=None), "not measured")):
        found = fidelity_figures(evidence)
        assert tuple(found) == FIGURES
        assert {figure.reason for figure in found.values()} == {reason}


def test_scores_that_nothing_lowers_have_no_gain(make_evidence: Make) -> None:
    evidence = make_evidence()
    stubborn = Rescoring(lambda rows: np.zeros((len(rows), 3)), lambda rows, _: evidence.scores.score[rows])
    found = fidelity_figures(replace(evidence, rescoring=stubborn))
    assert found["fidelity_top3"].value == 0.0
    assert found["deletion_gain"].reason.startswith("a random order never lowers the scores")

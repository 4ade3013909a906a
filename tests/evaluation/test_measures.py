from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tocsin.evaluation.measures import (
    CURVE_POINTS,
    NO_ANOMALY,
    NOTHING_FLAGGED,
    Confusion,
    Ranking,
    average_precision,
    classification,
    curve,
    flag_figures,
    ranking_figures,
    rate,
    roc_auc,
    score_summary,
)
from tocsin.records import Mask, Vector

ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1.5, 0.0, 0.25, 0.5, 2.0, 1e12]), st.booleans()),
    min_size=2,
    max_size=60,
).filter(lambda rows: len({label for label, _, _ in rows}) == 2)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_rankings_agree_with_scikit_learn_also_on_ties(rows: list[tuple[bool, float, bool]]) -> None:
    labels, scores, _ = map(np.array, zip(*rows, strict=True))
    ranking = Ranking.of(labels, scores)
    assert roc_auc(ranking.anomalies, ranking.normals) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert average_precision(ranking.anomalies, ranking.normals) == pytest.approx(
        metrics.average_precision_score(labels, scores)
    )


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_flag_figures_agree_with_scikit_learn(rows: list[tuple[bool, float, bool]]) -> None:
    labels, _, flags = map(np.array, zip(*rows, strict=True))
    counts = Confusion.count(labels, flags)
    assert [[counts.tn, counts.fp], [counts.fn, counts.tp]] == metrics.confusion_matrix(labels, flags).tolist()
    figures = flag_figures(counts)
    oracle = {
        "accuracy": metrics.accuracy_score(labels, flags),
        "recall": metrics.recall_score(labels, flags),
        "specificity": metrics.recall_score(labels, flags, pos_label=False),
        "f1": metrics.f1_score(labels, flags),
        "macro_f1": metrics.f1_score(labels, flags, average="macro"),
        "weighted_f1": metrics.f1_score(labels, flags, average="weighted"),
    }
    assert {name: figures[name].value for name in oracle} == pytest.approx(oracle)
    theirs = metrics.classification_report(
        labels, flags, output_dict=True, zero_division=np.nan, target_names=["normal", "anomaly"]
    )
    ours = classification(counts)
    for side in ("normal", "anomaly"):
        assert ours[side]["precision"] == pytest.approx(_or_none(theirs[side]["precision"]))
        assert ours[side]["recall"] == pytest.approx(theirs[side]["recall"])
        assert ours[side]["support"] == theirs[side]["support"]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def test_what_cannot_be_computed_has_a_reason_instead_of_a_zero() -> None:
    figures = flag_figures(Confusion(tn=10, fp=0, fn=0, tp=0))
    assert (figures["precision"].value, figures["precision"].reason) == (None, NOTHING_FLAGGED)
    assert (figures["recall"].value, figures["recall"].reason) == (None, NO_ANOMALY)
    assert figures["macro_f1"].value is None
    assert figures["specificity"].value == 1.0
    assert figures["weighted_f1"].value == 1.0


def test_rankings_of_one_class_have_a_reason() -> None:
    figures = ranking_figures(np.zeros(20, bool), np.arange(20.0), consecutive=False, seed=0)
    assert {(figure.value, figure.reason) for figure in figures.values()} == {(None, NO_ANOMALY)}


def test_the_wilson_interval_is_the_published_one_and_holds_the_share() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        figure = rate(part, whole, "")
        assert figure.low == pytest.approx(low, abs=5e-5)
        assert figure.high == pytest.approx(high, abs=5e-5)
    for part in range(11):
        figure = rate(part, 10, "")
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert 0 <= figure.low <= figure.value <= figure.high <= 1


def _scored(rng: np.random.Generator, rows: int, share: float) -> tuple[Mask, Vector]:
    labels = rng.random(rows) < share
    return labels, rng.normal(size=rows) + 1.5 * labels


@pytest.mark.parametrize("consecutive", [False, True])
def test_ranking_intervals_hold_the_true_value_about_as_often_as_they_say(
    rng: np.random.Generator, consecutive: bool
) -> None:
    truth = 0.8556  # P(N(1.5, 1) > N(0, 1))
    held = 0
    for seed in range(60):
        labels, scores = _scored(rng, 1_500, 0.1)
        figure = ranking_figures(labels, scores, consecutive=consecutive, seed=seed)["roc_auc"]
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= truth <= figure.high
    assert held >= 50


def test_rows_that_resemble_their_neighbours_widen_the_interval(rng: np.random.Generator) -> None:
    labels = np.repeat(rng.random(400) < 0.2, 25)
    scores = np.repeat(rng.normal(size=400), 25) + 1.5 * labels
    widths = []
    for consecutive in (False, True):
        figure = ranking_figures(labels, scores, consecutive=consecutive, seed=1)["roc_auc"]
        assert figure.low is not None
        assert figure.high is not None
        widths.append(figure.high - figure.low)
    assert widths[1] > 2 * widths[0]


def test_intervals_repeat_with_the_seed(rng: np.random.Generator) -> None:
    labels, scores = _scored(rng, 5_000, 0.02)
    first = ranking_figures(labels, scores, consecutive=True, seed=3)
    assert first == ranking_figures(labels, scores, consecutive=True, seed=3)
    assert first != ranking_figures(labels, scores, consecutive=True, seed=4)


def test_anomalies_in_too_few_blocks_give_a_value_without_an_interval() -> None:
    labels = np.zeros(1_000, bool)
    labels[500] = True
    figure = ranking_figures(labels, labels.astype(float), consecutive=True, seed=0)["roc_auc"]
    assert figure.value == 1.0
    few = ranking_figures(np.arange(2) == 1, np.arange(2.0), consecutive=True, seed=0)["roc_auc"]
    assert few.value == 1.0
    assert (few.low is None) == bool(few.reason)


def test_a_thinned_curve_keeps_its_area(rng: np.random.Generator) -> None:
    labels, scores = _scored(rng, 30_000, 0.01)
    points = curve(Ranking.of(labels, scores))
    assert {len(values) for values in points.values()} <= set(range(2, CURVE_POINTS + 1))
    area = np.trapezoid([0, *points["recall"]], [0, *points["false_positive_rate"]])
    assert area == pytest.approx(metrics.roc_auc_score(labels, scores), abs=2e-3)
    assert (points["false_positive_rate"][-1], points["recall"][-1]) == (1.0, 1.0)
    assert points["level"] == sorted(points["level"], reverse=True)


def test_the_score_summary_says_how_scores_lie() -> None:
    summary = score_summary(np.arange(101.0))
    assert (summary["minimum"], summary["maximum"], summary["mean"], summary["q0.5"]) == (0, 100, 50, 50)

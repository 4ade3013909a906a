"""What looks wrong is said with the next step, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.report import evaluate
from tocsin.records import SECOND

Make = Callable[..., Evidence]


def said(evidence: Evidence, part: str) -> bool:
    return any(part in note for note in evaluate(evidence).notes)


def test_ordinary_rows_raise_no_doubt(make_evidence: Make) -> None:
    for evidence in (make_evidence(), make_evidence(labels=None)):
        for part in ("same score", "opposite", "not rare", "All ", "blocks, where", "exact copies", "lie within"):
            assert not said(evidence, part)


@pytest.mark.parametrize(("label", "side"), [(0, "are normal"), (1, "are an anomaly")])
def test_labels_of_one_kind_are_said_to_be_so(label: int, side: str, make_evidence: Make) -> None:
    evidence = make_evidence(labels=np.full(400, label, np.int8))
    assert said(evidence, f"All 400 labelled rows {side}")
    assert not said(evidence, "the opposite")


def test_labels_that_mean_the_opposite_are_suspected(make_evidence: Make) -> None:
    evidence = make_evidence()
    assert said(replace(evidence, labels=(1 - evidence.truth).astype(np.int8)), "the labels may mean the opposite")


def test_anomalies_that_are_not_rare_are_counted(make_evidence: Make) -> None:
    evidence = make_evidence(labels=(np.arange(400) % 4 > 0).astype(np.int8))
    assert said(evidence, "More rows are labelled anomalies (300) than normal (100): they are not rare here")
    assert said(evidence, "Chance alone has an average precision of 0.75")


def test_a_model_that_scores_all_rows_alike_is_found_out(make_evidence: Make) -> None:
    evidence = make_evidence(alerts=())
    scores = replace(evidence.scores, score=np.full(400, 0.5), flagged=np.zeros(400, bool))
    report = evaluate(replace(evidence, scores=scores))
    assert any("Every row has the same score" in note for note in report.notes)
    assert report.figures["roc_auc"] == 0.5


def test_a_file_that_is_sorted_by_label_is_found_out_where_there_is_no_clock(make_evidence: Make) -> None:
    labels = np.zeros(400, np.int8)
    labels[300:] = 1
    timeless: dict[str, Any] = {"times": None, "entities": None}
    assert said(
        make_evidence(labels=labels, **timeless), "The labels come in 2 blocks, where mixed rows would have about"
    )
    assert not said(make_evidence(labels=labels), "blocks, where")
    mixed = np.random.default_rng(0).permutation(labels)
    assert not said(make_evidence(labels=mixed, **timeless), "blocks, where")


def test_copies_of_training_rows_are_a_figure_and_many_of_them_a_note(make_evidence: Make) -> None:
    copies = np.zeros(400, bool)
    copies[195:215] = True
    few = make_evidence(copies=(np.ones(400, bool), copies & (np.arange(400) < 205)))
    assert evaluate(few).figures["copied_rows"] == 10 / 400
    assert not said(few, "exact copies")
    many = make_evidence(copies=(np.arange(400) < 300, copies))
    report = evaluate(many)
    assert report.figures["copied_rows"] == 20 / 300
    assert report.results["copied_rows"].reason == "of the 300 that could be looked up"
    note = "7% of the test rows are exact copies of rows that the model learnt from (15 of them labelled anomalies)"
    assert said(many, note)
    nothing = evaluate(make_evidence(copies=(np.zeros(400, bool), np.zeros(400, bool)))).results["copied_rows"]
    assert (nothing.value, "could be looked up" in nothing.reason) == (None, True)


def test_test_rows_within_the_time_of_training_are_counted(make_evidence: Make, remembered: Callable[..., Any]) -> None:
    begin = 1_700_000_000 * SECOND
    rows = np.random.default_rng(0).normal(size=(3, 3))
    overlapping = remembered(rows, np.array([begin - 50 * SECOND, begin, begin + 99 * SECOND]))
    evidence = make_evidence(training=overlapping)
    assert said(evidence, "100 of 400 test rows lie within the time that the model learnt from (2023-11-14T22:12:30Z")
    assert not said(replace(evidence, seen_in_training=True), "lie within")
    assert not said(replace(evidence, counted_clock=True), "lie within")
    before = remembered(rows, np.array([0, 1, begin - 1]))
    assert not said(make_evidence(training=before), "lie within")

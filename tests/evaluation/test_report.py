from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from tocsin.errors import DataError
from tocsin.evaluation.baselines import zscore
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.figures import NEED_LABELS, UNITS
from tocsin.evaluation.leaks import Leaks, Single
from tocsin.evaluation.notes import SEEN_IN_TRAINING
from tocsin.evaluation.relations import Relation
from tocsin.evaluation.report import Report, evaluate
from tocsin.evaluation.top_alerts import RATES
from tocsin.model.training_rows import TrainingRows
from tocsin.records import DAY, Matrix, Scores

NAMES = {
    "accuracy",
    "precision",
    "recall",
    "f1",
    "macro_f1",
    "weighted_f1",
    "specificity",
    "false_positive_rate",
    "false_negative_rate",
    "roc_auc",
    "average_precision",
    "vus_pr",
    "range_precision",
    "range_recall",
    "event_recall",
    "detection_delay_p50_seconds",
    "detection_delay_p95_seconds",
    "calibration_error",
    "calibration_tail",
    "false_alarms_per_day",
    "copied_rows",
    "fidelity_top3",
    "fidelity_random3",
    "deletion_gain",
    "alerts",
    "alerts_per_day",
    "budget_factor",
    "alert_precision",
    "false_alarms",
    "anomaly_rate",
    "latency_p50_ms",
    "latency_p99_ms",
    "train_seconds",
    "peak_memory_bytes",
}
Make = Callable[..., Evidence]


def test_what_gives_the_label_away_is_reported_beside_the_figures(make_evidence: Make) -> None:
    assert evaluate(make_evidence()).to_json()["leaks"] is None
    single = Single("bytes", "high", 0.9971)
    relation = Relation("a = b", broken=True, precision=1.0, recall=0.98, balanced_accuracy=0.99)
    report = evaluate(make_evidence(leaks=Leaks(single, relation)))
    assert report.to_json()["leaks"] == {"single": asdict(single), "relation": asdict(relation)}
    assert (
        "One column alone ranks these rows with a ROC-AUC of 0.9971: bytes (high). "
        "The figures of a model say little beside it."
    ) in report.notes
    assert (
        "The anomalies are the rows that break a = b (precision 1.0000, recall 0.9800): "
        "either the labels leak into the columns, or one kind of rows is all alike here."
    ) in report.notes


def test_every_figure_is_there_when_there_are_labels_and_a_clock(make_evidence: Make) -> None:
    evidence = make_evidence()
    report = evaluate(evidence)
    assert set(report.results) == set(UNITS)
    assert set(report.figures) == NAMES
    assert set(report.results) - NAMES == set(RATES)  # in a few minutes nothing can ring once a day
    assert evidence.labels is not None
    assert report.figures["recall"] == recall_score(evidence.labels, evidence.scores.flagged)
    assert report.figures["precision"] == precision_score(evidence.labels, evidence.scores.flagged)
    assert report.figures["event_recall"] == 1.0
    assert report.events is not None
    assert report.events.events == 2
    days = 399 * 1e6 / DAY
    assert report.figures["alerts_per_day"] == pytest.approx(len(evidence.alerts) / days)
    assert report.figures["false_alarms"] == np.count_nonzero(evidence.scores.flagged & (evidence.labels == 0))
    assert report.figures["alert_precision"] == pytest.approx(report.figures["precision"])
    assert report.figures["latency_p50_ms"] == pytest.approx(0.55)
    assert [item.name for item in report.classes] == ["flood"]
    assert report.importance[0].feature == "packets"


def test_without_labels_their_figures_are_missing_with_a_reason_and_the_others_stay(make_evidence: Make) -> None:
    report = evaluate(make_evidence(labels=None))
    assert set(report.results) == set(UNITS)
    assert set(report.figures) == set(UNITS) - NEED_LABELS
    assert report.results["recall"].reason.startswith("no labels: ")
    assert report.results["false_alarms"].value is None
    assert (report.confusion, report.curve, report.classes) == (None, None, ())
    assert {(item.beaten, item.roc_auc) for item in report.baselines} == {(None, None)}
    assert report.scores["maximum"] > 0


def test_rows_of_unknown_label_are_counted_and_left_out(make_evidence: Make) -> None:
    evidence = make_evidence()
    assert evidence.labels is not None
    labels = evidence.labels.copy()
    labels[:100] = -1
    report = evaluate(replace(evidence, labels=labels))
    known = labels >= 0
    assert report.rows["unlabelled"] == 100
    assert report.figures["roc_auc"] == pytest.approx(roc_auc_score(labels[known], evidence.scores.score[known]))
    assert report.figures["precision"] == precision_score(labels[known], evidence.scores.flagged[known])
    assert any("100 rows of unknown label" in note for note in report.notes)
    unknown = evaluate(replace(evidence, labels=np.full(400, -1, np.int8)))
    assert unknown.results["recall"].reason == "no labels: all 400 rows are of unknown label"


def test_rows_that_warm_up_are_left_out_of_flags_and_kept_in_rankings(make_evidence: Make) -> None:
    evidence = make_evidence()
    state = evidence.scores.state.copy()
    state[190:210] = "warming_up"
    report = evaluate(replace(evidence, scores=replace(evidence.scores, state=state)))
    assert (report.rows["warming_up"], report.rows["judged"]) == (20, 380)
    assert report.confusion is not None
    assert report.confusion.fn + report.confusion.tp == 30
    assert report.figures["roc_auc"] == evaluate(evidence).figures["roc_auc"]
    assert any("20 rows were warming up (10 of them labelled anomalies)" in note for note in report.notes)


def test_a_model_that_is_only_warming_up_has_no_rates(make_evidence: Make) -> None:
    evidence = make_evidence()
    report = evaluate(replace(evidence, scores=replace(evidence.scores, state=np.full(400, "warming_up", object))))
    assert report.results["anomaly_rate"].reason == "every row was warming up"
    assert report.results["recall"].value is None


def test_without_a_clock_rates_per_day_are_missing_and_events_are_classes(make_evidence: Make) -> None:
    report = evaluate(make_evidence(times=None, entities=None))
    assert report.results["alerts_per_day"].reason == "no clock"
    assert report.events is not None
    assert (report.events.kind, report.events.events) == ("classes of anomaly", 1)
    unnamed = evaluate(make_evidence(times=None, classes=None))
    assert "no clock" in unnamed.results["event_recall"].reason


def test_a_row_with_a_wrong_clock_does_not_stretch_the_days(make_evidence: Make) -> None:
    evidence = make_evidence()
    assert evidence.times is not None
    times = evidence.times.copy()
    times[-1] += 300 * DAY
    report = evaluate(replace(evidence, times=times))
    assert report.figures["alerts_per_day"] == pytest.approx(len(evidence.alerts) / (398 * 1e6 / DAY))
    assert any("gaps of more than a day in the rows, 300 days, are left out" in note for note in report.notes)
    assert not any("gaps" in note for note in evaluate(evidence).notes)


def test_the_budget_factor_is_what_is_served_over_what_was_asked(make_evidence: Make) -> None:
    assert evaluate(make_evidence()).figures["budget_factor"] == 1.0
    short = evaluate(make_evidence(promise={"asked": 0.5, "served": 2.0}))
    assert short.figures["budget_factor"] == 4.0
    assert evaluate(make_evidence(promise={})).results["budget_factor"].reason == "the threshold promises no budget"


def test_rows_that_the_model_learnt_from_are_the_first_note(make_evidence: Make) -> None:
    report = evaluate(make_evidence(seen_in_training=True, generated=True))
    assert report.notes[0] == SEEN_IN_TRAINING
    assert report.to_json()["seen_in_training"] is True
    assert SEEN_IN_TRAINING not in evaluate(make_evidence()).notes


def test_what_was_not_measured_is_not_zero(make_evidence: Make) -> None:
    report = evaluate(make_evidence(latency_ms=np.zeros(0), train_seconds=0.0, peak_memory_bytes=0))
    for name in ("latency_p50_ms", "latency_p99_ms", "train_seconds", "peak_memory_bytes"):
        assert (report.results[name].value, report.results[name].reason) == (None, "not measured")


def test_a_quiet_model_is_explained_by_its_highest_scores(make_evidence: Make) -> None:
    evidence = make_evidence(alerts=())
    scores = replace(evidence.scores, flagged=np.zeros(400, bool))
    asked: list[int] = []

    def explain(rows: NDArray[np.intp]) -> Matrix:
        asked.extend(rows.tolist())
        return evidence.features[rows]

    report = evaluate(replace(evidence, scores=scores, explain=explain))
    assert set(asked) == set(np.argsort(scores.score)[-4:].tolist())
    assert report.figures["alerts"] == 0
    assert report.results["precision"].reason == "nothing was flagged"
    assert report.results["alert_precision"].value is None
    assert report.figures["recall"] == 0


def test_the_report_is_plain_json_and_has_a_key_for_each_field(make_evidence: Make) -> None:
    evidence = make_evidence(level=np.inf, promise={"asked": "3/day", "days": np.float64(2.5)})
    report = evaluate(evidence)
    document = report.to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document) == {"format", "figures"} | {field.name for field in fields(Report)} - {"results"}
    assert document["level"] is None
    assert document["promise"]["days"] == 2.5
    assert set(document["figures"]["recall"]) == {"value", "low", "high", "reason", "unit"}
    assert document["confusion"].keys() == {"tn", "fp", "fn", "tp"}


def test_the_same_evidence_gives_the_same_report(make_evidence: Make) -> None:
    assert evaluate(make_evidence()).to_json() == evaluate(make_evidence()).to_json()


def test_generated_data_is_said_in_the_notes(make_evidence: Make) -> None:
    assert "generated" in evaluate(make_evidence(generated=True)).notes[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3, np.int8)}, "evaluation: labels\n  got 3 rows, wanted 400"),
        ({"features": np.zeros((400, 2))}, "evaluation: features\n  got shape"),
    ],
)
def test_columns_that_do_not_fit_are_named(make_evidence: Make, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(make_evidence(**changes))


def test_scores_that_are_not_finite_are_refused(make_evidence: Make) -> None:
    evidence = make_evidence()
    score = evidence.scores.score.copy()
    score[7] = np.nan
    with pytest.raises(DataError, match="1 of 400 scores that are not finite"):
        evaluate(replace(evidence, scores=replace(evidence.scores, score=score)))


def test_no_rows_are_refused(make_evidence: Make) -> None:
    empty = np.zeros(0)
    with pytest.raises(DataError, match="no rows"):
        evaluate(make_evidence(scores=Scores(empty, empty, empty.astype(bool), empty.astype(object))))


def test_real_flows_are_measured_as_scikit_learn_measures_them(
    make_evidence: Make, remembered: Callable[[Matrix], TrainingRows], data: Path
) -> None:
    def rows(name: str) -> list[list[str]]:
        with gzip.open(data / "nsl_kdd" / name, "rt") as file:
            return [line.strip().split(",") for line in file]

    def features(lines: list[list[str]]) -> Matrix:
        numbers = [[float(value) for value in (line[0], *line[4:41])] for line in lines]
        matrix: Matrix = np.log1p(np.array(numbers))
        return matrix

    test = rows("KDDTest+.txt.gz")
    training = features([line for line in rows("KDDTrain+_20Percent.txt.gz") if line[41] == "normal"])
    moments = np.array([training.mean(axis=0), training.std(axis=0)])
    x = features(test)
    score, count = zscore(x, moments), len(test)
    labels = np.array([line[41] != "normal" for line in test], np.int8)
    report = evaluate(
        make_evidence(
            scores=Scores(score, np.full(count, 0.5), score > 4, np.full(count, "ready", object)),
            labels=labels,
            classes=np.array([line[41] for line in test], object),
            times=None,
            entities=None,
            origins=np.full(count, "KDDTest+.txt", object),
            features=x,
            feature_names=tuple(f"column_{column}" for column in range(38)),
            training=remembered(training),
            rescoring=None,
            copies=None,
            explain=lambda chosen: x[chosen],
            alerts=(),
        )
    )
    assert report.figures["roc_auc"] == pytest.approx(roc_auc_score(labels, score))
    assert report.figures["average_precision"] == pytest.approx(average_precision_score(labels, score))
    beaten = {item.name: item.beaten for item in report.baselines}
    assert beaten == {"random": True, "constant": True, "last_value": True, "zscore": False}
    assert sum(item.rows for item in report.classes) == labels.sum()

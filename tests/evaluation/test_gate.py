from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tocsin.errors import ConfigError
from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.judge import Wanted, judge_figures
from tocsin.evaluation.measures import Figure
from tocsin.evaluation.report import Report, evaluate


def _document(**figures: Figure) -> dict[str, object]:
    return {
        "rows": {"all": 10, "unlabelled": 0},
        "figures": {
            name: {"value": item.value, "low": item.low, "high": item.high, "reason": item.reason, "unit": item.unit}
            for name, item in figures.items()
        },
    }


DOCUMENT = _document(
    recall=Figure(0.912),
    precision=Figure(0.8709),
    false_positive_rate=Figure(0.07),
    latency_p99_ms=Figure(41.2, unit="ms"),
    train_seconds=Figure(90.0, unit="s"),
    peak_memory_bytes=Figure(181_000_000, unit="bytes"),
    alerts=Figure(1_234, unit="count"),
    roc_auc=Figure(None, reason="no labels: the config names none for these rows"),
)


@pytest.fixture
def report(make_evidence: Callable[..., Evidence]) -> Report:
    return evaluate(make_evidence())


@pytest.mark.parametrize(
    ("target", "limit", "text"),
    [
        ("recall", ">= 0.871", "recall 0.912 >= 0.871"),
        ("recall", ">=87.1%", "recall 91.2% >= 87.1%"),
        ("false_positive_rate", "<= 7%", "false_positive_rate 7% <= 7%"),
        ("latency_p99", "<= 100ms", "latency_p99 41.2ms <= 100ms"),
        ("latency_p99", "< 0.1 s", "latency_p99 0.041s < 0.1s"),
        ("latency_p99_ms", "<= 100", "latency_p99_ms 41.2 <= 100"),
        ("train", "<= 10m", "train 1.5m <= 10m"),
        ("peak_memory", "< 400MB", "peak_memory 181MB < 400MB"),
        ("alerts", "<= 2000", "alerts 1234 <= 2000"),
    ],
)
def test_a_target_that_is_met_reads_as_a_comparison(target: str, limit: str, text: str) -> None:
    verdict = judge_figures(DOCUMENT, {target: limit})
    assert verdict.passed
    assert verdict.judgements[0].reason == text


@pytest.mark.parametrize(
    ("target", "limit", "text"),
    [
        ("recall", "> 0.912", "recall 0.912 is not > 0.912"),
        ("precision", ">= 0.871", "precision 0.8709 is not >= 0.871"),
        ("latency_p99", "<= 20ms", "latency_p99 41.2ms is not <= 20ms"),
        ("recall", "<= .5", "recall 0.912 is not <= .5"),
    ],
)
def test_a_target_that_is_missed_never_reads_as_met(target: str, limit: str, text: str) -> None:
    verdict = judge_figures(DOCUMENT, {"alerts": "> 0", target: limit})
    assert not verdict.passed
    assert [judgement.passed for judgement in verdict.judgements] == [True, False]
    assert verdict.judgements[1].reason == text


def test_a_figure_without_a_value_fails_with_its_reason() -> None:
    judgement = judge_figures(DOCUMENT, {"roc_auc": ">= 0.9"}).judgements[0]
    assert not judgement.passed
    assert judgement.got == "no labels: the config names none for these rows"
    assert judgement.reason == "roc_auc has no value (no labels: the config names none for these rows), wanted >= 0.9"


def test_a_target_for_labelled_rows_is_not_asked_without_labels_and_the_verdict_says_so(
    make_evidence: Callable[..., Evidence], report: Report
) -> None:
    limits = {"recall": ">= 99.9% when labelled", "latency_p99": "<= 100ms"}
    assert [judgement.passed for judgement in judge_figures(report, limits).judgements] == [False, True]
    for labels in (None, np.full(400, -1, np.int8)):
        verdict = judge_figures(evaluate(make_evidence(labels=labels)), limits)
        assert verdict.passed
        assert [judgement.asked for judgement in verdict.judgements] == [False, True]
        assert verdict.judgements[0].reason.startswith("recall >= 99.9% was not asked (no labels: ")
        assert verdict.judgements[1].reason == "latency_p99 0.991ms <= 100ms"


def test_a_verdict_that_could_ask_nothing_of_rows_without_labels_does_not_pass(
    make_evidence: Callable[..., Evidence],
) -> None:
    verdict = judge_figures(evaluate(make_evidence(labels=None)), {"recall": ">= 50% when labelled"})
    assert not verdict.passed
    assert [judgement.asked for judgement in verdict.judgements] == [False, True]
    assert "nothing was judged" in verdict.judgements[1].reason


def test_a_target_for_labelled_rows_fails_where_labels_say_too_little() -> None:
    figures = _document(recall=Figure(None, reason="no row is labelled as an anomaly"))
    assert not judge_figures(figures, {"recall": ">= 0.5 when labelled"}).passed


def test_targets_can_be_checked_without_a_report() -> None:
    Wanted.parse({"recall": ">= 0.9", "latency_p99": "<= 100ms when labelled"})
    with pytest.raises(ConfigError, match="did you mean"):
        Wanted.parse({"recal": ">= 0.9"})


def test_no_target_passes_and_says_that_nothing_was_asked() -> None:
    verdict = judge_figures(DOCUMENT, {})
    assert verdict.passed
    assert len(verdict.judgements) == 1
    assert "nothing was asked" in verdict.judgements[0].reason


def test_every_target_that_cannot_be_read_is_listed_at_once() -> None:
    limits = {
        "recal": ">= 0.9",
        "recall": "0.9",
        "precision": ">= 5ms",
        "latency_p99": "<= 100",
        "alerts": "<= 1e3",
        "train": 3,
    }
    with pytest.raises(ConfigError) as caught:
        judge_figures(DOCUMENT, limits)  # type: ignore[arg-type]  # a config may hold a number
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres == [f"$.gate.{name}" for name in limits]
    assert caught.value.problems[0].hint == 'did you mean "recall"?'
    assert "roc_auc" in caught.value.problems[0].wanted
    assert caught.value.problems[1].wanted == 'a comparison such as ">= 1": one of >=, <=, >, <, a number, no unit or %'


def test_a_report_and_its_json_are_judged_alike(report: Report) -> None:
    limits = {"precision": ">= 0.5", "recall": ">= 99%", "latency_p50": "<= 1s", "alerts_per_day": "<= 3"}
    assert judge_figures(report, limits) == judge_figures(report.to_json(), limits)
    assert judge_figures(report, limits).judgements[0].got == report.figures["precision"]


def test_a_budget_that_is_not_served_as_asked_can_be_refused(make_evidence: Callable[..., Evidence]) -> None:
    limits = {"budget_factor": "<= 1"}
    assert judge_figures(evaluate(make_evidence()), limits).passed
    short = judge_figures(evaluate(make_evidence(promise={"asked": 0.5, "served": 2.0})), limits)
    assert not short.passed
    assert short.judgements[0].reason == "budget_factor 4 is not <= 1"


def test_a_level_that_has_seen_the_labels_it_is_judged_by_is_refused(make_evidence: Callable[..., Evidence]) -> None:
    seen = evaluate(make_evidence(seen_in_training=True))
    verdict = judge_figures(seen, {"recall": ">= 0.1", "latency_p99": "<= 10s"})
    assert not verdict.passed
    recall, latency = verdict.judgements
    assert (recall.passed, latency.passed) == (False, True)
    assert "rows whose labels the model has seen" in recall.reason
    assert judge_figures(evaluate(make_evidence()), {"recall": ">= 0.1"}).passed


def test_delays_and_false_alarms_a_day_can_be_asked_for(make_evidence: Callable[..., Evidence]) -> None:
    limits = {"detection_delay_p95": "<= 5m", "false_alarms_per_day": "<= 1", "fidelity_top3": ">= 90%"}
    verdict = judge_figures(evaluate(make_evidence()), limits)
    passed = {judgement.target: judgement.passed for judgement in verdict.judgements}
    assert passed == {"detection_delay_p95": True, "false_alarms_per_day": False, "fidelity_top3": True}

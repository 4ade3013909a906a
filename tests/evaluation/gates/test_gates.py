"""Each gate alone: a case that passes by a hair, and one that is refused by a hair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tocsin.errors import ConfigError
from tocsin.evaluation import gates
from tocsin.evaluation.beside import Beside
from tocsin.evaluation.figures import UNITS
from tocsin.evaluation.gates.base import Case, Gate
from tocsin.evaluation.gates.ranks import spearman
from tocsin.evaluation.judge import APPROVAL, GATES, Wanted, judge, unattended
from tocsin.evaluation.subject import Share, Subject
from tocsin.records import DAY, SECOND, Judgement, Verdict

Make = Callable[..., Case]
Case_ = Callable[[Make, Subject], Case]


def _training(subject: Subject, **changes: Any) -> dict[str, Any]:
    return {"training": replace(subject.training, **changes)}


def _profile(subject: Subject, **changes: Any) -> dict[str, Any]:
    return {"profile": replace(subject.profile, **changes)}


def _rung(missed: int) -> dict[str, Any]:
    return {"rung": np.arange(100) >= missed}


def _peaks(missed: int, first: int) -> dict[str, Any]:
    """Of forty, every second one is of a kind that no golden set holds."""
    peaks = np.full(40, 10.0)
    peaks[first::2][:missed] = -10.0
    return {"peaks": peaks}


def _counts(rows: float, entities: float) -> Case_:
    """Shares of the champion's rows and entities."""
    shares = np.array([rows, entities])
    return lambda make, was: make(candidate=_training(was, counts=(was.training.counts * shares).astype(np.int64)))


def _moved(make: Make, was: Subject, by: float) -> Case:
    """Values moved by so many of their standard deviations."""
    return make(candidate=_profile(was, quantiles=was.profile.quantiles + np.array([by * 5, 0])))


def _span(was: Subject, first: int, last: int) -> dict[str, Any]:
    return _training(was, span=was.training.span + np.array([first, last]) * DAY)


def _leaks(auc: float) -> dict[str, Any]:
    return {"single": {"column": "sent", "by": "high", "roc_auc": auc}, "relation": None}


def _with(make: Make, **changes: Any) -> Case:
    case = make()
    return make(report={**case.report, **changes})


def _slow(ms: float) -> dict[str, Any]:
    return {"latency_p99_ms": {"value": ms, "reason": ""}}


def _beside(alerts: int, rang: int = 10, rows: int = 1_000) -> Beside:
    pair = (1.0, 1.0)
    return Beside("a", "b", rows, 60.0, (rang, alerts), (0, 0), 0.9, 0.1, latency_p99_ms=pair, paced=100)


MONDAY = 1_767_571_200_000_000
NOW = int(datetime(2026, 1, 20, tzinfo=UTC).timestamp()) * SECOND
BY_A_HAIR: dict[str, tuple[Case_, Case_]] = {
    "rows": (_counts(0.5, 1), _counts(0.499, 1)),
    "entities": (_counts(1, 0.7), _counts(1, 0.6)),
    "coverage": (
        lambda make, was: make(candidate=_span(was, 3, 0)),
        lambda make, was: make(candidate=_span(was, 4, 0)),
    ),
    "missing": (
        lambda make, was: make(candidate=_profile(was, missing=was.profile.missing + 0.1)),
        lambda make, was: make(candidate=_profile(was, missing=was.profile.missing + 0.11)),
    ),
    "drift": (lambda make, was: _moved(make, was, 0.4), lambda make, was: _moved(make, was, 0.8)),
    "freshness": (
        lambda make, was: make(candidate=_training(was, span=was.training.span - 8 * 3_600 * SECOND)),
        lambda make, was: make(candidate=_training(was, span=was.training.span - 9 * 3_600 * SECOND)),
    ),
    "future": (
        lambda make, was: make(last=NOW + 300 * SECOND),
        lambda make, was: make(last=NOW + 301 * SECOND),
    ),
    "incident": (lambda make, was: make(learnt=Share(40, 1_000)), lambda make, was: make(learnt=Share(41, 1_000))),
    "leak": (
        lambda make, was: _with(make, leaks=_leaks(0.9998)),
        lambda make, was: _with(make, leaks=_leaks(0.9999)),
    ),
    "golden": (
        lambda make, was: make(on_pins=_rung(10), champion=None),
        lambda make, was: make(on_pins=_rung(11), champion=None),
    ),
    "golden_loss": (lambda make, was: make(on_pins=_rung(2)), lambda make, was: make(on_pins=_rung(3))),
    "injected": (lambda make, was: make(on_pins=_peaks(2, 0)), lambda make, was: make(on_pins=_peaks(3, 0))),
    "held_out": (lambda make, was: make(on_pins=_peaks(2, 1)), lambda make, was: make(on_pins=_peaks(3, 1))),
    "clean": (lambda make, was: make(on_pins={"alerts": 28}), lambda make, was: make(on_pins={"alerts": 29})),
    "agreement": (
        lambda make, was: make(candidate={"scores": was.scores + np.sin(np.arange(2_000) * 12.9) * 0.8}),
        lambda make, was: make(candidate={"scores": was.scores + np.sin(np.arange(2_000) * 12.9) * 1.2}),
    ),
    "anchor": (
        lambda make, was: make(on_pins={"usual": _pins(make).usual + np.sin(np.arange(400) * 12.9) * 2}),
        lambda make, was: make(on_pins={"usual": _pins(make).usual + np.sin(np.arange(400) * 12.9) * 3}),
    ),
    "self_test": (
        lambda make, was: make(candidate={"scores": np.arange(2_000) % 2.0}, champion=None),
        lambda make, was: make(candidate={"scores": np.zeros(2_000)}, champion=None),
    ),
    "size": (lambda make, was: make(size_bytes=2_000_000), lambda make, was: make(size_bytes=2_000_001)),
    "latency": (
        lambda make, was: make(candidate={"latency_ms": 6.0}),
        lambda make, was: make(candidate={"latency_ms": 6.1}),
    ),
    "shadow": (lambda make, was: make(beside=_beside(20)), lambda make, was: make(beside=_beside(21))),
    "memory": (
        lambda make, was: make(candidate={"memory_bytes": 300_000_000}),
        lambda make, was: make(candidate={"memory_bytes": 301_000_000}),
    ),
}


def missed(verdict: Verdict) -> list[str]:
    return [item.target for item in verdict.judgements if item.asked and not item.passed]


def test_no_gate_is_forgotten_and_none_is_called_like_a_figure() -> None:
    modules = [import_module(found.name) for found in iter_modules(gates.__path__, f"{gates.__name__}.")]
    written = {item.name for module in modules for item in vars(module).values() if isinstance(item, Gate)}
    assert written == set(GATES) == set(BY_A_HAIR)
    assert not written & UNITS.keys()
    assert all(gate.why.endswith(".") for gate in GATES.values())


def test_the_champion_once_more_passes_every_gate(make_case: Make) -> None:
    verdict = judge(make_case(), {})
    assert all(item.passed for item in verdict.judgements)
    assert {item.target for item in verdict.judgements} == set(GATES)


@pytest.mark.parametrize("name", BY_A_HAIR)
def test_a_gate_holds_by_a_hair_and_refuses_by_one(name: str, make_case: Make, subject: Subject) -> None:
    holds, refuses = BY_A_HAIR[name]
    assert missed(judge(holds(make_case, subject), {})) == []
    verdict = judge(refuses(make_case, subject), {})
    assert missed(verdict) == [name]
    assert verdict.passed is GATES[name].soft
    assert verdict.needs_approval is GATES[name].soft
    assert all(item.reason.startswith(name) for item in verdict.judgements if item.target == name)


def test_the_first_model_of_a_name_is_compared_with_nothing(make_case: Make) -> None:
    verdict = judge(make_case(champion=None, learnt=None, pins=None), {})
    assert verdict.passed
    asked = {item.target for item in verdict.judgements if item.asked}
    assert asked == {"future", "leak", "self_test", "size", "latency"}


def test_telemetry_without_a_clock_is_not_asked_for_times(make_case: Make, subject: Subject) -> None:
    timeless = replace(subject, training=replace(subject.training, span=np.array([], dtype=np.int64)))
    verdict = judge(make_case(champion=timeless, candidate={"training": timeless.training}, last=None), {})
    skipped = {item.target for item in verdict.judgements if not item.asked}
    assert skipped == {"coverage", "freshness", "future"}


def test_a_gate_is_switched_off_or_given_another_bound(make_case: Make, subject: Subject) -> None:
    half = _counts(0.4, 0.4)(make_case, subject)
    assert missed(judge(half, {})) == ["rows", "entities"]
    verdict = judge(half, {"rows": "off", "entities": ">= 40%"})
    assert verdict.passed
    off = next(item for item in verdict.judgements if item.target == "rows")
    assert (off.asked, off.reason) == (False, "rows was switched off in the config")


@pytest.mark.parametrize(("rang", "would"), [(10, 21), (21, 10), (0, 10)])
def test_a_candidate_that_rings_far_more_or_less_beside_the_champion_is_refused(
    make_case: Make, rang: int, would: int
) -> None:
    assert missed(judge(make_case(beside=_beside(would, rang)), {})) == ["shadow"]


@pytest.mark.parametrize("beside", [None, _beside(0, 9), _beside(30, 3, rows=999)])
def test_what_ran_beside_too_shortly_or_not_at_all_is_not_asked(make_case: Make, beside: Beside | None) -> None:
    verdict = judge(make_case(beside=beside), {})
    assert {item.target for item in verdict.judgements if not item.asked} == {"shadow"}


def test_an_approval_is_asked_for_unless_the_config_says_otherwise() -> None:
    assert unattended({}) is None
    assert unattended({APPROVAL: "off"}) == "gate.require_approval is false"


@pytest.mark.parametrize("limits", [{"future": ">= 5m"}, {"golden": "<= 0.9"}, {"leak": ">= 0.5"}])
def test_no_bound_turns_a_gate_round(limits: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="a bound that begins with"):
        Wanted.parse(limits)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("golden", ">= 2"),
        ("golden", "> 100%"),
        ("golden_loss", "< 0"),
        ("incident", "<= 110%"),
        ("agreement", ">= 1.01"),
        ("shadow", "<= 0.9"),
        ("drift", "< 0"),
        ("roc_auc", ">= 1.5"),
        ("recall", "> 100%"),
        ("alerts_per_day", "< 0"),
    ],
)
def test_a_bound_that_no_model_could_meet_is_refused_before_any_is_trained(name: str, bound: str) -> None:
    with pytest.raises(ConfigError, match="a bound that can be met: values go from") as refused:
        Wanted.parse({name: bound})
    assert [problem.where for problem in refused.value.problems] == [f"$.gate.{name}"]


@pytest.mark.parametrize(
    ("name", "bound"),
    [("golden", ">= 100%"), ("clean", "<= 4"), ("shadow", "<= 1"), ("budget_factor", "<= 3"), ("recall", ">= 1")],
)
def test_a_bound_at_the_end_of_what_can_be_is_taken(name: str, bound: str) -> None:
    assert Wanted.parse({name: bound})


def test_a_target_of_a_preset_is_taken_away_by_off() -> None:
    assert [target.name for target in Wanted.parse({"recall": "off", "precision": ">= 0.5"}).targets] == ["precision"]


def test_an_unknown_name_is_met_with_the_one_that_was_meant(make_case: Make) -> None:
    with pytest.raises(ConfigError) as refused:
        judge(make_case(), {"godlen": "off", "drift": "much", APPROVAL: "maybe", "recall": ">= 0.5", "rowss": "off"})
    problems = {problem.where: problem for problem in refused.value.problems}
    assert problems["$.gate.godlen"].hint == 'did you mean "golden"?'
    assert problems["$.gate.drift"].wanted.startswith("off, or a comparison")
    assert problems[f"$.gate.{APPROVAL}"].wanted == "true or false"
    assert problems["$.gate.rowss"].hint == 'did you mean "rows"?'
    assert len(problems) == 4


def test_a_champion_that_cannot_be_read_asks_for_a_person(make_case: Make) -> None:
    verdict = judge(make_case(champion=None, lost={"champion": "its files have changed"}), {})
    assert verdict.passed
    assert verdict.needs_approval
    assert missed(verdict) == ["champion"]


def test_a_candidate_that_is_not_what_was_trained_is_refused(make_case: Make) -> None:
    assert missed(judge(make_case(replayed="array detector.centre, nothing"), {})) == ["self_test"]


def test_rows_that_it_cannot_read_hide_no_attack(make_case: Make) -> None:
    assert "golden" in missed(judge(make_case(candidate={"on_pins": None}), {}))


def test_a_model_that_has_gone_quiet_is_for_a_person_to_see(make_case: Make) -> None:
    verdict = judge(make_case(on_pins={"alerts": 0, "promised": 40.0}, pins=replace(_pins(make_case), alerts=40)), {})
    assert missed(verdict) == ["clean"]
    assert verdict.passed
    assert verdict.needs_approval


@pytest.mark.parametrize(("had", "has", "asked"), [(40, 30, False), (40, 29, True), (39, 0, False), (0, 0, False)])
def test_a_level_that_creeps_up_is_seen_where_more_rows_are_in_reach(
    make_case: Make, had: int, has: int, *, asked: bool
) -> None:
    verdict = judge(make_case(on_pins={"in_reach": has}, pins=replace(_pins(make_case), in_reach=had)), {})
    assert missed(verdict) == ["clean"] * asked
    assert (verdict.passed, verdict.needs_approval) == (True, asked)


def _pins(make_case: Make) -> Any:
    return make_case().pins


def test_what_the_anchor_misses_is_named(make_case: Make) -> None:
    uncovered = tuple(f"ramp of field {number}" for number in range(12))
    verdict = judge(make_case(pins=replace(_pins(make_case), uncovered=uncovered)), {})
    told = next(item for item in verdict.judgements if item.target == "golden" and not item.asked)
    assert "12 attacks" in told.reason
    assert "ramp of field 2 and 9 more" in told.reason


def test_a_column_that_told_as_much_before_is_not_asked_again(make_case: Make, subject: Subject) -> None:
    case = _with(make_case, leaks=_leaks(1.0))
    assert missed(judge(case, {})) == ["leak"]
    assert missed(judge(replace(case, champion=replace(subject, leak="sent")), {})) == []


def test_a_verdict_comes_back_from_json_as_it_went(make_case: Make, subject: Subject) -> None:
    verdict = judge(_counts(0.4, 0.4)(make_case, subject), {"leak": "off", "future": "<= 1h"})
    assert TypeAdapter(Verdict).validate_json(orjson.dumps(verdict), strict=True) == verdict


finite = st.floats(0, 1e300)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    counts=st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)),
    span=st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)).map(sorted),
    alerts=st.integers(0, 10**9),
    promised=finite,
    latency=finite,
    auc=st.floats(0, 1),
    size=st.integers(0, 2**40),
    spread=finite,
    rung=st.lists(st.booleans(), min_size=100, max_size=100),
    ahead=st.integers(0, 2**60),
)
def test_no_gate_raises_on_anything_finite(  # noqa: PLR0917  # one argument for each thing that can be odd
    make_case: Make,
    subject: Subject,
    counts: tuple[int, int],
    span: list[int],
    alerts: int,
    promised: float,
    latency: float,
    auc: float,
    size: int,
    spread: float,
    rung: list[bool],
    ahead: int,
) -> None:
    odd = replace(subject.training, counts=np.array(counts), span=np.array(span))
    case = make_case(
        candidate={"training": odd, "latency_ms": latency, "scores": subject.scores * spread},
        on_pins={"alerts": alerts, "promised": promised, "rung": np.array(rung), "usual": np.zeros(400)},
        last=ahead,
        size_bytes=size,
    )
    case = replace(case, report={**case.report, "leaks": _leaks(auc), "figures": _slow(latency)})
    for one, other in ((case, subject), (replace(case, candidate=subject), replace(subject, training=odd))):
        verdict = judge(replace(one, champion=other), {})
        assert {item.target for item in verdict.judgements} == set(GATES)
        assert all(isinstance(item, Judgement) and item.reason for item in verdict.judgements)


def test_ranks_agree_with_themselves_and_not_with_their_reverse(rng: np.random.Generator) -> None:
    scores = rng.normal(size=500)
    assert spearman(scores, np.exp(scores)) == 1.0
    assert spearman(scores, -scores) == -1.0
    assert spearman(scores, np.zeros(500)) == 0.0
    assert abs(spearman(scores, rng.normal(size=500))) < 0.2


def test_the_clock_of_the_future_gate_is_the_one_that_is_given(make_case: Make) -> None:
    case = make_case(last=NOW + DAY)
    assert missed(judge(case, {})) == ["future"]
    assert missed(judge(replace(case, now=case.now + timedelta(days=1)), {})) == []

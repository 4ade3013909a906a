from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alerts.flagged import COOLDOWN_S, START, Row, flagged

from tocsin import log
from tocsin.alerts import AlertPolicy, BudgetController, FlaggedRows, Restraint, flagged_rows
from tocsin.alerts import episodes as alerts_episodes
from tocsin.alerts import policy as alerts_policy
from tocsin.alerts.messages import severity
from tocsin.calibration import episodes
from tocsin.errors import DataError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import DAY, FILE, ROW, SECOND, Alert, Batch, Reason, Scores


def policy(at_most_per_day: int | None = None) -> AlertPolicy:
    return AlertPolicy(cooldown_s=COOLDOWN_S, model="edge 3", restraint=Restraint(at_most_per_day=at_most_per_day))


def folded() -> int:
    return log.counters().get("tocsin_alerts_folded_total", 0)


def test_rows_of_an_episode_are_one_alert() -> None:
    explained: list[int] = []
    rows = flagged([(0, "a"), (60, "a"), (100, "a"), (400, "a")], explained=explained)
    first, second = policy().decide(rows)
    assert (first.entity, first.start, first.end, first.rows) == ("a", START, START + 100 * SECOND, 3)
    assert (first.p_value, first.score, first.origin, first.model) == (0.001 / 3, 7.0, "flows.csv:0", "edge 3")
    assert (second.start, second.rows) == (START + 400 * SECOND, 1)
    assert explained == [2, 3]  # the row whose score is told
    assert (first.confidence, second.confidence) == (1 / 3, 0.25)


def test_alerts_come_as_their_rows_come() -> None:
    found = policy().decide(flagged([(300, "a"), (0, "b"), (600, "c"), (300, "d")]))
    assert [alert.entity for alert in found] == ["a", "b", "c", "d"]


def test_an_episode_that_goes_on_in_the_next_batch_is_silent() -> None:
    deciding = policy()
    assert len(deciding.decide(flagged([(0, "a")]))) == 1
    assert deciding.decide(flagged([(100, "a"), (200, "a")])) == ()
    assert [alert.entity for alert in deciding.decide(flagged([(310, "a"), (310, "b")]))] == ["b"]
    assert len(deciding.decide(flagged([(430, "a")]))) == 1


def test_a_late_row_of_an_open_episode_is_silent_and_does_not_shorten_it() -> None:
    deciding = policy()
    deciding.decide(flagged([(100, "a")]))
    assert deciding.decide(flagged([(50, "a")])) == ()
    assert deciding.decide(flagged([(219, "a")])) == ()


def test_the_id_depends_on_entity_and_beginning_alone() -> None:
    one = policy().decide(flagged([(0, "a"), (60, "a")]))[0]
    other_model = AlertPolicy(cooldown_s=COOLDOWN_S, model="edge 4", generated=True).decide(flagged([(0, "a")]))[0]
    assert one.id == other_model.id
    assert other_model.generated
    others = policy().decide(flagged([(0, "b"), (1, "c"), (1, "d")]))
    assert len({one.id, *(alert.id for alert in others)}) == 4


HISTORY = st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abc")), min_size=1, max_size=40)


@given(steps=HISTORY, cuts=st.lists(st.integers(0, 40), max_size=6), limit=st.sampled_from([None, 1, 3]))
@settings(max_examples=60)
def test_batches_give_the_same_alerts_as_one_batch(steps: list[Row], cuts: list[int], limit: int | None) -> None:
    times = np.cumsum([30 * step for step, _ in steps])
    rows = [(int(time), entity) for time, (_, entity) in zip(times, steps, strict=True)]
    whole = policy(limit).decide(flagged(rows))
    deciding, edges = policy(limit), [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts: list[Alert] = []
    for begin, end in pairwise(edges):
        parts.extend(deciding.decide(flagged(rows[begin:end], first=begin)))
    assert {alert.id for alert in parts} == {alert.id for alert in whole}
    assert len(parts) == len(whole)


@given(steps=HISTORY)
@settings(max_examples=40)
def test_as_many_alerts_are_sent_as_the_threshold_counts(steps: list[Row]) -> None:
    rows = flagged([(30 * second, entity) for second, entity in sorted(steps)])
    assert rows.times is not None
    assert len(policy().decide(rows)) == episodes(rows.times, rows.entities, COOLDOWN_S).max() + 1


def test_without_a_clock_every_row_rings() -> None:
    found = policy().decide(flagged([(0, "a"), (0, "a")], clock=False))
    assert [(alert.start, alert.end, alert.rows) for alert in found] == [(None, None, 1)] * 2
    assert len({alert.id for alert in found}) == 2
    assert {alert.id for alert in policy().decide(flagged([(0, "a"), (0, "a")], clock=False))} == {
        alert.id for alert in found
    }


def test_a_limit_a_day_needs_a_clock() -> None:
    with pytest.raises(DataError, match="without a clock"):
        policy(5).decide(flagged([(0, "a")], clock=False))


def test_beyond_the_limit_a_day_has_one_digest_and_the_rest_is_counted() -> None:
    before, deciding, explained = folded(), policy(2), list[int]()
    found = deciding.decide(flagged([(1_000 * number, "a") for number in range(5)], explained=explained))
    assert [alert.entity for alert in found] == ["a", "a", ""]
    assert found[2].origin == "3 alerts beyond the first 2 on 2026-01-01: they and later ones are counted, not sent"
    assert (found[2].rows, found[2].reasons, found[2].start) == (3, (), START + 2_000 * SECOND)
    assert (found[2].cause, found[2].incident) == ("", "")
    assert found[2].confidence is None
    assert explained == [0, 1]
    assert deciding.decide(flagged([(9_000, "a")])) == ()
    assert folded() - before == 4
    next_day = DAY // SECOND
    assert [alert.entity for alert in deciding.decide(flagged([(next_day, "a")]))] == ["a"]


def test_days_that_are_over_are_not_remembered() -> None:
    deciding = policy(2)
    for day in range(100):
        deciding.decide(flagged([(day * 86_400, "a")]))
    assert len(deciding._rung) == alerts_policy.DAYS_COUNTED


def test_open_episodes_are_bounded_and_what_is_given_up_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_episodes, "OPEN_EPISODES", 3)
    evicted = 'tocsin_entities_evicted_total{reason="open_episodes"}'
    before, deciding = log.counters().get(evicted, 0), policy()
    deciding.decide(flagged([(second, str(second)) for second in range(5)]))
    assert [entity for entity, _ in deciding.state()["episodes"]] == ["2", "3", "4"]
    assert log.counters()[evicted] - before == 2
    deciding.decide(flagged([(500, "late")]))
    assert [entity for entity, _ in deciding.state()["episodes"]] == ["3", "4", "late"]
    assert log.counters()[evicted] - before == 2


def test_nothing_flagged_is_no_alert() -> None:
    assert policy().decide(flagged([])) == ()


@pytest.mark.parametrize("clock", ["time", None])
def test_rows_that_are_warming_up_never_ring(clock: str | None) -> None:
    columns = {
        "time": np.arange(4) * DAY,
        "host": np.array(["a", "b", "c", "d"], dtype=object),
        FILE: np.full(4, "flows.csv", dtype=object),
        ROW: np.arange(1, 5),
    }
    scores = Scores(
        score=np.arange(4.0),
        p_value=np.full(4, 0.001),
        flagged=np.array([True, True, False, True]),
        state=np.array(["warming_up", "ready", "ready", "degraded"], dtype=object),
    )
    model = SimpleNamespace(
        design=SimpleNamespace(schema=SimpleNamespace(time=clock, entity="host")),
        entities=lambda batch: batch["host"],
        threshold=SimpleNamespace(promise=lambda: {"level_p": 0.002}),
        program=Program((Operation("log1p", ("bytes",), ("bytes_log",)),), ("bytes_log", "packets")),
        explainer=SimpleNamespace(contributions=lambda values: values),
        reasons=lambda values: [(Reason("bytes", row[0], 0.0, 1.0, 1.0),) for row in values],
        confidence=lambda values: [1.0 / row[0] for row in values],
    )
    matrix = FeatureMatrix(np.arange(8.0).reshape(4, 2), np.ones(4, dtype=bool))
    rows = flagged_rows(cast("AnomalyModel", model), Batch(columns), matrix, scores)
    assert rows.level_p == 0.002
    found = [(alert.entity, alert.state, alert.origin, alert.reasons[0].value) for alert in policy().decide(rows)]
    assert found == [("b", "ready", "flows.csv:2", 2.0), ("d", "degraded", "flows.csv:4", 6.0)]
    assert [alert.confidence for alert in policy().decide(rows)] == [1 / 2, 1 / 6]
    assert {alert.cause for alert in policy().decide(rows)} == {"packets"}


@pytest.mark.parametrize(
    ("p_value", "moments", "wanted"),
    [
        (0.001, 1, "low"), (0.0003, 1, "low"), (0.00025, 1, "medium"), (0.0000625, 4, "high"),
        (0.0000625, 5, "critical"), (1e-9, 1, "critical"), (0.001, 5, "medium"), (1e-9, 9, "critical"),
    ],
)  # fmt: skip
def test_severity_grows_as_p_falls_and_an_episode_lasts(p_value: float, moments: int, wanted: str) -> None:
    assert severity(p_value, 0.001, moments) == wanted


DAYS = 86_400
HOURS = [3_600 * hour for hour in range(24)]


def quiet(day: int) -> FlaggedRows:
    """A day of hourly rows, none of which may ring."""
    return flagged([], seen=[day * DAYS + second for second in HOURS])


def ringing(day: int, alerts: int, ease: float = 1.0 / 4.0) -> FlaggedRows:
    """A day of hourly rows and some that ring however small the budget, each an alert of its own."""
    rows = [(day * DAYS + 600 * number, "a") for number in range(alerts)]
    return flagged(rows, ease=ease, first=day * 1_000, seen=[day * DAYS + second for second in HOURS])


def adapting(per_day: float = 3.0, state: Mapping[str, Any] | None = None) -> AlertPolicy:
    return AlertPolicy(cooldown_s=COOLDOWN_S, controller=BudgetController(per_day, state=state))


def multiple(deciding: AlertPolicy) -> float:
    assert deciding.controller is not None
    return deciding.controller.multiple


def test_without_a_controller_only_what_the_threshold_flags_rings() -> None:
    assert policy().loosest == 1.0
    assert len(policy().decide(flagged([(0, "a")], ease=1.0))) == 1
    assert policy().decide(flagged([(0, "a")], ease=1.01)) == ()


def test_quiet_weeks_loosen_the_level_to_four_times_the_budget_and_no_further() -> None:
    deciding, loosened = adapting(), []
    assert deciding.loosest == 4.0
    for day in range(60):
        deciding.decide(quiet(day))
        loosened.append(multiple(deciding))
    assert loosened[:2] == [1.0, 1.0]
    assert loosened == sorted(loosened)
    assert loosened[-1] == 4.0
    assert len(deciding.decide(ringing(60, 1, ease=3.9))) == 1
    assert deciding.decide(ringing(61, 1, ease=4.1)) == ()


def test_weeks_that_ring_too_often_tighten_it_to_a_quarter_and_no_further() -> None:
    deciding = adapting()
    for day in range(60):
        assert len(deciding.decide(ringing(day, 8))) == 8
    assert multiple(deciding) == 0.25
    assert deciding.decide(ringing(60, 1, ease=0.3)) == ()


def test_weeks_that_ring_as_budgeted_leave_it_where_it_is() -> None:
    deciding = adapting()
    for day in range(60):
        deciding.decide(ringing(day, 3))
    assert multiple(deciding) == pytest.approx(1.0, abs=0.01)


def test_what_a_day_rang_counts_from_the_day_after_next() -> None:
    deciding = adapting()
    for day in (0, 1):
        deciding.decide(ringing(day, 8))
        assert multiple(deciding) == 1.0
    deciding.decide(quiet(2))
    assert multiple(deciding) < 1.0


def test_the_level_stands_still_while_an_incident_lasts_and_then_moves_as_for_one_day() -> None:
    deciding, ordinary = adapting(), adapting()
    for day in range(10):
        deciding.decide(ringing(day, 3 if day < 5 else 100))
        ordinary.decide(ringing(day, 3))
        assert multiple(deciding) == multiple(ordinary)
    for day in (10, 11, 12):
        deciding.decide(ringing(day, 3))
        ordinary.decide(ringing(day, 3))
    assert 0.7 * multiple(ordinary) < multiple(deciding) < multiple(ordinary)


def test_time_without_rows_is_no_quiet_time() -> None:
    deciding = adapting()
    for week in range(10):
        deciding.decide(quiet(7 * week))
    assert multiple(deciding) == pytest.approx(np.exp(0.03 * 3.0 * 9 * 23 / 24), rel=0.01)


def test_late_rows_are_no_time_of_their_own() -> None:
    deciding, in_order = adapting(), adapting()
    for day in range(10):
        deciding.decide(quiet(day))
        deciding.decide(flagged([], seen=[max(day - 2, 0) * DAYS + 5]))
        in_order.decide(quiet(day))
    assert multiple(deciding) == multiple(in_order)


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.floats(0.2, 5.0)), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
@settings(max_examples=40)
def test_batches_move_the_level_as_one_batch_does(steps: list[tuple[int, float]], cuts: list[int]) -> None:
    seconds = np.cumsum([600 * step for step, _ in steps])
    every = flagged([(int(second), "a") for second in seconds])
    every = replace(every, ease=np.array([ease for _, ease in steps]))
    whole, pieces = adapting(), adapting()
    together = {alert.id for alert in whole.decide(every)}
    apart: set[str] = set()
    for begin, end in pairwise([0, *sorted(min(cut, len(steps)) for cut in cuts), len(steps)]):
        assert every.seen is not None
        part = replace(every.take(np.arange(begin, end)), seen=every.seen[begin:end], places=np.arange(end - begin))
        apart |= {alert.id for alert in pieces.decide(part)}
    assert apart == together
    assert multiple(pieces) == multiple(whole)


def test_it_goes_on_from_its_state_and_the_state_stays_small() -> None:
    straight, first = adapting(), adapting()
    for day in range(40):
        straight.decide(ringing(day, day % 12))
    for day in range(20):
        first.decide(ringing(day, day % 12))
    assert first.controller is not None
    kept = orjson.dumps(first.controller.state())
    assert len(kept) < 300
    second = adapting(state=orjson.loads(kept))
    for day in range(20, 40):
        second.decide(ringing(day, day % 12))
    assert multiple(second) == multiple(straight)


def test_a_budget_in_rows_has_no_controller() -> None:
    assert BudgetController.of({"unit": "alerts/row", "served": 0.01, "together": None}) is None
    by_day = BudgetController.of({"unit": "alerts/day", "served": 3.0, "together": 2.0})
    assert by_day is not None
    assert (by_day.per_day, by_day.together) == (3.0, 2.0)

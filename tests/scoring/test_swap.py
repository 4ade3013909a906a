"""What goes from one scorer to the next, and what a model beside it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from tocsin.alerts import AlertPolicy, BudgetController
from tocsin.config import parse
from tocsin.errors import SchemaError
from tocsin.kernel.checkpoint import dump
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import SECOND, Batch
from tocsin.scoring.canary import canary
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.shadow import MOST_WAITING, Shadow, remembers_s
from tocsin.scoring.swap import expect_fit, hand_over, same_features, waits_no_more, warm

Rows = Callable[..., Batch]


def scorer_of(model: AnomalyModel, **policy: object) -> Scorer:
    return Scorer(model, AlertPolicy(cooldown_s=600.0, **policy))  # type: ignore[arg-type]  # what a test needs of it


@pytest.fixture
def refit(config: str, make_rows: Rows) -> Callable[..., AnomalyModel]:
    """Another model, by a changed config."""

    def fit(old: str = "", new: str = "") -> AnomalyModel:
        design = Design.of(parse(config.replace(old, new) if old else config))
        return AnomalyModel(design).fit(make_rows(600), make_rows(300, 1_036_000))

    return fit


def test_state_episodes_and_rows_that_wait_go_over_and_the_controller_stays(
    waiting: AnomalyModel, refit: Callable[..., AnomalyModel], make_rows: Rows
) -> None:
    old = scorer_of(waiting, controller=BudgetController(3.0, state={"multiple": 2.0}), generated=True)
    list(old.take(make_rows(60, 2_000_000, anomalous=range(20, 23))))
    fresh = BudgetController(3.0)
    new = scorer_of(refit("features:\n", "features:\n  wait: 10m\n"), controller=fresh)
    hand_over(old, new)
    assert new.state is old.state
    assert old.order is not None
    assert new.order is not None
    assert new.order.held.rows == old.order.held.rows > 0
    assert new.order.watermark == old.order.watermark
    assert new.policy.state()["episodes"] == old.policy.state()["episodes"] != []
    assert new.policy.controller is fresh
    assert new.policy.generated


def test_a_model_with_room_for_fewer_entities_takes_those_heard_of_last(
    model: AnomalyModel, refit: Callable[..., AnomalyModel], make_rows: Rows
) -> None:
    old = scorer_of(model)
    list(old.take(make_rows(60, 2_000_000)))
    for places in (3, 2):
        narrow = refit()
        narrow.kernel.bound(places)
        new = scorer_of(narrow)
        hand_over(old, new)
        assert new.state.entities.limit == len(new.state) == places
        assert (dump(new.state) == dump(old.state)) is (places == 3)


def test_other_features_begin_with_what_they_have_seen_themselves(
    model: AnomalyModel, refit: Callable[..., AnomalyModel], make_rows: Rows
) -> None:
    other = refit("[10m]", "[20m]")
    assert not same_features(model, other)
    assert remembers_s(other) >= 1_200
    old, new = scorer_of(model), scorer_of(other)
    list(old.take(make_rows(60, 2_000_000)))
    own = new.state
    hand_over(old, new)
    assert new.state is own


def test_rows_of_another_form_do_not_fit(model: AnomalyModel, refit: Callable[..., AnomalyModel]) -> None:
    expect_fit(model, refit())
    with pytest.raises(SchemaError, match="another schema"):
        expect_fit(model, refit("unit: ratio", "unit: ratio, maximum: 1000"))


def test_who_waits_no_more_is_told(waiting: AnomalyModel, model: AnomalyModel, make_rows: Rows) -> None:
    old, new = scorer_of(waiting), scorer_of(model)
    assert not waits_no_more(old, new)
    list(old.take(make_rows(60, 2_000_000)))
    assert waits_no_more(old, new)
    assert not waits_no_more(old, scorer_of(waiting))


def test_warming_leaves_no_trace(model: AnomalyModel, make_rows: Rows) -> None:
    scorer = scorer_of(model)
    before = dump(scorer.state)
    warm(model, Batch({}))
    warm(model, make_rows(200, 2_000_000))
    assert dump(scorer.state) == before


def test_a_model_beside_gets_every_row_once_and_changes_nothing(
    model: AnomalyModel, refit: Callable[..., AnomalyModel], make_rows: Rows
) -> None:
    rows = make_rows(240, 2_000_000, anomalous=range(30, 240, 30))
    serving, alone = scorer_of(model), scorer_of(model)
    shadow = Shadow(scorer_of(refit("[10m]", "[20m]")), serving, ("a", "b"))
    for start in range(0, rows.rows, 40):
        part = rows.take(slice(start, start + 40))
        for item in serving.take(part):
            shadow.offer(item)
        list(alone.take(part))
    assert shadow.settle(30.0)
    found = shadow.compared()
    shadow.stop()
    assert found.rows == rows.rows
    assert min(found.alerts) > 0
    assert found.agreement > 0.5
    assert dump(serving.state) == dump(alone.state)
    assert shadow.seen_us == (rows.rows - 1) * 60 * SECOND
    other = shadow.scorer.model
    state = other.start()
    other.features(rows, state)
    assert dump(shadow.scorer.state) == dump(state)


def test_what_waits_is_scored_where_it_is_waited_for_if_the_thread_beside_gets_no_turn(
    model: AnomalyModel, refit: Callable[..., AnomalyModel], make_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shadow, "_run", lambda _: None)
    rows, serving = make_rows(240, 2_000_000), scorer_of(model)
    shadow = Shadow(scorer_of(refit("[10m]", "[20m]")), serving, ("a", "b"))
    for start in range(0, rows.rows, 40):
        for item in serving.take(rows.take(slice(start, start + 40))):
            shadow.offer(item)
    assert not shadow.settle(0.0), "there is a limit to it"
    assert shadow.settle(30.0)
    other = shadow.scorer.model
    state = other.start()
    other.features(rows, state)
    assert dump(shadow.scorer.state) == dump(state)
    assert shadow.compared().rows == rows.rows


def test_a_model_beside_that_is_stuck_is_not_waited_for(
    model: AnomalyModel, make_rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let_go = threading.Event(), threading.Event()
    serving = scorer_of(model)
    (item,) = serving.take(make_rows(60, 2_000_000))

    def stuck(*_: object) -> None:
        begun.set()
        let_go.wait(60)

    monkeypatch.setattr(Shadow, "_scores", stuck)
    shadow = Shadow(scorer_of(model), serving, ("a", "b"))
    shadow.offer(item)
    assert begun.wait(60)
    assert not shadow.settle(0.05)
    let_go.set()
    shadow.stop()


def test_a_model_beside_that_does_not_keep_up_begins_to_fill_its_windows_anew(
    model: AnomalyModel, make_rows: Rows
) -> None:
    serving = scorer_of(model)
    shadow = Shadow(scorer_of(model), serving, ("a", "b"))
    (item,) = serving.take(make_rows(60, 2_000_000))
    shadow.offer(item)
    assert shadow.settle(30.0)
    assert shadow.seen_us > 0
    (large,) = scorer_of(model).take(make_rows(MOST_WAITING + 1, 3_000_000))
    shadow.offer(large)
    assert shadow.seen_us == 0
    assert shadow.compared().rows == 60
    shadow.stop()


def test_a_model_beside_that_fails_fails_alone(model: AnomalyModel, make_rows: Rows) -> None:
    serving = scorer_of(model)
    shadow = Shadow(scorer_of(model), serving, ("a", "b"))
    shadow.scorer.model = AnomalyModel(model.design)  # never fitted
    (item,) = serving.take(make_rows(60, 2_000_000))
    shadow.offer(item)
    assert shadow.settle(30.0)
    assert shadow.compared().errors == (0, 60)
    shadow.stop()


def test_a_model_beside_is_not_blamed_for_the_one_that_serves(model: AnomalyModel, make_rows: Rows) -> None:
    serving = scorer_of(model)
    (item,) = serving.take(make_rows(60, 2_000_000))
    shadow = Shadow(scorer_of(model), serving, ("a", "b"))
    serving.model = AnomalyModel(model.design)  # never fitted
    shadow.offer(item)
    assert shadow.settle(30.0)
    assert shadow.compared().errors == (0, 0)
    shadow.stop()


@pytest.mark.parametrize("kind", ["found", "missed", "none"])
def test_a_canary_is_found_missed_or_cannot_be_made(
    kind: str, model: AnomalyModel, config: str, make_rows: Rows, rng: np.random.Generator
) -> None:
    wide = make_rows(600)
    wide = wide.replace({"load": rng.normal(0.5, 500.0, 600)})
    deaf = AnomalyModel(Design.of(parse(config))).fit(wide, wide.replace({"time": wide["time"] + 36_000 * SECOND}))
    before, serving = scorer_of(model), scorer_of(deaf if kind == "missed" else model)
    rows = make_rows(120, 2_000_000)
    for scorer in (before, serving):
        list(scorer.take(rows))
    state = dump(serving.state)
    assert canary(Batch({}) if kind == "none" else rows, before, serving, 1) == kind
    assert dump(serving.state) == state

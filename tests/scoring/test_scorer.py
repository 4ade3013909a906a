"""A model at work: state moves from batch to batch, and an episode rings once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tocsin.alerts import AlertPolicy, BudgetController
from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import Batch
from tocsin.scoring.scorer import Scorer


def test_a_cut_into_batches_changes_no_score_and_rings_once(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    rows = make_rows(120, 2_000_000, anomalous=range(50, 70))
    whole = Scorer(model, AlertPolicy(cooldown_s=600.0)).score(rows)
    scorer = Scorer(model, AlertPolicy(cooldown_s=600.0))
    pieces = [scorer.score(rows.take(slice(start, start + 7))) for start in range(0, rows.rows, 7)]
    np.testing.assert_array_equal(np.concatenate([piece.scores.score for piece in pieces]), whole.scores.score)
    np.testing.assert_array_equal(np.concatenate([piece.scores.flagged for piece in pieces]), whole.scores.flagged)
    assert [alert.id for piece in pieces for alert in piece.alerts] == [alert.id for alert in whole.alerts]
    assert len(whole.alerts) == len({alert.entity for alert in whole.alerts}) == 3


def test_a_loosened_budget_rings_rows_that_the_level_as_it_was_fitted_does_not_flag(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    rows = make_rows(3_000, 2_000_000)
    multiples = (0.25, 1.0, 4.0)
    rung = []
    for multiple in multiples:
        controller = BudgetController(per_day=15.0, state={"multiple": multiple})
        scored = Scorer(model, AlertPolicy(cooldown_s=1.0, controller=controller)).score(rows.take(slice(1_000)))
        rung.append(len(scored.alerts))
    assert rung[0] <= rung[1] < rung[2]
    fixed = Scorer(model, AlertPolicy(cooldown_s=1.0)).score(rows.take(slice(1_000)))
    assert rung[1] == len(fixed.alerts)


def test_a_model_with_scales_by_entity_judges_a_host_by_its_own_rows(
    config: str, make_rows: Callable[..., Batch]
) -> None:
    def loud(rows: Batch) -> Batch:
        """The first host's load swings ten times as far."""
        swing = np.where(rows["host"] == "host-0", 10.0, 1.0)
        return Batch({**{name: rows[name] for name in rows}, "load": 0.5 + (rows["load"] - 0.5) * swing})

    found = {}
    for by in ("all", "entity"):
        text = config + f"threshold: {{type: conformal, by: {by}}}\n"
        model = AnomalyModel(Design.of(parse(text))).fit(loud(make_rows(3_000)), loud(make_rows(3_000, 1_180_000)))
        scores = Scorer(model, AlertPolicy(cooldown_s=60.0)).score(loud(make_rows(3_000, 2_000_000))).scores
        found[by] = [int(scores.flagged[host::3].sum()) for host in range(3)]
    assert found["all"][1:] == [0, 0]
    assert min(found["entity"]) > 0


def test_a_scored_batch_says_whether_anything_of_it_was_generated(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    for generated in (False, True):
        scored = Scorer(model, AlertPolicy(cooldown_s=60.0, generated=generated)).score(
            make_rows(60, 2_000_000, anomalous=range(50, 60))
        )
        assert scored.generated is generated
        assert {alert.generated for alert in scored.alerts} == {generated}


def test_row_5_a_stream_that_waits_scores_rows_in_the_order_of_their_times(
    waiting: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    rows = make_rows(60, 2_000_000)
    # In threes, each the wrong way round.
    shuffled = rows.take(np.arange(rows.rows).reshape(-1, 3)[:, ::-1].ravel())
    in_order = Scorer(waiting, AlertPolicy(cooldown_s=60.0)).score(rows)
    batches = [shuffled.take(slice(20)), shuffled.take(slice(20, None))]
    pieces = list(Scorer(waiting, AlertPolicy(cooldown_s=60.0)).stream(batches))
    np.testing.assert_array_equal(np.concatenate([piece.scores.score for piece in pieces]), in_order.scores.score)


def test_row_5_a_row_that_comes_later_than_is_waited_for_is_scored_alone_and_degraded(
    waiting: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    rows, late = make_rows(60, 2_010_000), make_rows(1, 2_000_000)
    pieces = list(Scorer(waiting, AlertPolicy(cooldown_s=60.0)).stream([rows, late]))
    states = [state for piece in pieces for state in piece.scores.state.tolist()]
    assert states.count("degraded") == late.rows
    whole = Scorer(waiting, AlertPolicy(cooldown_s=60.0)).score(rows)
    kept = np.concatenate([piece.scores.score for piece in pieces if "degraded" not in piece.scores.state])
    np.testing.assert_array_equal(kept, whole.scores.score)

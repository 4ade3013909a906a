"""A model at work: state moves from batch to batch, and an episode rings once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tocsin.alerts import AlertPolicy
from tocsin.model.anomaly_model import AnomalyModel
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

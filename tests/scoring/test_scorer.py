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


def test_rows_that_warm_up_are_not_scored_and_ring_nowhere(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    before, rows = make_rows(60, 2_000_000, anomalous=range(50, 60)), make_rows(30, 2_003_600)
    cold, warm = (Scorer(model, AlertPolicy(cooldown_s=60.0)) for _ in range(2))
    warm.warm_up(before)
    assert set(cold.score(rows).scores.state) == {"warming_up", "ready"}
    scored = warm.score(rows)
    assert set(scored.scores.state) == {"ready"}
    # the windows remember what was seen before
    assert scored.matrix.values[0, model.program.outputs.index("load_max_10m")] == 9.0


def test_a_scored_batch_says_whether_anything_of_it_was_generated(
    model: AnomalyModel, make_rows: Callable[..., Batch]
) -> None:
    for generated in (False, True):
        scored = Scorer(model, AlertPolicy(cooldown_s=60.0, generated=generated)).score(
            make_rows(60, 2_000_000, anomalous=range(50, 60))
        )
        assert scored.generated is generated
        assert {alert.generated for alert in scored.alerts} == {generated}

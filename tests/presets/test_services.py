"""The preset `services` learns without labels, from a history that holds anomalies, and judges what it never saw."""

from __future__ import annotations

import numpy as np

from tocsin.config import parse
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import Batch, Mask
from tocsin.synthetic.plan import Plan
from tocsin.synthetic.services import services
from tocsin.training.split import split

CONFIG = parse("version: 1\nname: signals\npreset: services\n")
DAYS = 9
LEVELS = 10.0 ** np.arange(3)
"""Of the traffic of three services."""


def signals(seed: int, days: int, entities: int | None = None) -> tuple[Batch, Mask]:
    """Typed rows without a label, and which are anomalies."""
    rows = services(Plan(days=days, seed=seed, entities=entities))
    if entities:
        traffic = rows["event_count"] * np.tile(LEVELS, rows.rows // entities)
        rows = rows.replace({"event_count": traffic.astype(np.int64)})
    typed, _ = CONFIG.schema_.split(rows)
    return typed, np.asarray(rows["label"] != "normal")


def learnt(history: Batch) -> AnomalyModel:
    parts = split(history, CONFIG.schema_, CONFIG.split, test_elsewhere=True)
    return AnomalyModel(Design.of(CONFIG)).fit(parts.train, parts.calibration)


def judged(model: AnomalyModel, rows: Batch, anomalous: Mask) -> tuple[float, float]:
    """Precision and recall."""
    flagged = model.score(rows).flagged
    hits = (flagged & anomalous).sum()
    return hits / flagged.sum(), hits / anomalous.sum()


def test_anomalies_left_in_the_history_do_not_hide_others(seed: int) -> None:
    history, _ = signals(seed, DAYS)
    precision, recall = judged(learnt(history), *signals(seed + 1, 7))
    assert precision > 0.9
    assert recall > 0.9


def test_a_small_service_is_heard_beside_large_ones(seed: int) -> None:
    history, _ = signals(seed, DAYS, entities=len(LEVELS))
    precision, recall = judged(learnt(history), *signals(seed + 1, 7, entities=len(LEVELS)))
    assert precision > 0.9
    assert recall > 0.9


def test_the_level_is_the_same_whether_rows_say_their_service_or_not(seed: int) -> None:
    history, _ = signals(seed, DAYS)
    nameless = Batch({name: column for name, column in history.items() if name != "service"})
    nameless, _ = CONFIG.schema_.split(nameless)
    assert learnt(nameless).promise["level"] == learnt(history).promise["level"]

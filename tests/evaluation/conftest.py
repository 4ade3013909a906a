"""A small evidence that tests bend to their needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence, Rescoring
from tocsin.model.training_rows import TrainingRows
from tocsin.records import SECOND, Alert, Matrix, Scores, Times

ROWS = 400
ANOMALOUS = slice(200, 240)


@pytest.fixture
def make_evidence(rng: np.random.Generator) -> Callable[..., Evidence]:
    """Two hosts taking turns each second, 40 anomalous rows in the middle, most of them with high scores."""
    labels = np.zeros(ROWS, np.int8)
    labels[ANOMALOUS] = 1
    features = rng.normal(size=(ROWS, 3))
    features[ANOMALOUS, 1] += 4
    score = np.abs(features[:, 1])
    flagged = score >= 2.5
    times = np.arange(ROWS) * SECOND + 1_700_000_000 * SECOND
    entities = np.array([f"host-{row % 2}" for row in range(ROWS)], dtype=object)
    alerts = tuple(
        alert(row, entity=entities[row], start=int(times[row]), end=int(times[row]))
        for row in np.flatnonzero(flagged).tolist()
    )
    base = Evidence(
        scores=Scores(score, np.full(ROWS, 0.5), flagged, np.full(ROWS, "ready", dtype=object)),
        labels=labels,
        classes=np.where(labels == 1, "flood", "benign").astype(object),
        times=times,
        entities=entities,
        origins=np.array([f"flows.csv:{row + 2}" for row in range(ROWS)], dtype=object),
        features=features,
        feature_names=("bytes", "packets", "duration_s"),
        explain=lambda rows: np.abs(features[rows]),
        alerts=alerts,
        level=2.5,
        promise={"asked": 3.0, "served": 3.0, "unit": "alerts/day", "state": "held", "rows_needed": None},
        latency_ms=np.linspace(0.1, 1.0, 50),
        train_seconds=1.5,
        peak_memory_bytes=80_000_000,
        generated=False,
        model="sha256:0123",
        title="A small test",
        training=remembered(np.random.default_rng(1).normal(size=(600, 3))),
        cooldown_s=2.0,
        rescoring=Rescoring(
            lambda rows: np.zeros((len(rows), 3)),
            lambda rows, instead: np.abs(np.where(np.isnan(instead), features[rows], instead)[:, 1]),
        ),
        copies=(np.ones(ROWS, bool), np.zeros(ROWS, bool)),
        parts={"detector": "AbsoluteValue()", "needs": "bytes, packets, duration_s"},
    )

    def make(**changes: Any) -> Evidence:
        return replace(base, **changes)

    return make


def remembered(rows: Matrix, times: Times | None = None) -> TrainingRows:
    """What a model remembers of training rows whose features are prepared as they come."""
    return TrainingRows.of(rows, rows, np.arange(min(len(rows), 64)), times, None)


@pytest.fixture(name="remembered")
def remembered_fixture() -> Callable[..., TrainingRows]:
    return remembered


def alert(row: int, *, entity: str = "", start: int | None = None, end: int | None = None, rows: int = 1) -> Alert:
    """An alert whose first row was read at `row`."""
    return Alert(
        id=str(row),
        entity=entity,
        start=start,
        end=end,
        rows=rows,
        score=3.0,
        p_value=0.01,
        severity="low",
        state="ready",
        model="m",
        reasons=(),
        origin=f"flows.csv:{row + 2}",
    )


@pytest.fixture(name="alert")
def alert_fixture() -> Callable[..., Alert]:
    return alert

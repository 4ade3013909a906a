"""A model tried on rows it has not learnt from: the evidence that an evaluation looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tocsin.alerts import AlertPolicy
from tocsin.errors import DataError
from tocsin.evaluation.report import Evidence
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.records import CLASS, FILE, LABEL, ROW, Batch, Column, Matrix
from tocsin.scoring.scorer import Scored, Scorer

LATENCY_ROWS = 200


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an evaluation cannot read off the model and the rows."""

    title: str
    version: str
    train_seconds: float
    peak_memory_bytes: int
    generated: bool


def trial(model: AnomalyModel, policy: AlertPolicy, before: Batch, test: Batch, known: Circumstances) -> Evidence:
    """Score the test rows as they would have been scored live.

    Parameters
    ----------
    model, policy
        What is tried.
    before
        Rows that went before the test rows, to warm the features up; may be empty.
    test
        Typed rows, in time order where there is a clock.
    known
        Facts for the report.

    Raises
    ------
    DataError
        If there is no test row.
    """
    if not test.rows:
        hint = "give a source of test rows as `test:`, or leave a part of history: split.train + split.calibration < 1"
        raise DataError("evaluation", "no test rows", "at least one", hint)
    scorer = Scorer(model, policy)
    if before.rows:
        scorer.warm_up(before)
    latency_ms = _latency_ms(model, test)
    scored = scorer.score(test)
    schema = model.design.schema
    return Evidence(
        scores=scored.scores,
        labels=_labels(test),
        classes=test.get(CLASS),
        times=test[schema.time] if schema.time else None,
        entities=test[schema.entity] if schema.entity else None,
        origins=_origins(test),
        features=model.prepared(scored.matrix.values),
        feature_names=model.program.outputs,
        explain=_explain(model, scored),
        alerts=scored.alerts,
        level=float(model.threshold.promise()["level"]),
        promise=model.threshold.promise(),
        latency_ms=latency_ms,
        train_seconds=known.train_seconds,
        peak_memory_bytes=known.peak_memory_bytes,
        generated=known.generated,
        model=known.version,
        title=known.title,
        training_moments=model.moments,
    )


def _labels(test: Batch) -> NDArray[np.int8] | None:
    labels = test.get(LABEL)
    return None if labels is None or not (labels >= 0).any() else labels


def _origins(batch: Batch) -> Column:
    files, rows = batch[FILE].tolist(), batch[ROW].tolist()
    return np.array([f"{file}:{row}" for file, row in zip(files, rows, strict=True)], dtype=object)


def _explain(model: AnomalyModel, scored: Scored) -> Callable[[NDArray[np.intp]], Matrix]:
    def explain(rows: NDArray[np.intp]) -> Matrix:
        return model.detector.explain(model.prepared(scored.matrix.values[rows]))

    return explain


def _latency_ms(model: AnomalyModel, test: Batch) -> NDArray[np.float64]:
    """Milliseconds from a typed row to its p-value, one row at a time, features included."""
    state = model.start()
    taken = []
    for row in range(min(test.rows, LATENCY_ROWS)):
        one = test.take(slice(row, row + 1))
        start = perf_counter()
        model.score(one, state)
        taken.append((perf_counter() - start) * 1e3)
    return np.array(taken)

"""A model tried on rows it has not learnt from: the evidence that an evaluation looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from tocsin.alerts import AlertPolicy
from tocsin.errors import DataError
from tocsin.evaluation.evidence import Evidence, Rescoring
from tocsin.evaluation.leaks import Leaks, find_leaks
from tocsin.kernel.run import FeatureMatrix
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.feature_cache import FeaturePass
from tocsin.records import CLASS, LABEL, Batch, Matrix, Scores, origins
from tocsin.scoring.scorer import decide

LATENCY_ROWS = 200
FILES, NEEDS = 20, 1_000
"""Files named on a model card, and characters for the fields that it needs."""
BATCH = 10_000
"""Rows scored at once, as a source hands them over by default: alerts fold what one batch holds."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an evaluation cannot read off the model and the rows."""

    title: str
    version: str
    train_seconds: float = 0.0
    peak_memory_bytes: int = 0
    generated: bool = False
    seen_in_training: bool = False
    """The model learnt from files that hold these rows."""
    remarks: tuple[str, ...] = ()
    """What else a reader of the report must know."""


def trial(
    model: AnomalyModel, policy: AlertPolicy, features: FeaturePass, test: Batch, known: Circumstances
) -> Evidence:
    """Score the test rows as they would have been scored live.

    Parameters
    ----------
    model, policy
        What is tried.
    features
        Of this model, behind the rows that went before the test rows and warmed the windows up.
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
    latency_ms = _latency_ms(model, test)
    matrix = features.run(test)
    values, latest = matrix.values, model.latest(matrix.values)
    batches = [slice(start, start + BATCH) for start in range(0, test.rows, BATCH)]
    pieces = [
        decide(model, policy, test.take(rows), FeatureMatrix(values[rows], matrix.marks[rows])) for rows in batches
    ]
    schema = model.design.schema
    return Evidence(
        scores=_together([piece.scores for piece in pieces]),
        labels=_labels(test),
        classes=test.get(CLASS),
        times=test[schema.time] if schema.time else None,
        entities=test[schema.entity] if schema.entity else None,
        origins=origins(test),
        features=model.preparation.apply(latest),
        feature_names=model.program.outputs,
        explain=lambda rows: model.explainer.contributions(values[rows]),
        alerts=tuple(alert for piece in pieces for alert in piece.alerts),
        level=float(model.promise["level"]),
        promise=model.promise,
        latency_ms=latency_ms,
        train_seconds=known.train_seconds,
        peak_memory_bytes=known.peak_memory_bytes,
        generated=known.generated,
        model=known.version,
        title=known.title,
        training=model.training,
        counted_clock=schema.time is not None and schema.fields[schema.time].interval_s is not None,
        cooldown_s=model.design.budget.cooldown_s,
        rescoring=Rescoring(
            lambda rows: model.explainer.normal_rows(values[rows]),
            lambda rows, instead: model.explainer.rescored(values[rows], instead),
        ),
        parts=_parts(model),
        seen_in_training=known.seen_in_training,
        remarks=known.remarks,
        leaks=_leaks(model, test, latest),
        copies=model.training.sampled(latest),
    )


def _parts(model: AnomalyModel) -> Mapping[str, str]:
    """What a model is made of, in words."""
    design = model.design
    return {
        "features": f"{len(model.program.outputs)} columns, fingerprint {model.program.fingerprint[:12]}",
        "detector": str(design.detector),
        "threshold": str(design.threshold),
        "learnt from files (SHA-256)": ", ".join(digest[:12] for digest in sorted(model.inputs)[:FILES]),
        "needs": ", ".join(design.schema.fields)[:NEEDS],
    }


def _together(scores: list[Scores]) -> Scores:
    names = [item.name for item in fields(Scores)]
    return Scores(**{name: np.concatenate([getattr(part, name) for part in scores]) for name in names})


def _labels(test: Batch) -> NDArray[np.int8] | None:
    labels = test.get(LABEL)
    return None if labels is None or not (labels >= 0).any() else labels


def _leaks(model: AnomalyModel, test: Batch, values: Matrix) -> Leaks | None:
    """Of the features as they were computed: imputed and scaled ones have lost what holds between them."""
    labels = _labels(test)
    if labels is None:
        return None
    known = slice(None) if (labels >= 0).all() else labels >= 0
    return find_leaks(dict(zip(model.program.outputs, values[known].T, strict=True)), labels[known] == 1)


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

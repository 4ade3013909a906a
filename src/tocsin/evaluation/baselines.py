"""Trivial baselines: what a model must beat before its figures mean anything.

Many published detectors do not beat them on common benchmarks.

Source: Sarfraz et al., Position: Quo Vadis, Unsupervised Time Series Anomaly Detection?, ICML 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tocsin.calibration import codes_of
from tocsin.evaluation.measures import Ranking, average_precision, roc_auc
from tocsin.records import Column, Mask, Matrix, Vector

CHUNK_BYTES = 32 * 2**20
"""Rows are compared in pieces of this size, so that a baseline costs no second copy of the features."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A trivial score on the same rows. Precision and recall flag as many rows as the model flagged."""

    name: str
    roc_auc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    beaten: bool | None
    """The model has both the higher ROC-AUC and the higher average precision; None without labels."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What the baselines are held against."""

    roc_auc: float | None
    average_precision: float | None
    flags: int
    """How many of the judged rows it flagged."""


def baseline_scores(
    features: Matrix, moments: Matrix, entities: Column | None, rng: np.random.Generator
) -> dict[str, Vector]:
    """Scores of every baseline, each (n,).

    Parameters
    ----------
    features
        Prepared features of the judged rows, (n, d), in time order where there is a clock.
    moments
        Mean and standard deviation of the prepared training features, (2, d).
    entities
        Whose previous row is the last value, (n,); None: that of the row before.
    rng
        For the random baseline.
    """
    return {
        "random": rng.random(len(features)),
        "constant": np.zeros(len(features)),
        "last_value": last_value(features, entities),
        "zscore": zscore(features, moments),
    }


def last_value(features: Matrix, entities: Column | None) -> Vector:
    """Largest absolute change of any feature since the entity's previous row, (n,); 0 for its first row."""
    codes = codes_of(entities, len(features))
    order = np.argsort(codes, kind="stable")
    changes = np.zeros(len(features))
    for piece in _pieces(len(order) - 1, features.shape[1]):
        before, after = order[:-1][piece], order[1:][piece]
        change = np.abs(features[after] - features[before]).max(axis=1, initial=0.0)
        changes[after] = np.where(codes[after] == codes[before], change, 0.0)
    return changes


def zscore(features: Matrix, moments: Matrix) -> Vector:
    """Largest absolute z over the columns, (n,); a column that is constant in training keeps its own unit."""
    mean, deviation = moments
    scale = np.where(deviation > 0, deviation, 1.0)
    scores = np.zeros(len(features))
    for piece in _pieces(len(features), features.shape[1]):
        scores[piece] = np.abs((features[piece] - mean) / scale).max(axis=1, initial=0.0)
    return scores


def _pieces(rows: int, columns: int) -> list[slice]:
    step = max(1, CHUNK_BYTES // (8 * max(1, columns)))
    return [slice(start, start + step) for start in range(0, rows, step)]


def compare(
    scores: Mapping[str, Vector],
    anomalous: Mask,
    judged: Mask,
    model: Model,
    rng: np.random.Generator,
) -> tuple[Baseline, ...]:
    """Hold the baselines against the model.

    Parameters
    ----------
    scores
        By name; each (n,) over the labelled rows.
    anomalous
        Labels, (n,).
    judged
        Rows that count for flags, (n,).
    model
        What to beat. Each baseline flags as many of the judged rows, ties drawn at random.
    rng
        For the ties.
    """
    results = []
    for name, column in scores.items():
        ranking = Ranking.of(anomalous, column)
        area = _finite(roc_auc(ranking.anomalies, ranking.normals))
        mean_precision = _finite(average_precision(ranking.anomalies, ranking.normals))
        order = np.lexsort((rng.random(int(judged.sum())), -column[judged]))
        caught = int(anomalous[judged][order[: model.flags]].sum())
        anomalies = int(anomalous[judged].sum())
        results.append(
            Baseline(
                name,
                area,
                mean_precision,
                caught / model.flags if model.flags else None,
                caught / anomalies if anomalies else None,
                _beaten(model, area, mean_precision),
            )
        )
    return tuple(results)


def _beaten(model: Model, area: float | None, mean_precision: float | None) -> bool | None:
    if model.roc_auc is None or model.average_precision is None or area is None or mean_precision is None:
        return None
    return model.roc_auc > area and model.average_precision > mean_precision


def _finite(value: Vector) -> float | None:
    return float(value) if np.isfinite(value) else None


def outranked(baselines: tuple[Baseline, ...]) -> tuple[str, ...]:
    """A model that something trivial beats must not pass in silence."""
    better = [item.name.replace("_", " ") for item in baselines if item.beaten is False]
    return (f"A trivial baseline ranks these rows better than the model: {', '.join(better)}.",) if better else ()

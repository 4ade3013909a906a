"""Measures of flags and rankings against labels, each with an interval, in numpy alone.

A figure that cannot be computed has no value and a reason; it is never 0. Point-adjusted F1, which counts a whole
labelled event as found once any row of it is flagged, is not offered: random scores reach nearly 1 on long events, so
it ranks models by nothing (Kim et al., AAAI 2022, arXiv 2109.05257). `events.py` counts events as events instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tocsin.records import Mask, Vector

Unit = Literal["ratio", "count", "per_day", "ms", "s", "bytes"]
Counts = NDArray[np.int64]

CONFIDENCE = 0.95
RESAMPLES = 200
BLOCKS = 100
"""Blocks of consecutive rows that the block bootstrap draws from."""
BOOTSTRAP_LEVELS = 1_000
"""Score levels that a resample tells apart; what the coarser levels shift is taken back out of the interval."""
CURVE_POINTS = 500

NO_ANOMALY = "no row is labelled as an anomaly"
NO_NORMAL = "no row is labelled as normal"
NOTHING_FLAGGED = "nothing was flagged"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, or the reason why there is none."""

    value: float | None
    low: float | None = None
    """Lower end of the 95 % interval, None where none is computed."""
    high: float | None = None
    reason: str = ""
    """Why there is no value or no interval; otherwise what is to be known of them."""
    unit: Unit = "ratio"

    def remarked(self, remark: str) -> Figure:
        """The same with a remark, unless it says something already."""
        return replace(self, reason=self.reason or remark)


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows by label and flag; anomalous and flagged are the positive side."""

    tn: int
    fp: int
    fn: int
    tp: int

    @classmethod
    def count(cls, anomalous: Mask, flagged: Mask) -> Confusion:
        """Count two masks of shape (n,)."""
        tp = int(np.count_nonzero(anomalous & flagged))
        fp = int(np.count_nonzero(flagged)) - tp
        fn = int(np.count_nonzero(anomalous)) - tp
        return cls(len(anomalous) - tp - fp - fn, fp, fn, tp)


def missing(reason: str, unit: Unit = "ratio") -> Figure:
    """A figure that could not be computed."""
    return Figure(None, reason=reason, unit=unit)


def rate(part: int, whole: int, reason: str) -> Figure:
    """A share with its Wilson interval, or `reason` where there is nothing to take a share of.

    The interval takes rows as independent; rows of one incident are not, so read it as the narrowest that is honest.

    Source: Wilson, Probable Inference, JASA 22 (1927).
    """
    if whole == 0:
        return missing(reason)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = part / whole
    centre = share + z * z / (2 * whole)
    reach = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return Figure(share, min(share, max(0.0, (centre - reach) / scale)), max(share, min(1.0, (centre + reach) / scale)))


def flag_figures(counts: Confusion) -> dict[str, Figure]:
    """Every figure that comes from the four counts, by name."""
    tn, fp, fn, tp = counts.tn, counts.fp, counts.fn, counts.tp
    normal, anomaly = _f1(tn, fn, fp), _f1(tp, fp, fn)
    return {
        "accuracy": rate(tp + tn, tn + fp + fn + tp, "no labelled row to compare with"),
        "precision": rate(tp, tp + fp, NOTHING_FLAGGED),
        "recall": rate(tp, tp + fn, NO_ANOMALY),
        "f1": _average([(anomaly, 1)]),
        "macro_f1": _average([(normal, 1), (anomaly, 1)]),
        "weighted_f1": _average([(normal, tn + fp), (anomaly, fn + tp)]),
        "specificity": rate(tn, tn + fp, NO_NORMAL),
        "false_positive_rate": rate(fp, tn + fp, NO_NORMAL),
        "false_negative_rate": rate(fn, tp + fn, NO_ANOMALY),
    }


def _f1(right: int, wrong: int, overlooked: int) -> float | None:
    whole = 2 * right + wrong + overlooked
    return 2 * right / whole if whole else None


def _average(parts: list[tuple[float | None, int]]) -> Figure:
    present = [(value, weight) for value, weight in parts if weight]
    if not present or any(value is None for value, _ in present):
        return missing("one of the classes was neither labelled nor predicted")
    return Figure(sum(value * weight for value, weight in present if value is not None) / sum(w for _, w in present))


def classification(counts: Confusion) -> dict[str, dict[str, float | None]]:
    """Precision, recall, F1 and support of both sides and their macro and weighted averages; None where undefined."""
    tn, fp, fn, tp = counts.tn, counts.fp, counts.fn, counts.tp
    normal = _side(tn, fn, fp)
    anomaly = _side(tp, fp, fn)
    rows = {"normal": normal, "anomaly": anomaly}
    for name, weights in (("macro_average", (1, 1)), ("weighted_average", (tn + fp, fn + tp))):
        rows[name] = {
            measure: _average([(normal[measure], weights[0]), (anomaly[measure], weights[1])]).value
            for measure in ("precision", "recall", "f1")
        } | {"support": float(tn + fp + fn + tp)}
    return rows


def _side(right: int, wrong: int, overlooked: int) -> dict[str, float | None]:
    return {
        "precision": right / (right + wrong) if right + wrong else None,
        "recall": right / (right + overlooked) if right + overlooked else None,
        "f1": _f1(right, wrong, overlooked),
        "support": float(right + overlooked),
    }


@dataclass(frozen=True, slots=True)
class Ranking:
    """Labelled rows by descending score, equal scores together: all that AUC, AP and the curves need."""

    levels: Vector
    """(k,) the distinct scores, highest first."""
    anomalies: Counts
    """(k,) anomalous rows at each level."""
    normals: Counts
    """(k,) normal rows at each level."""

    @classmethod
    def of(cls, anomalous: Mask, scores: Vector) -> Ranking:
        """Rank scores of shape (n,)."""
        order = np.argsort(scores)[::-1]
        descending = scores[order]
        first = np.flatnonzero(np.diff(descending, prepend=np.nan) != 0)
        anomalies = np.add.reduceat(anomalous[order].astype(np.int64), first)
        return cls(descending[first], anomalies, np.diff(first, append=len(scores)) - anomalies)

    def thinned(self, points: int) -> NDArray[np.intp]:
        """At most `points` levels that keep the shape: half evenly along the ROC curve, half dense at the top."""
        last = len(self.levels) - 1
        if last < points:
            return np.arange(last + 1)
        path = np.cumsum(self.anomalies / self.anomalies.sum() + self.normals / self.normals.sum())
        even = np.searchsorted(path, np.linspace(0, 2, points // 2 - 1))
        dense = np.geomspace(1, last, points // 2).astype(np.intp) - 1
        return np.unique(np.concatenate([np.minimum(even, last), dense, [last]]))


def roc_auc(anomalies: Counts, normals: Counts) -> Vector:
    """Area under the ROC curve from counts per level, (..., k) -> (...); ties count half, NaN with only one class."""
    above = np.cumsum(anomalies, axis=-1) - anomalies / 2
    pairs = anomalies.sum(axis=-1, dtype=np.float64) * normals.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray((above * normals).sum(axis=-1) / pairs)


def average_precision(anomalies: Counts, normals: Counts) -> Vector:
    """Mean precision at each anomaly from counts per level, (..., k) -> (...); NaN without anomalies."""
    caught = np.cumsum(anomalies, axis=-1)
    reached = caught + np.cumsum(normals, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray((anomalies * (caught / np.maximum(reached, 1))).sum(axis=-1) / anomalies.sum(axis=-1))


def ranking_figures(anomalous: Mask, scores: Vector, *, consecutive: bool, seed: int) -> dict[str, Figure]:
    """ROC-AUC and average precision with bootstrap intervals.

    Parameters
    ----------
    anomalous, scores
        Shape (n,), in time order where `consecutive`.
    consecutive
        Neighbouring rows resemble each other, so that blocks of rows are drawn instead of rows.
    seed
        Of the resampling.
    """
    if anomalous.all() or not anomalous.any():
        reason = NO_NORMAL if anomalous.any() else NO_ANOMALY
        return {"roc_auc": missing(reason), "average_precision": missing(reason)}
    ranking = Ranking.of(anomalous, scores)
    anomalies, normals = _resample(ranking, anomalous, scores, consecutive=consecutive, rng=np.random.default_rng(seed))
    figures: dict[str, Figure] = {}
    for name, measure in (("roc_auc", roc_auc), ("average_precision", average_precision)):
        value = float(measure(ranking.anomalies, ranking.normals))
        figures[name] = resampled_figure(value, measure(anomalies, normals))
    return figures


def resampled_figure(value: float, coarse: Vector, remark: str = "") -> Figure:
    """A share with its 95 % interval from resamples that tell fewer score levels apart.

    Parameters
    ----------
    value
        The share itself.
    coarse
        The same from the coarser levels: of the rows as they are, then of each resample; NaN where a resample has
        labels of one kind alone.
    remark
        Of the figure.
    """
    drawn = coarse[1:][np.isfinite(coarse[1:])] + (value - coarse[0])
    if len(drawn) < RESAMPLES / 2:
        no_interval = "no interval: labels of one kind fill too few blocks"
        return Figure(value, reason="; ".join(filter(None, (remark, no_interval))))
    low, high = np.clip(np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]), 0, 1).tolist()
    return Figure(value, min(value, low), max(value, high), remark)


def _resample(
    ranking: Ranking, anomalous: Mask, scores: Vector, *, consecutive: bool, rng: np.random.Generator
) -> tuple[Counts, Counts]:
    """Counts per coarse level: the rows as they are, then one line for each resample."""
    levels = ranking.levels[ranking.thinned(BOOTSTRAP_LEVELS)][::-1]
    width = len(levels)
    cell = width - np.searchsorted(levels, scores, side="right") + width * ~anomalous
    blocks = min(BLOCKS, len(scores)) if consecutive else 1
    block = np.arange(len(scores)) * blocks // len(scores)
    counts = np.bincount(block * 2 * width + cell, minlength=blocks * 2 * width).reshape(blocks, 2 * width)
    whole = counts.sum(axis=0)
    if consecutive:
        drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES) @ counts
    else:
        drawn = rng.multinomial(len(scores), whole / len(scores), size=RESAMPLES)
    both = np.vstack([whole, drawn])
    return both[:, :width], both[:, width:]


def curve(ranking: Ranking) -> dict[str, list[float]]:
    """Points of the ROC and precision-recall curves, from the highest level down; at most `CURVE_POINTS`."""
    chosen = ranking.thinned(CURVE_POINTS)
    caught = np.cumsum(ranking.anomalies)
    wrong = np.cumsum(ranking.normals)
    points = {
        "level": ranking.levels,
        "false_positive_rate": wrong / wrong[-1],
        "recall": caught / caught[-1],
        "precision": caught / (caught + wrong),
    }
    return {name: values[chosen].tolist() for name, values in points.items()}


def score_summary(scores: Vector) -> Mapping[str, float]:
    """How the scores lie: mean, standard deviation, extremes and quantiles."""
    quantiles = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
    return {
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "minimum": float(scores.min()),
        "maximum": float(scores.max()),
    } | {f"q{share:g}": float(value) for share, value in zip(quantiles, np.quantile(scores, quantiles), strict=True)}

"""Precision and recall of ranges: how much of each event was flagged, and how much of each flagged range was an event.

Each range counts once, however long it is, and is worth less the more pieces it was found in. Random flags get what
chance gives: the recall is about their share, the precision about the share of anomalies. Affiliation precision (Huet
et al., KDD 2022, arXiv 2206.13167) is not offered: random flags get a half of it or more on any data.

Source: Tatbul, Lee, Zdonik, Alam and Gottschlich, Precision and Recall for Time Series, NeurIPS 2018 (no reward for
existence, flat bias, cardinality 1 / pieces).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluation.bootstrap import bootstrapped
from tocsin.evaluation.measures import NO_ANOMALY, NOTHING_FLAGGED, Figure, missing
from tocsin.records import Mask, Vector


def range_figures(anomalous: Mask, flagged: Mask, codes: NDArray[np.intp], seed: int) -> dict[str, Figure]:
    """Range precision and range recall, with intervals over ranges.

    Parameters
    ----------
    anomalous, flagged
        (n,), in time order.
    codes
        The entity of each row as a number, (n,): a range is an unbroken run of one entity's rows.
    seed
        Of the resampling.
    """
    order = np.argsort(codes, kind="stable")
    anomalous, flagged, codes = anomalous[order], flagged[order], codes[order]

    def figure(ranges: Mask, cover: Mask, reason: str) -> Figure:
        rewards = overlap_rewards(ranges, cover, codes)
        return bootstrapped(rewards, lambda drawn: float(drawn.mean()), seed) if len(rewards) else missing(reason)

    return {
        "range_precision": figure(flagged, anomalous, NOTHING_FLAGGED),
        "range_recall": figure(anomalous, flagged, NO_ANOMALY),
    }


def overlap_rewards(ranges: Mask, cover: Mask, codes: NDArray[np.intp]) -> Vector:
    """For each run of `ranges` the share of its rows that `cover` holds, divided by the pieces it lies in, (runs,).

    Rows of one entity stand together, in time order.
    """
    both = ranges & cover
    new = np.diff(codes, prepend=-1) != 0
    run = np.cumsum(_begins(ranges, new))[ranges] - 1
    rows = np.bincount(run)
    covered = np.bincount(run, both[ranges])
    pieces = np.bincount(run, _begins(both, new)[ranges])
    return np.asarray(covered / np.maximum(rows, 1) / np.maximum(pieces, 1))


def _begins(inside: Mask, new: Mask) -> Mask:
    """Rows at which a run begins; `new` marks the first row of each entity."""
    begins = inside.copy()
    begins[1:] &= ~inside[:-1] | new[1:]
    return begins

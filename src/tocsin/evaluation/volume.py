"""Volume under the precision-recall surface (VUS-PR): average precision that forgives a label some rows of slack.

People mark incidents a little early or late. A buffer of b rows gives the rows beside an event a label between 0 and 1;
the area under precision and recall is taken for buffers from 0 to the median length of an event, and averaged. Recall
also counts how many events were found at all, so that one long event cannot stand for all.

Source: Paparrizos, Boniol, Palpanas, Tsay, Elmore and Franklin, Volume Under the Surface, PVLDB 15(11), 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.evaluation.measures import (
    BLOCKS,
    NO_ANOMALY,
    NO_NORMAL,
    RESAMPLES,
    Figure,
    Ranking,
    missing,
    resampled_figure,
)
from tocsin.records import Mask, Vector

BUFFERS = 17
"""Buffer lengths that are tried, evenly from 0 to the longest."""
LONGEST = 1_024
"""Rows: a buffer longer than this forgives more than a careless label."""
LEVELS = 250
"""Score levels that a resample tells apart."""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """Rows of one entity behind those of another, in time order; every array has shape (n,)."""

    order: Places
    """Where each of these rows stands among the rows given."""
    anomalous: Mask
    codes: Places

    def runs(self, inside: Mask) -> tuple[Places, Places]:
        """The first and the last row of each unbroken run of one entity."""
        same = self.codes[1:] == self.codes[:-1]
        begins, ends = inside.copy(), inside.copy()
        begins[1:] &= ~(inside[:-1] & same)
        ends[:-1] &= ~(inside[1:] & same)
        return np.flatnonzero(begins), np.flatnonzero(ends)

    def softened(self, buffer: int) -> Vector:
        """Labels in [0, 1]: a row d <= buffer / 2 rows beside an event gets sqrt(1 - d / buffer) from it."""
        soft = self.anomalous.astype(np.float64)
        begins, ends = self.runs(self.anomalous)
        for distance in range(1, buffer // 2 + 1):
            weight = np.sqrt(1 - distance / buffer)
            for edges, step in ((begins, -distance), (ends, distance)):
                places = edges + step
                there = (places >= 0) & (places < len(soft))
                places, from_ = places[there], edges[there]
                mine = places[self.codes[places] == self.codes[from_]]
                soft[mine] += weight  # the edges on one side are all different rows
        return np.minimum(soft, 1.0)


def volume_figure(anomalous: Mask, scores: Vector, codes: Places, seed: int) -> Figure:
    """VUS-PR with a block bootstrap interval.

    Parameters
    ----------
    anomalous, scores
        Labels and scores, (n,), in time order.
    codes
        The entity of each row as a number, (n,).
    seed
        Of the resampling.
    """
    if anomalous.all() or not anomalous.any():
        return missing(NO_NORMAL if anomalous.any() else NO_ANOMALY)
    order = np.argsort(codes, kind="stable")
    series = _Series(order, anomalous[order], codes[order])
    lengths = buffers(series)
    ranking = Ranking.of(anomalous, scores)
    undrawn = np.ones((0, 1), dtype=np.int64)
    value = float(np.mean([_areas(series, scores, ranking.levels, buffer, undrawn)[0] for buffer in lengths]))
    few = ranking.levels[ranking.thinned(LEVELS)]
    blocks = min(BLOCKS, len(scores))
    draws = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    coarse = np.mean([_areas(series, scores, few, buffer, draws) for buffer in lengths], axis=0)
    return resampled_figure(value, coarse, f"buffers up to {lengths[-1]} rows")


def buffers(series: _Series) -> list[int]:
    """The buffer lengths of a series, ascending: at most `BUFFERS`, up to the median length of its events."""
    begins, ends = series.runs(series.anomalous)
    longest = min(int(np.median(ends - begins + 1)), LONGEST)
    return sorted({round(length) for length in np.linspace(0, longest, BUFFERS).tolist()})


def _areas(series: _Series, scores: Vector, levels: Vector, buffer: int, draws: NDArray[np.int64]) -> Vector:
    """Areas for one buffer: of the rows as they are, then of each draw of blocks of consecutive rows.

    `levels` are descending; each row counts at the highest of them that it reaches. `draws` says how often each block
    is there, (draws, blocks).
    """
    blocks = draws.shape[1]
    soft = series.softened(buffer)
    width = len(levels)
    level = width - np.searchsorted(levels[::-1], scores[series.order], side="right")
    block = series.order * blocks // len(scores)
    cell = block * width + np.minimum(level, width - 1)

    def counted(cells: Places, weights: Vector | None = None) -> NDArray[np.float64]:
        counts = np.bincount(cells, weights, minlength=blocks * width).reshape(blocks, width).astype(np.float64)
        return np.vstack([counts.sum(axis=0), draws @ counts])

    begins, _ = series.runs(soft > 0)
    events, _ = series.runs(series.anomalous)
    # A stretch goes with the block of its event, whatever the buffer.
    home = block[events[np.searchsorted(events, begins)]]
    stretch = np.searchsorted(begins, np.flatnonzero(soft > 0), side="right") - 1
    best = np.full(len(begins), width - 1)
    np.minimum.at(best, stretch, level[soft > 0])
    return range_area(
        counted(cell, soft),
        counted(cell),
        counted(home * width + best),
        counted(block * width, series.anomalous.astype(np.float64))[:, 0],
    )


def range_area(soft: Vector, rows: Vector, found: Vector, anomalies: Vector) -> Vector:
    """Area under range precision and recall from counts per level, highest first: (..., k) -> (...).

    Parameters
    ----------
    soft
        Sum of the softened labels at each level, (..., k).
    rows
        Rows at each level, (..., k).
    found
        Stretches of softened labels whose highest score is at each level, (..., k).
    anomalies
        Sum of the labels as they were given, (...).
    """
    caught, reached = np.cumsum(soft, axis=-1), np.cumsum(found, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = (anomalies[..., None] + caught[..., -1:]) / 2
        recall = np.minimum(caught / half, 1.0) * reached / reached[..., -1:]
        precision = caught / np.maximum(np.cumsum(rows, axis=-1), 1)
    return np.asarray((np.diff(recall, axis=-1, prepend=0.0) * precision).sum(axis=-1))

"""From scores to p-values, and from flagged rows to alerts: the arithmetic that threshold and policy share.

A row *begins an episode* at a level if it reaches the level and no row of its entity did so within the cool-down
before it. That is one comparison of two numbers per row (`episode_floors`), so the alerts of every level at once
are counted exactly by one sort.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array, checked
from tocsin.errors import IntegrityError
from tocsin.records import SECOND, Column, Mask, Times, Vector

TAIL_SCORES = 2_000
"""Highest scores kept one by one: p-values are exact among them."""
BODY_QUANTILES = 512
"""Points between which p-values of ordinary scores are interpolated."""

DISPERSION_SUMS = 30
"""Sums over which the dispersion of alert counts is measured."""
TAIL_RESAMPLES = 400
MAX_ROWS = 2**53

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRanks:
    """What is kept of the calibration scores: how many of them reach a given score.

    Parameters
    ----------
    top
        The highest scores, ascending; at most `TAIL_SCORES`.
    grid
        Distinct scores from the lowest to the lowest of `top`, ascending.
    reaching
        How many calibration scores are at least as high as each of `grid`.
    rows
        Number of calibration scores.
    """

    top: Vector
    grid: Vector
    reaching: Counts
    rows: int

    @classmethod
    def of(cls, scores: Vector) -> Self:
        """The ranks of scores (n,), n >= 1, finite."""
        ascending = np.sort(scores)
        rows = len(ascending)
        body = np.linspace(0, max(rows - TAIL_SCORES, 0), BODY_QUANTILES).astype(np.intp)
        grid = np.unique(ascending[body])
        return cls(ascending[-TAIL_SCORES:], grid, rows - np.searchsorted(ascending, grid), rows)

    def p_value(self, scores: Vector) -> Vector:
        """(1 + scores at least as high) / (n + 1), (n,) in (0, 1]; exact above the lowest of `top`."""
        reaching = np.asarray(np.interp(scores, self.grid, self.reaching))
        in_tail = scores > self.top[0]
        reaching[in_tail] = len(self.top) - np.searchsorted(self.top, scores[in_tail])
        return (1.0 + reaching) / (self.rows + 1.0)

    def state(self) -> dict[str, Any]:
        """Arrays by name; `ScoreRanks.restore` reads them back."""
        return {"top": self.top, "grid": self.grid, "reaching": self.reaching, "rows": self.rows}

    @classmethod
    def restore(cls, state: Mapping[str, Any], where: str) -> Self:
        """The ranks that `state` wrote.

        Raises
        ------
        IntegrityError
            If the arrays cannot be ranks: in order, finite, and no count beyond the rows.
        """
        rows = state.get("rows")
        if type(rows) is not int or not 1 <= rows <= MAX_ROWS:
            raise IntegrityError(f"{where}.rows", repr(rows)[:80], f"a whole number from 1 to {MAX_ROWS}")
        arrays = {name: state[name] for name in ("top", "grid", "reaching") if name in state}
        wanted = {
            "top": Array(("top",), exact=True),
            "grid": Array(("grid",), exact=True),
            "reaching": Array(("grid",), np.int64, 0, rows),
        }
        ranks = cls(**checked(arrays, wanted, where), rows=rows)
        falling = (np.diff(ranks.reaching) <= 0).all()
        in_order = (np.diff(ranks.top) >= 0).all() and (np.diff(ranks.grid) > 0).all()
        if not (falling and in_order and 1 <= len(ranks.top) <= min(rows, TAIL_SCORES) and len(ranks.grid) >= 1):
            raise IntegrityError(where, "ranks out of order", "ascending scores and how many reach them")
        return ranks


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """Rows by entity and time, on one time line where two rows are a cool-down apart unless they may be joined."""

    order: NDArray[np.intp]
    line: NDArray[np.int64]
    begins: Mask


def _chain(times: Times, entities: Column | None, cooldown: int) -> _Chain:
    codes = codes_of(entities, len(times))
    order = np.lexsort((times, codes))
    gaps = np.diff(times[order], prepend=times[order[:1]])
    gaps[np.diff(codes[order], prepend=-1) != 0] = cooldown
    gaps = np.minimum(gaps, cooldown)
    return _Chain(order, np.cumsum(gaps), gaps >= cooldown)


def _cooldown(times: Times, cooldown_s: float) -> int:
    """Microseconds; one more than the span where it is longer than that, which joins as much and cannot overflow."""
    beyond = int(times.max() - times.min()) + 1 if len(times) else 1
    return round(min(cooldown_s * SECOND, beyond))


def codes_of(entities: Column | None, rows: int) -> NDArray[np.intp]:
    """Values -> small numbers in order of first appearance, (rows,); all 0 for None."""
    if entities is None:
        return np.zeros(rows, dtype=np.intp)
    known: dict[Any, int] = {}
    return np.fromiter((known.setdefault(entity, len(known)) for entity in entities.tolist()), np.intp, rows)


def episodes(times: Times, entities: Column | None, cooldown_s: float) -> NDArray[np.intp]:
    """Number the alerts that flagged rows make.

    Flagged rows of one entity that follow each other by less than the cool-down are one episode. It rings once, at
    its first row.

    Parameters
    ----------
    times, entities
        Of the flagged rows, (n,), in any order; rows of equal time stay in the order given.
    cooldown_s
        Seconds; 0 makes every row an episode.

    Returns
    -------
    The episode of each row, (n,), numbered from 0.
    """
    chain = _chain(times, entities, _cooldown(times, cooldown_s))
    numbers = np.empty(len(times), dtype=np.intp)
    numbers[chain.order] = np.cumsum(chain.begins) - 1
    return numbers


def first_rows(numbers: NDArray[np.intp], times: Times) -> NDArray[np.intp]:
    """The row at which each episode rings, (episodes,), by episode number."""
    order = np.lexsort((times, numbers))
    return np.asarray(order[np.diff(numbers[order], prepend=-1) != 0])


def episode_floors(scores: Vector, times: Times, entities: Column | None, cooldown_s: float) -> Vector:
    """The levels at which each row begins an episode: above its floor, up to its own score.

    A floor is the highest score of the same entity within the cool-down before the row, minus infinity if there is
    none, (n,). If rows are flagged at or above a level t, row i begins an episode iff floor_i < t <= score_i.
    """
    cooldown = _cooldown(times, cooldown_s)
    chain = _chain(times, entities, cooldown)
    rows = np.arange(len(scores))
    first = np.minimum(np.searchsorted(chain.line, chain.line - cooldown, side="right"), rows)
    floors = np.empty(len(scores))
    floors[chain.order] = _window_maxima(scores[chain.order], first, rows)
    return floors


def _window_maxima(values: Vector, first: NDArray[np.intp], last: NDArray[np.intp]) -> Vector:
    """max(values[first:last]) per row, minus infinity if empty: two overlapping windows of a power of two each."""
    lengths = last - first
    maxima = np.full(len(values), -np.inf)
    table, width = values, 1
    longest = lengths.max(initial=0)
    while width <= longest:
        now = np.flatnonzero((lengths >= width) & (lengths < 2 * width))
        maxima[now] = np.maximum(table[first[now]], table[last[now] - width])
        table = np.maximum(table[:-width], table[width:])
        width *= 2
    return maxima


@dataclass(frozen=True, slots=True, eq=False)
class AlertTotals:
    """How many alerts each level would have rung, made monotone: they only grow as the level falls.

    Lowering a level can join two episodes and so lose one. A total therefore is the most that was reached at this
    level or above (the monotonised risk of Angelopoulos et al., arXiv 2208.02814).

    Parameters
    ----------
    levels
        Descending, (m,).
    totals
        Alerts of all blocks together at each level, (m,).
    worst
        Alerts of the block that had most, (m,).
    """

    levels: Vector
    totals: Counts
    worst: Counts

    @classmethod
    def of(cls, scores: Vector, floors: Vector, blocks: NDArray[np.intp], cap: int) -> Self:
        """Count alerts in blocks, each block at most `cap`.

        Parameters
        ----------
        scores, floors
            (n,), as `episode_floors` gives them.
        blocks
            The block in which each row lies, (n,).
        cap
            Most that one block counts, so that one incident cannot use up everybody's budget.
        """
        begins = np.flatnonzero(scores > floors)
        # Every row that begins an episode at its score ceases to at its floor, which may be minus infinity.
        levels = np.concatenate([scores[begins], floors[begins]])
        steps = np.repeat(np.array([1, -1]), len(begins))
        block = np.tile(blocks[begins], 2)
        order = np.lexsort((-levels, block))
        levels, block, counts = levels[order], block[order], np.cumsum(steps[order])
        last = _last_of_each(levels, block)
        levels, block, counts = levels[last], block[last], np.minimum(counts[last], cap)
        rises = np.diff(counts, prepend=0)
        first = np.diff(block, prepend=-1) != 0
        rises[first] = counts[first]
        falling = np.argsort(-levels, kind="stable")
        levels, totals, worst = levels[falling], np.cumsum(rises[falling]), counts[falling]
        last = _last_of_each(levels)
        return cls(levels[last], np.maximum.accumulate(totals[last]), np.maximum.accumulate(worst)[last])

    def lowest_level(self, within: Mask) -> float:
        """The lowest level down to which `within`, (m,), holds: just above the first where it does not."""
        beyond = np.flatnonzero(~within)
        return just_above(self.levels[beyond[0]]) if len(beyond) else -np.inf


def just_above(level: float) -> float:
    """The next higher number, so that `score >= just_above(level)` means `score > level`; finite."""
    return float(np.nextafter(level, np.finfo(np.float64).max))


def _last_of_each(*keys: NDArray[Any]) -> Mask:
    """Marks the last row of each run of equal keys."""
    last = np.ones(len(keys[0]), dtype=bool)
    last[:-1] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return last


def dispersion(counts: Counts) -> float:
    """Variance over mean of alert counts, at least 1: how many alerts come together.

    Blocks are added up to `DISPERSION_SUMS` sums first, so that alerts that follow each other over several blocks
    are seen to do so.
    """
    size = max(len(counts) // DISPERSION_SUMS, 1)
    sums = counts[: len(counts) // size * size].reshape(-1, size).sum(axis=1)
    mean = sums.mean()
    return max(1.0, float(sums.var(ddof=1) / mean)) if len(sums) > 1 and mean > 0 else 1.0


def rows_band(flagged: int, rows: int, coverage: float) -> tuple[int, int]:
    """How many of the next `rows` rows reach a level that stands just above the next of `rows` exchangeable rows.

    The count is beta-binomial with parameters `flagged` + 1 and `rows` - `flagged`; the band holds at least
    `coverage` of it. Where all have reached the level, all of the next do.
    """
    if flagged == rows:
        return rows, rows
    count = np.arange(rows, dtype=np.float64)
    alpha, beta = flagged + 1.0, float(rows - flagged)
    return _band(np.log((rows - count) * (alpha + count)) - np.log((count + 1) * (beta + rows - count - 1)), coverage)


def alerts_band(alerts: int, together: float, coverage: float) -> tuple[float, float]:
    """How many alerts a span as long as one with `alerts` alerts rings, if `together` of them come at a time.

    Clumps are Poisson with a gamma rate, which makes their number negative binomial with shape clumps + 1.
    """
    shape = alerts / together + 1.0
    count = np.arange(round(shape + 12.0 * np.sqrt(2.0 * shape) + 60.0))
    low, high = _band(np.log((shape + count) / (2.0 * (count + 1.0))), coverage)
    return low * together, high * together


def _band(log_ratios: Vector, coverage: float) -> tuple[int, int]:
    """Central band of the counts 0, 1, ... whose probabilities follow each other by these ratios."""
    logs = np.concatenate([[0.0], np.cumsum(log_ratios)])
    weights = np.exp(logs - logs.max())
    reached = np.cumsum(weights) / weights.sum()
    outside = (1.0 - coverage) / 2.0
    return int(np.searchsorted(reached, outside)), int(np.searchsorted(reached, 1.0 - outside))


@dataclass(frozen=True, slots=True, eq=False)
class ParetoTail:
    """Peaks above a level, continued beyond the highest by a generalised Pareto distribution.

    Source: Hosking and Wallis, Parameter and Quantile Estimation for the Generalized Pareto Distribution,
    Technometrics 29(3), 1987 (probability-weighted moments); Davison and Smith, Models for Exceedances over High
    Thresholds, JRSS B 52(3), 1990 (declustered peaks).

    Parameters
    ----------
    level
        Above which peaks were taken.
    excess
        How far each peak stands above it, (m,), ascending, greater than 0.
    together
        Alerts per peak: one peak can ring more than once at a level that its rows cross again and again.
    """

    level: float
    excess: Vector
    together: float = 1.0

    def level_for(self, alerts: float) -> float:
        """The level that `alerts` alerts are expected to reach in as long a span; may be a fraction."""
        scale, shape = _pareto(self.excess)
        share = min(alerts / (len(self.excess) * self.together), 1.0)
        return self.level + float(scale * (share**-shape - 1.0) / shape)

    def band(self, level: float, coverage: float) -> tuple[float, float]:
        """Central band of the number of alerts at a level in as long a span, from resampled peaks."""
        generator = np.random.default_rng(0)
        peaks = len(self.excess)
        samples = np.sort(generator.choice(self.excess, (TAIL_RESAMPLES, peaks)), axis=1)
        scale, shape = _pareto(samples)
        with np.errstate(divide="ignore"):  # beyond the end of a bounded tail the logarithm is minus infinity
            share = np.exp(-np.log(np.maximum(1.0 + shape * (level - self.level) / scale, 0.0)) / shape)
        expected = generator.poisson(peaks, TAIL_RESAMPLES) * share
        low, high = np.quantile(generator.poisson(expected), ((1.0 - coverage) / 2.0, (1.0 + coverage) / 2.0))
        return float(low) * self.together, float(high) * self.together


def _pareto(excess: Vector) -> tuple[Any, Any]:
    """Scale and shape by probability-weighted moments, over the last axis of ascending values."""
    peaks = excess.shape[-1]
    below = (np.arange(1, peaks + 1) - 0.35) / peaks
    mean, weighted = excess.mean(axis=-1), (excess * (1.0 - below)).mean(axis=-1)
    ratio = mean / (mean - 2.0 * weighted)
    shape = 2.0 - ratio
    return 2.0 * weighted * ratio, np.where(
        np.abs(shape) < 1e-9, 1e-9, shape
    )  # 0 is the limit, not a value to divide by

"""Quantiles over the last W seconds, from counts of values in buckets whose width grows with the value.

Bucket borders are powers of one factor, so that the number told for a bucket lies within a share of every value in it,
however values are spread. The borders are a table that is made once; a value finds its bucket by comparison.

Source: Masson, Rim and Lee, DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees, PVLDB
2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np

from tocsin.kernel.counts import PaneCounts
from tocsin.kernel.frame import Frame
from tocsin.kernel.windows import counted

BLOCK = 16
"""Buckets that have a counter together, too: a quantile is found by whole blocks first."""
PARTS = 1_000_000
"""Quantiles are whole numbers of millionths: their ranks are then exact."""
MIN_SMALLEST, MAX_LARGEST = 1e-12, 1e18
MIN_ERROR, MAX_ERROR = 0.001, 0.5
NAN = float("nan")


class Quantiles(PaneCounts):
    """The operation `quantiles`: of n values in the window, the one of rank ceil(q n), counted from 1.

    A value below `smallest` counts as 0, one from `largest` on as `largest`. Quantiles are missing below `min_count`
    values. A pane holds its number of values, the counts of its blocks and those of its buckets.

    Attributes
    ----------
    rank
        What is looked for; it lives no longer than a step.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        parts = [_parts(float(quantile)) for quantile in constants["quantiles"]]
        borders, middles = _buckets(*(float(constants[name]) for name in ("relative_error", "smallest", "largest")))
        self.first = 2 + (len(middles) - 1) // BLOCK
        super().__init__(constants, inputs[0], target, self.first + len(middles))
        self.min_count = counted(constants)
        if not parts:
            raise ValueError("no quantiles, wanted at least one")
        self.borders: Any = np.array(borders).data
        self.middles: Any = np.array(middles).data
        self.parts: Any = np.array(parts, dtype=np.int64).data
        self.width = len(parts)
        self.rank = 0

    def step(self, frame: Frame) -> None:
        """Move the window, let the row in, and tell the quantiles."""
        value = frame.registers[self.source]
        # A feature may have written an infinite number, which stands for a missing one.
        present = value - value == 0.0
        self.move(frame)
        if present:
            pane = self.own(frame)
            if pane >= 0:
                bucket = self.bucket(value)
                self.count(frame, pane, 0)
                self.count(frame, pane, 1 + bucket // BLOCK)
                self.count(frame, pane, self.first + bucket)
        rows = self.held(frame, 0)
        enough = rows >= self.min_count
        if present and not enough:
            frame.warm = False
        for place in range(len(self.parts)):
            rank = (rows * self.parts[place] + PARTS - 1) // PARTS
            frame.registers[self.target + place] = self.ranked(frame, rank) if enough else NAN

    def bucket(self, value: float) -> int:
        """How many borders are not above a value."""
        low, high = 0, len(self.borders)
        while low < high:
            middle = (low + high) // 2
            if self.borders[middle] <= value:
                low = middle + 1
            else:
                high = middle
        return low

    def ranked(self, frame: Frame, rank: int) -> float:
        """What is told for the value of a rank."""
        self.rank = rank
        block = self.reached(frame, 1, self.first - 1) - 1
        bucket = self.reached(frame, self.first + BLOCK * block, self.cells - 1) - self.first
        told: float = self.middles[bucket]
        return told

    def reached(self, frame: Frame, cell: int, last: int) -> int:
        """The first of these counters that reaches the rank, which from then on is one within it."""
        held = self.held(frame, cell)
        while held < self.rank and cell < last:
            self.rank -= held
            cell += 1
            held = self.held(frame, cell)
        return cell


def _parts(quantile: float) -> int:
    parts = round(quantile * PARTS) if 0.0 < quantile < 1.0 else 0
    if not 0 < parts < PARTS or parts / PARTS != quantile:
        raise ValueError(f"quantile {quantile:g}, wanted a whole number of millionths between 0 and 1")
    return parts


def _buckets(error: float, smallest: float, largest: float) -> tuple[list[float], list[float]]:
    """The borders, ascending, and what is told for a value below the first, between two, and from the last on."""
    if not MIN_ERROR <= error <= MAX_ERROR:
        raise ValueError(f"relative_error is {error:g}, wanted {MIN_ERROR:g} to {MAX_ERROR:g}")
    if not MIN_SMALLEST <= smallest < largest <= MAX_LARGEST:
        wanted = f"{MIN_SMALLEST:g} <= smallest < largest <= {MAX_LARGEST:g}"
        raise ValueError(f"smallest is {smallest:g} and largest {largest:g}, wanted {wanted}")
    exact = Context(prec=40)
    # All values between a and a (1 + e) / (1 - e) lie within a share e of a (1 + e).
    told = exact.add(1, Decimal(error))
    factor = exact.divide(told, exact.subtract(1, Decimal(error)))
    number = exact.divide(exact.ln(exact.divide(Decimal(largest), Decimal(smallest))), exact.ln(factor))
    borders, middles, border = [], [0.0], Decimal(smallest)
    for _ in range(int(number.to_integral_value(rounding=ROUND_CEILING))):
        borders.append(float(border))
        middles.append(min(float(exact.multiply(border, told)), largest))
        border = exact.multiply(border, factor)
    return [*borders, largest], [*middles, largest]

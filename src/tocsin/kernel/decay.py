"""Statistics in which a value counts half as much after each half-life.

Weight, mean and squares are damped together, in the form of West's weighted update: nothing cancels, as it does where
sums of squares are damped and subtracted. What has faded would still be felt in the last digit, and so there are two
panes of 64 half-lives, aligned on the epoch: no value depends on rows before them.

Source: Mirsky et al., Kitsune, NDSS 2018, section IV.B (damped statistics of packets); West, Updating mean and variance
estimates: an improved method, Communications of the ACM 1979 (one value); Chan, Golub and LeVeque, Updating formulae
and a pairwise algorithm for computing sample variances, 1979 (two panes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from tocsin.kernel import arithmetic
from tocsin.kernel.frame import Action, Frame

DecayStatistic = Literal["weight", "mean", "std"]
STATISTICS: tuple[DecayStatistic, ...] = get_args(DecayStatistic)
MAX_HALF_LIFE_US = 2**53
"""Whole numbers up to it are exact in a float64."""

WEIGHT, MEAN, STD = range(3)
"""Their places in `STATISTICS`."""
FIELDS = 4
INFINITY = float("inf")
NAN = float("nan")


class Decay(Action):
    """The operation `decay`: damped statistics of a column at one half-life, the row itself included.

    A pane holds them as they were at its last present value, and its time. The standard deviation divides by the
    weight, and is missing while one value is all that weighs. A late row counts at its entity's latest time.

    Attributes
    ----------
    weight, mean, squares, left
        Both panes together as they were at the last present value, and how much of the weight is left: they live no
        longer than a step.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        half_life_us = int(constants["half_life_us"])
        if not 1 <= half_life_us <= MAX_HALF_LIFE_US:
            raise ValueError(f"wanted half_life_us of 1 to {MAX_HALF_LIFE_US}")
        statistics = tuple(constants["statistics"])
        if unknown := set(statistics) - set(STATISTICS):
            raise ValueError(f"unknown statistics {sorted(unknown)}")
        self.half_life_us = half_life_us
        self.pane_us = arithmetic.FORGOTTEN * half_life_us
        self.codes: Any = memoryview(bytes(STATISTICS.index(name) for name in statistics))
        self.weight = self.mean = self.squares = self.left = 0.0
        self.width = len(statistics)
        # Of the newer pane and of the one before it: time, weight, mean, sum of squared distances.
        self.words = 2 * FIELDS
        self.horizon = 2 * self.pane_us

    def step(self, frame: Frame) -> None:
        """Let the row in, and tell the statistics of this moment."""
        value = frame.registers[self.source]
        # An earlier feature may have written an infinite number, which stands for a missing one.
        if value - value == 0.0:
            self.turn(frame)
            self.add(frame, value)
        self.merge(frame)
        for place in range(len(self.codes)):
            frame.registers[self.target + place] = self.told(self.codes[place])

    def passed(self, frame: Frame) -> int:
        """How many panes this moment is ahead of the last present value."""
        newest: int = frame.whole[frame.base + self.at] // self.pane_us
        return frame.now // self.pane_us - newest

    def turn(self, frame: Frame) -> None:
        """Begin a new pane if it is time to."""
        at = frame.base + self.at
        passed = self.passed(frame)
        if passed == 0 or frame.floats[at + 1] == 0.0:
            return
        for word in range(at, at + FIELDS):
            frame.whole[word + FIELDS] = frame.whole[word] if passed == 1 else 0
            frame.whole[word] = 0

    def add(self, frame: Frame, value: float) -> None:
        """Let a value into the newer pane."""
        at = frame.base + self.at
        damped = frame.floats[at + 1]
        if damped > 0.0:
            factor = arithmetic.halved(frame.now - frame.whole[at], self.half_life_us)
            damped *= factor
            weight = damped + 1.0
            distance = value - frame.floats[at + 2]
            # A square times a share: rounding cannot make it negative, however little the past still weighs.
            squares = frame.floats[at + 3] * factor + distance * distance * (damped / weight)
            if squares < INFINITY:
                frame.whole[at] = frame.now
                frame.floats[at + 1] = weight
                frame.floats[at + 2] += distance / weight
                frame.floats[at + 3] = squares
                return
            # So far away that the square is no number: the value begins anew.
            frame.floats[at + FIELDS + 1] = 0.0
        frame.whole[at] = frame.now
        frame.floats[at + 1] = 1.0
        frame.floats[at + 2] = value
        frame.floats[at + 3] = 0.0

    def merge(self, frame: Frame) -> None:
        """Take both panes together, as far as they still count."""
        at = frame.base + self.at
        before = at + FIELDS
        passed = self.passed(frame)
        self.left = 0.0
        if frame.floats[at + 1] == 0.0 or passed > 1:
            return
        self.left = arithmetic.halved(frame.now - frame.whole[at], self.half_life_us)
        self.weight, self.mean, self.squares = frame.floats[at + 1], frame.floats[at + 2], frame.floats[at + 3]
        if frame.floats[before + 1] == 0.0 or passed == 1:
            return
        factor = arithmetic.halved(frame.whole[at] - frame.whole[before], self.half_life_us)
        damped = frame.floats[before + 1] * factor
        weight = damped + self.weight
        distance = frame.floats[before + 2] - self.mean
        share = damped / weight
        squares = frame.floats[before + 3] * factor + self.squares + distance * distance * (share * self.weight)
        if squares < INFINITY:
            self.mean += distance * share
            self.weight, self.squares = weight, squares

    def told(self, code: int) -> float:
        """One statistic of what was merged, by its place in `STATISTICS`."""
        if self.left == 0.0:
            return 0.0 if code == WEIGHT else NAN
        # Damping takes the same share from weight and squares, and so leaves mean and deviation as they are.
        if code == WEIGHT:
            return self.weight * self.left
        if code == MEAN:
            return self.mean
        return math.sqrt(self.squares / self.weight) if self.weight > 1.0 else NAN

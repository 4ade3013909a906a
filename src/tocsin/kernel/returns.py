"""When the values of a column come back, and how many times in a row after about the same time.

A program that calls home does so by its own clock, a person does not: the gaps between two of its calls are alike.
An entity remembers the last times of the values that it had last, and forgets the value that it has not had for the
most other values. Every row goes through all the times of its own value: what it is told rests on no earlier row.

Source: Shalaginov, Franke and Huang, Malware beaconing detection by mining large-scale DNS logs for targeted attack
identification, WASET 2016 (gaps between the calls of one host to one address).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.kernel.frame import Action, Frame
from tocsin.kernel.windows import MAX_WINDOW_US

MAX_VALUES, MAX_GAPS = 256, 64
NAN = float("nan")
# Of a value: itself, the number of its last row, that row's time, how many visits there were; behind them their times.
_HEAD = 4


class Returns(Action):
    """The operation `returns`: how many gaps before the row, in a row, are alike.

    Rows of a value that follow one another within less than `apart_us` are one visit, at the time of the first. The
    gaps between the last visits of the window (t - W, t] are gone through backwards, as long as each differs from the
    mean of those behind it by no more than `tolerance` of that mean. A late row is told nothing, and moves nothing.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.window_us = int(constants["window_us"])
        self.apart_us = int(constants["apart_us"])
        self.tolerance = float(constants["tolerance"])
        self.values = int(constants["values"])
        self.visits = int(constants["gaps"]) + 1
        if not 1 <= self.apart_us <= self.window_us <= MAX_WINDOW_US // 2:
            raise ValueError("wanted an apart_us of at least 1, no longer than window_us, which is at most 2^52")
        if not 1 <= self.values <= MAX_VALUES or not 2 <= self.visits - 1 <= MAX_GAPS:
            raise ValueError(f"wanted 1 to {MAX_VALUES} values and 2 to {MAX_GAPS} gaps")
        if not 0.0 < self.tolerance < 1.0:
            raise ValueError(f"tolerance is {self.tolerance:g}, wanted more than 0 and less than 1")
        # How many rows there were; the values.
        self.words = 1 + self.values * (_HEAD + self.visits)
        self.horizon = self.window_us + self.apart_us

    def step(self, frame: Frame) -> None:
        """Remember the row as a visit of its value, and tell how many gaps are alike."""
        value = frame.registers[self.source]
        # A feature may have written an infinite number, which stands for a missing one.
        if value - value != 0.0 or frame.time < frame.now:
            frame.registers[self.target] = NAN
            return
        place = self.place(frame, value)
        self.visit(frame, place)
        frame.registers[self.target] = self.alike(frame, place)

    def place(self, frame: Frame, value: float) -> int:
        """Where a value is remembered; a new one takes the place of the one whose last row is the longest ago."""
        first = frame.base + self.at + 1
        size = _HEAD + self.visits
        oldest = first
        for place in range(first, first + self.values * size, size):
            if frame.floats[place] == value and frame.whole[place + 1] > 0:
                return place
            if frame.whole[place + 1] < frame.whole[oldest + 1]:
                oldest = place
        frame.floats[oldest] = value
        frame.whole[oldest + 3] = 0
        return oldest

    def visit(self, frame: Frame, place: int) -> None:
        """Put the row's time behind those of its value, unless it belongs to the last visit."""
        counter = frame.base + self.at
        visits = frame.whole[place + 3]
        if visits == 0 or frame.time - frame.whole[place + 2] >= self.apart_us:
            frame.whole[place + _HEAD + visits % self.visits] = frame.time
            frame.whole[place + 3] = visits + 1
        frame.whole[counter] += 1
        frame.whole[place + 1] = frame.whole[counter]
        frame.whole[place + 2] = frame.time

    def alike(self, frame: Frame, place: int) -> int:
        """Go back from visit to visit while the gaps are alike."""
        times = place + _HEAD
        visits = frame.whole[place + 3]
        later = frame.whole[times + (visits - 1) % self.visits]
        found = 0
        mean = 0.0
        for back in range(2, min(visits, self.visits) + 1):
            earlier = frame.whole[times + (visits - back) % self.visits]
            gap = float(later - earlier)
            if earlier <= frame.now - self.window_us or (found > 0 and abs(gap - mean) > self.tolerance * mean):
                break
            found += 1
            mean += (gap - mean) / found
            later = earlier
        return found

"""Statistics over exactly the last W seconds, of the last few values that lie in them.

The window of a row is (t - W, t], with t the entity's latest time and the row itself in it. Its values are kept with
their times, in the order of these and among equals in that of their arrival, and a row goes through all of them: no
statistic rests on an earlier one.

Source: Chan, Golub and LeVeque, Algorithms for computing the sample variance: analysis and recommendations, The
American Statistician 1983 (two passes, corrected).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.kernel.frame import Frame
from tocsin.kernel.windows import MAX_WINDOW_US, Statistics

MAX_RECENT = 512


class Recent(Statistics):
    """The operation `recent`: what `panes` tells, of the last `limit` values of the window (t - W, t].

    A late row counts if its own time is in the window. Of more than `limit` values the oldest are left out, in the
    count as well; so what a row is told still depends on the rows of its window alone.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(constants, inputs, target)
        self.window_us = int(constants["window_us"])
        self.limit = int(constants["limit"])
        if not 1 <= self.window_us <= MAX_WINDOW_US or not 1 <= self.limit <= MAX_RECENT:
            raise ValueError(f"wanted a window_us of 1 to 2^53 and a limit of 1 to {MAX_RECENT}")
        # How many values there are; their times; the values.
        self.words = 1 + 2 * self.limit
        self.horizon = self.window_us

    def step(self, frame: Frame) -> None:
        """Let old values out and the row in, and tell the statistics."""
        value = frame.registers[self.source] if self.source >= 0 else 1.0
        # A feature may have written an infinite number, which stands for a missing one.
        present = value - value == 0.0
        self.leave(frame)
        if present and frame.time > frame.now - self.window_us:
            self.enter(frame, value)
        self.look(frame)
        self.tell(frame, present)

    def leave(self, frame: Frame) -> None:
        """Let go of the values that the window has left."""
        times = frame.base + self.at + 1
        held = frame.whole[times - 1]
        gone = 0
        while gone < held and frame.whole[times + gone] <= frame.now - self.window_us:
            gone += 1
        self.drop(frame, gone)

    def drop(self, frame: Frame, gone: int) -> None:
        """Let go of the oldest values."""
        if gone == 0:
            return
        times = frame.base + self.at + 1
        held = frame.whole[times - 1] - gone
        for place in range(times, times + held):
            frame.whole[place] = frame.whole[place + gone]
            frame.floats[place + self.limit] = frame.floats[place + self.limit + gone]
        frame.whole[times - 1] = held

    def enter(self, frame: Frame, value: float) -> None:
        """Put a value behind those of its own time and of earlier ones."""
        times = frame.base + self.at + 1
        if frame.whole[times - 1] == self.limit:
            if frame.time < frame.whole[times]:
                return
            self.drop(frame, 1)
        place = times + frame.whole[times - 1]
        while place > times and frame.whole[place - 1] > frame.time:
            frame.whole[place] = frame.whole[place - 1]
            frame.floats[place + self.limit] = frame.floats[place - 1 + self.limit]
            place -= 1
        frame.whole[place] = frame.time
        frame.floats[place + self.limit] = value
        frame.whole[times - 1] += 1

    def look(self, frame: Frame) -> None:
        """Go through the window, the oldest value first, and write into the scratch pane what it comes to."""
        start = frame.base + self.at + 1 + self.limit
        held = frame.whole[start - 1 - self.limit]
        frame.floats[0] = held
        if held == 0:
            return
        first = low = high = frame.floats[start]
        # Distances from the first value: a sum of large values that differ little would lose what they differ in.
        distances = total = 0.0
        for place in range(start, start + held):
            value = frame.floats[place]
            total += value
            distances += value - first
            if value < low:
                low = value
            elif value > high:
                high = value
        if self.pane.extremes:
            frame.floats[self.pane.extremes] = low
            frame.floats[self.pane.extremes + 1] = high
        if self.pane.sums:
            frame.floats[self.pane.sums] = total
        if self.pane.moments:
            self.measure(frame, start, held, first + distances / held)

    def measure(self, frame: Frame, start: int, held: int, mean: float) -> None:
        """Mean and squared distances, given a mean that rounding has moved a little."""
        squares = rest = 0.0
        for place in range(start, start + held):
            distance = frame.floats[place] - mean
            squares += distance * distance
            rest += distance
        squares -= rest * rest / held
        frame.floats[self.pane.moments] = mean + rest / held
        frame.floats[self.pane.moments + 1] = 0.0 if squares < 0.0 else squares

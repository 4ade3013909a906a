"""How far a value lies from what its entity did just before, in deviations of the window before it.

The window is that of `tocsin.kernel.windows`. It is read before the row enters it, so that an outlier does not hide
itself by widening the deviation it is measured with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.kernel.frame import Action, Frame
from tocsin.kernel.windows import Pane, PaneWindow, counted

INFINITY = float("inf")
NAN = float("nan")


class ZScore(Action):
    """The operation `zscore`: (value - mean) / std (ddof 1) of one window, within -clip and +clip.

    Missing and warming up below `min_count` values in the window. Where all its values are the same, the same value
    again is 0 away and any other is the full clip away.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0], target)
        self.pane = Pane(("mean", "std"))
        self.window = PaneWindow(constants, self.pane)
        self.words = self.window.words
        self.horizon = self.window.horizon
        self.min_count = counted(constants, least=2)
        self.clip = float(constants["clip"])
        self.include_current = bool(constants["include_current"])
        if not 0.0 < self.clip < INFINITY:
            raise ValueError("wanted a finite clip above 0")

    def step(self, frame: Frame) -> None:
        """Move the window, measure the row with it, and let the row in: in this order, unless told otherwise."""
        at = frame.base + self.at
        value = frame.registers[self.source]
        frame.registers[self.target] = NAN
        self.window.move(frame, at)
        # An earlier feature may have written an infinite number, which stands for a missing one.
        if value - value != 0.0:
            return
        if self.include_current:
            self.window.add(frame, at, value)
        if self.window.merge_all(frame, at) >= self.min_count:
            frame.registers[self.target] = self.measured(frame, value)
        else:
            frame.warm = False
        if not self.include_current:
            self.window.add(frame, at, value)

    def measured(self, frame: Frame, value: float) -> float:
        """The distance of a value from what was merged last."""
        distance: float = value - frame.floats[self.pane.moments]
        variance = frame.floats[self.pane.moments + 1] / (frame.floats[0] - 1.0)
        # A mean or a deviation beyond the largest number tells nothing.
        if distance - distance != 0.0 or not 0.0 <= variance < INFINITY:
            return NAN
        if distance == 0.0:
            return distance
        deviation = math.sqrt(variance)
        if deviation > 0.0:
            score = distance / deviation
            if -self.clip <= score <= self.clip:
                return score
        return self.clip if distance > 0.0 else -self.clip

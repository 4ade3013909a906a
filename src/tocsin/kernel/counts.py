"""Counters of an entity over the last W seconds, kept in the panes of `tocsin.kernel.windows`.

Whole numbers add up to the same in any order, so nothing needs to be merged in turns: beside the panes stands what the
closed ones hold together. It is made anew when a pane closes; otherwise a row touches its own counters alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.kernel.frame import Action, Frame
from tocsin.kernel.windows import check_panes

MAX_WORDS = 131_072
"""What one action may take of every slab, a mebibyte: a program may come from a file."""


class PaneCounts(Action):
    """A window of counters of 32 bits: fewer than 2^32 rows may lie in it.

    Parameters
    ----------
    constants
        `pane_us` and `panes`.
    source, target
        Registers of the input and of the first output.
    cells
        Counters of a pane. The first is above 0 where the pane holds anything.

    Attributes
    ----------
    closed, newest
        Where the counters of the closed panes and of the newest begin, in halves of words; they live no longer than
        a step.
    """

    def __init__(self, constants: Mapping[str, Any], source: int, target: int, cells: int) -> None:
        super().__init__(source, target)
        pane_us, panes = int(constants["pane_us"]), int(constants["panes"])
        check_panes(pane_us, panes)
        self.pane_us = pane_us
        self.panes = panes
        self.cells = cells
        # The number of the newest pane; the closed panes together; the ring.
        self.words = 1 + (cells * (1 + self.panes) + 1) // 2
        if self.words > MAX_WORDS:
            raise ValueError(
                f"{self.panes} panes of {4 * cells:,} bytes take {8 * self.words:,} bytes of every entity, "
                f"wanted at most {8 * MAX_WORDS:,}"
            )
        self.horizon = pane_us * panes
        self.closed = self.newest = 0

    def move(self, frame: Frame) -> None:
        """Let the window end with the pane of this moment."""
        at = frame.base + self.at
        number = frame.now // self.pane_us
        self.closed = 2 * (at + 1)
        self.newest = self.pane(number)
        passed = number - frame.whole[at]
        if passed == 0:
            return
        if passed < 0 or passed > self.panes:
            passed = self.panes
        for back in range(passed):
            self.clear(frame, self.pane(number - back))
        frame.whole[at] = number
        self.clear(frame, self.closed)
        for place in range(1, self.panes + 1):
            pane = self.closed + self.cells * place
            if frame.halves[pane]:
                self.merge(frame, pane)

    def pane(self, number: int) -> int:
        """Where the counters of a pane begin."""
        return self.closed + self.cells * (1 + number % self.panes)

    def own(self, frame: Frame) -> int:
        """Where those of the pane of the row's own time begin; -1 if the window has left it."""
        if frame.time == frame.now:
            return self.newest
        number = frame.time // self.pane_us
        return self.pane(number) if frame.now // self.pane_us - number < self.panes else -1

    def clear(self, frame: Frame, pane: int) -> None:
        """Empty a pane."""
        if frame.halves[pane]:
            for cell in range(pane, pane + self.cells):
                frame.halves[cell] = 0

    def merge(self, frame: Frame, pane: int) -> None:
        """Take a pane into the closed ones."""
        for cell in range(self.cells):
            frame.halves[self.closed + cell] += frame.halves[pane + cell]

    def count(self, frame: Frame, pane: int, cell: int) -> None:
        """Count a row into a pane, and into the closed ones if it is one of them."""
        frame.halves[pane + cell] += 1
        if pane != self.newest:
            frame.halves[self.closed + cell] += 1

    def held(self, frame: Frame, cell: int) -> int:
        """What the window has counted."""
        held: int = frame.halves[self.closed + cell] + frame.halves[self.newest + cell]
        return held

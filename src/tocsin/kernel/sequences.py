"""The last few rows of an entity side by side, for detectors that look at more than one.

Rows stand in the order in which they came, also the late ones. A gap in time longer than a limit begins a new
sequence: two rows belong together only if the second came while the first still told something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tocsin.kernel.frame import Action, Frame
from tocsin.kernel.program import Operation, Program

MAX_STEPS = 1_024
MAX_GAP_US = 2**50
"""35 years: the longest sequence still lasts less than what 64 bits hold."""
NAN = float("nan")


def with_sequence(program: Program, steps: int, max_gap_us: int) -> Program:
    """The same program, but with the last `steps` rows of its outputs as outputs, the oldest first.

    A column is named after the one that it repeats and how many rows ago it was: `load@2`, `load@1`, `load@0`.
    """
    names = tuple(f"{name}@{back}" for back in range(steps - 1, -1, -1) for name in program.outputs)
    sequence = Operation("sequence", program.outputs, names, {"steps": steps, "max_gap_us": max_gap_us})
    return replace(program, operations=(*program.operations, sequence), outputs=names)


def without_sequence(program: Program) -> Program:
    """The program that `with_sequence` was given."""
    *operations, sequence = program.operations
    return replace(program, operations=tuple(operations), outputs=sequence.inputs)


class RowSequence(Action):
    """The operation `sequence`: its inputs in the last `steps` rows, the oldest row first.

    All are missing until there are so many rows with no gap above `max_gap_us` between two of them. A value that a
    row lacks is missing in its place.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(-1, target)
        self.steps = int(constants["steps"])
        self.max_gap_us = int(constants["max_gap_us"])
        if not 1 <= self.steps <= MAX_STEPS or not 1 <= self.max_gap_us <= MAX_GAP_US:
            raise ValueError(f"wanted 1 to {MAX_STEPS} steps and a max_gap_us of 1 to 2^50")
        self.sources: Any = np.array(inputs, dtype=np.int64).data
        self.columns = len(inputs)
        self.width = self.steps * self.columns
        # The entity's time at its last row; how many rows the sequence has had; the last ones in a ring.
        self.words = 2 + self.width
        self.horizon = self.steps * self.max_gap_us

    def step(self, frame: Frame) -> None:
        """Put the row in, and write all of them if they are enough."""
        at = frame.base + self.at
        rows = frame.whole[at + 1]
        if frame.now - frame.whole[at] > self.max_gap_us:
            rows = 0
        place = at + 2 + self.columns * (rows % self.steps)
        for column in range(self.columns):
            frame.floats[place + column] = frame.registers[self.sources[column]]
        rows += 1
        frame.whole[at] = frame.now
        frame.whole[at + 1] = rows
        if rows < self.steps:
            frame.warm = False
            for column in range(self.width):
                frame.registers[self.target + column] = NAN
            return
        for row in range(self.steps):
            place = at + 2 + self.columns * ((rows + row) % self.steps)
            for column in range(self.columns):
                frame.registers[self.target + self.columns * row + column] = frame.floats[place + column]

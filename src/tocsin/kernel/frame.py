"""What an action of the kernel sees of a row: its registers, its entity's slab, its times.

Every number that an entity remembers lies in one memory of 8-byte words. A slab is the part of it that belongs to one
entity; it has the same size for all, known before the first row, and a slab of zeros is one that has seen nothing.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

SCRATCH = 8
"""Words at the start of the memory that belong to no entity: actions put together there what they tell."""


class Frame:
    """The place where one row meets the program.

    Attributes
    ----------
    floats, whole, halves
        One memory as float64, as int64 and as uint32.
    registers
        What the row and the actions before this one hold, float64; NaN is missing.
    base
        The first word of the entity's slab.
    time, now
        The row's own time and the entity's latest, in microseconds; they differ if the row comes late.
    warm
        Becomes False where a value is missing because too little came before it.
    """

    def __init__(self, memory: NDArray[np.int64], registers: NDArray[np.float64]) -> None:
        self.whole: memoryview[int] = memory.data
        self.floats = cast("memoryview[float]", memory.view(np.float64).data)
        self.halves: memoryview[int] = memory.view(np.uint32).data
        self.registers = cast("memoryview[float]", registers.data)
        self.base = 0
        self.time = 0
        self.now = 0
        self.warm = True


class Action:
    """One operation of a program, made ready: reads registers and its part of the slab, writes both.

    Parameters
    ----------
    source
        Register of the first input, -1 without one; further inputs are the subclass's own.
    target
        Register of the first output; the others follow it.

    Attributes
    ----------
    words
        How much of every slab it needs; 0 for an action that looks at the row alone.
    at
        Where its part of the slab begins, counted from the slab's start.
    width
        How many outputs it writes.
    horizon
        Microseconds after which nothing that it saw has any effect.
    """

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self.target = target
        self.width = 1
        self.words = 0
        self.at = 0
        self.horizon = 0

    def step(self, frame: Frame) -> None:
        """Take one row: compute the outputs, and move the state."""
        raise NotImplementedError

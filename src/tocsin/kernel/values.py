"""Which values a column took over the last W seconds, and how often, from counters that have no names.

A value is one float64, text its fingerprint: a fixed hash gives it its place, so two values may share one. How many
values there were is then an estimate, and how often one came an upper bound; memory is the same for any number.

Source: Whang, Vander-Zanden and Taylor, A linear-time probabilistic counting algorithm for database applications, ACM
TODS 1990 (`distinct`); Cormode and Muthukrishnan, An improved data stream summary: the count-min sketch and its
applications, Journal of Algorithms 2005 (`share`); Steele, Lea and Flood, Fast splittable pseudorandom number
generators, OOPSLA 2014 (the hash).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tocsin.kernel import arithmetic
from tocsin.kernel.counts import PaneCounts
from tocsin.kernel.frame import Frame

MIN_BITS, MAX_BITS = 64, 65_536
MIN_BINS, MAX_BINS = 16, 4_096
WORD_BITS = 32
FIRST_FACTOR = 0xBF58476D1CE4E5B9
SECOND_FACTOR = 0x94D049BB133111EB
ALL_BITS = 2**64 - 1
NAN = float("nan")


class HashedCounts(PaneCounts):
    """A window over values that find their counters by hash.

    Attributes
    ----------
    number, bits
        One place, as float64 and as uint64; what it holds lives no longer than a step.
    """

    def __init__(self, constants: Mapping[str, Any], source: int, target: int, cells: int) -> None:
        super().__init__(constants, source, target, cells)
        number = np.zeros(1)
        self.number: Any = number.data
        self.bits: Any = number.view(np.uint64).data

    def hashed(self, value: float) -> int:
        """64 bits, each of which depends on all bits of the value."""
        # The sum of -0 and 0 is 0: they are one value.
        self.number[0] = value + 0.0
        mixed: int = self.bits[0]
        mixed = ((mixed ^ (mixed >> 30)) * FIRST_FACTOR) & ALL_BITS
        mixed = ((mixed ^ (mixed >> 27)) * SECOND_FACTOR) & ALL_BITS
        return mixed ^ (mixed >> 31)


class Distinct(HashedCounts):
    """The operation `distinct`: how many different values the window holds, by linear counting.

    Of `bits` bits, every value sets one; m bits of which z are zero were set by about m ln(m / z) values. A pane holds
    how many of its bits are set, and the bits; the closed panes hold theirs together, and how many bits are set in the
    whole window.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        size = _power_of_two(constants, "bits", MIN_BITS, MAX_BITS)
        super().__init__(constants, inputs[0], target, 1 + size // WORD_BITS)
        self.last = size - 1
        # With no zero left the estimate would be infinite: it stays at that of one.
        told = [size * arithmetic.log1p(set_bits / (size - set_bits)) for set_bits in range(size)]
        self.estimates: Any = np.rint(np.array([*told, max(told)])).data

    def step(self, frame: Frame) -> None:
        """Move the window, let the row in, and tell how many values there are."""
        value = frame.registers[self.source]
        self.move(frame)
        # A feature may have written an infinite number, which stands for a missing one.
        if value - value == 0.0:
            self.add(frame, self.hashed(value) & self.last)
        # A memory that was read from a file may claim more bits than there are.
        frame.registers[self.target] = self.estimates[min(frame.halves[self.closed], self.last + 1)]

    def add(self, frame: Frame, place: int) -> None:
        """Set a bit in the pane of the row's own time."""
        pane = self.own(frame)
        if pane < 0:
            return
        cell = 1 + place // WORD_BITS
        bit = 1 << (place % WORD_BITS)
        if not (frame.halves[self.closed + cell] | frame.halves[self.newest + cell]) & bit:
            frame.halves[self.closed] += 1
        if not frame.halves[pane + cell] & bit:
            frame.halves[pane] += 1
            frame.halves[pane + cell] |= bit
        if pane != self.newest:
            frame.halves[self.closed + cell] |= bit

    def merge(self, frame: Frame, pane: int) -> None:
        """Take the bits of a pane into those of the closed ones."""
        for cell in range(1, self.cells):
            known = frame.halves[self.closed + cell]
            new = frame.halves[pane + cell] & ~known
            if new:
                frame.halves[self.closed + cell] = known | new
                frame.halves[self.closed] += ones(new)


class Share(HashedCounts):
    """The operation `share`: the part of the window's rows that have the row's own value, by a count-min sketch.

    A value has a counter in each of two lines of `bins`; the smaller counts it, and whatever shares both with it.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        self.bins = _power_of_two(constants, "bins", MIN_BINS, MAX_BINS)
        super().__init__(constants, inputs[0], target, 1 + 2 * self.bins)

    def step(self, frame: Frame) -> None:
        """Move the window, let the row in, and tell the share; that of a missing value is missing."""
        value = frame.registers[self.source]
        self.move(frame)
        if value - value != 0.0:
            frame.registers[self.target] = NAN
            return
        hashed = self.hashed(value)
        first = 1 + (hashed & (self.bins - 1))
        second = 1 + self.bins + ((hashed >> 32) & (self.bins - 1))
        pane = self.own(frame)
        if pane >= 0:
            self.count(frame, pane, 0)
            self.count(frame, pane, first)
            self.count(frame, pane, second)
        rows = self.held(frame, 0)
        if rows == 0:
            frame.warm = False
            frame.registers[self.target] = NAN
            return
        frame.registers[self.target] = min(self.held(frame, first), self.held(frame, second)) / rows


def ones(word: int) -> int:
    """How many of 32 bits are set."""
    pairs = word - ((word >> 1) & 0x55555555)
    fours = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    eights = (fours + (fours >> 4)) & 0x0F0F0F0F
    return ((eights * 0x01010101) >> 24) & 0xFF


def _power_of_two(constants: Mapping[str, Any], name: str, smallest: int, largest: int) -> int:
    value = int(constants[name])
    if not smallest <= value <= largest or value & (value - 1):
        raise ValueError(f"{name} is {value}, wanted a power of two from {smallest} to {largest:,}")
    return value

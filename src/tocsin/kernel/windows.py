"""Statistics over the last W seconds, kept in panes that are aligned on the epoch.

A window of W microseconds has P panes of g = W // P. At time t it covers the panes floor(t/g) - P + 1 to
floor(t/g), so its length lies in (W - g, W]. Panes are merged from the oldest to the newest and nothing is ever
subtracted: a value depends on the rows of its window alone, whatever came before them. A late row enters the pane of
its own time, if that pane is still in the window.

Source: van Herk, A fast algorithm for local minimum and maximum filters, Pattern Recognition Letters 1992 (turns);
Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 1962 (one
value); Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979 (two
panes).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from tocsin.kernel.frame import Action, Frame

Statistic = Literal["mean", "std", "min", "max", "count", "sum"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
MAX_PANES = 1_024
MAX_COUNT = 2**53
MAX_WINDOW_US = 2**53
"""285 years: times and windows add up without leaving 64 bits."""

NAN = float("nan")


def counted(constants: Mapping[str, Any], least: int = 1) -> int:
    """The `min_count` among an operation's constants.

    Raises
    ------
    ValueError
        If it is out of range.
    """
    min_count = int(constants["min_count"])
    if not least <= min_count <= MAX_COUNT:
        raise ValueError(f"min_count is {min_count}, wanted {least} to {MAX_COUNT}")
    return min_count


def check_panes(pane_us: int, panes: int) -> None:
    """Refuse panes that no window can have; a program may come from a file.

    Raises
    ------
    ValueError
        If their number or their length is out of range.
    """
    if not 1 <= panes <= MAX_PANES or not 1 <= pane_us * panes <= MAX_WINDOW_US:
        raise ValueError(f"wanted 1 to {MAX_PANES} panes of pane_us of at least 1, together at most {MAX_WINDOW_US}")


class Pane:
    """What a stretch of time holds of a column: its count and what the statistics need.

    That is mean and sum of squared distances, smallest and largest, sum; a pane lies in the memory as so many words.

    Attributes
    ----------
    fields
        Words of a pane.
    moments, extremes, sums
        Where in it mean and squares, smallest and largest, the sum begin; 0 if they are not held.
    """

    def __init__(self, statistics: Collection[Statistic]) -> None:
        fields = 1
        self.moments = self.extremes = self.sums = 0
        if not {"mean", "std"}.isdisjoint(statistics):
            self.moments, fields = fields, fields + 2
        if not {"min", "max"}.isdisjoint(statistics):
            self.extremes, fields = fields, fields + 2
        if "sum" in statistics:
            self.sums, fields = fields, fields + 1
        self.fields = fields

    def grow(self, frame: Frame, pane: int, value: float) -> None:
        """Add a value to a pane."""
        count = frame.floats[pane] + 1.0
        frame.floats[pane] = count
        if self.moments:
            place = pane + self.moments
            distance = value - frame.floats[place]
            mean = frame.floats[place] + distance / count
            frame.floats[place] = mean
            frame.floats[place + 1] += distance * (value - mean)
        if self.extremes:
            place = pane + self.extremes
            low = value if count == 1.0 else frame.floats[place]
            high = value if count == 1.0 else frame.floats[place + 1]
            frame.floats[place] = min(low, value)
            frame.floats[place + 1] = max(high, value)
        if self.sums:
            frame.floats[pane + self.sums] += value

    def merge(self, frame: Frame, older: int, newer: int, into: int) -> None:
        """Write into a pane what two hold together; it may be one of them."""
        had, more = frame.floats[older], frame.floats[newer]
        if had == 0.0 or more == 0.0:
            self.copy(frame, newer if had == 0.0 else older, into)
            return
        count = had + more
        frame.floats[into] = count
        if self.moments:
            first, second, place = older + self.moments, newer + self.moments, into + self.moments
            share = more / count
            mean = frame.floats[first]
            distance = frame.floats[second] - mean
            squares = frame.floats[first + 1] + (frame.floats[second + 1] + distance * distance * (had * share))
            frame.floats[place] = mean + distance * share
            frame.floats[place + 1] = squares
        if self.extremes:
            first, second, place = older + self.extremes, newer + self.extremes, into + self.extremes
            frame.floats[place] = min(frame.floats[first], frame.floats[second])
            frame.floats[place + 1] = max(frame.floats[first + 1], frame.floats[second + 1])
        if self.sums:
            frame.floats[into + self.sums] = frame.floats[older + self.sums] + frame.floats[newer + self.sums]

    def copy(self, frame: Frame, pane: int, into: int) -> None:
        """Write a pane into another."""
        for field in range(self.fields):
            frame.floats[into + field] = frame.floats[pane + field]

    def field(self, statistic: Statistic) -> int:
        """Where in a pane a statistic is told, once the squares have become the deviation."""
        fields = (self.moments, self.moments + 1, self.extremes, self.extremes + 1, 0, self.sums)
        return fields[STATISTICS.index(statistic)]

    def clear(self, frame: Frame, word: int, words: int) -> None:
        """Empty panes."""
        for place in range(word, word + words):
            frame.floats[place] = 0.0


class PaneWindow:
    """A window over one column: the panes in a ring, and the closed ones merged.

    A turn is as many panes as a window has, aligned on the epoch, too. When a turn is full, every pane takes in the
    later ones; from then on the window is one pane of the last turn, what closed in this turn, and the newest pane.
    So a row costs one merge and a pane three, however many there are, and the order of merging depends on the panes of
    the window alone.

    Its methods take the first word of its part of an entity's slab.
    """

    def __init__(self, constants: Mapping[str, Any], pane: Pane) -> None:
        pane_us, panes = int(constants["pane_us"]), int(constants["panes"])
        check_panes(pane_us, panes)
        self.pane_us = pane_us
        self.panes = panes
        self.pane = pane
        self.fields = fields = pane.fields
        # The number of the newest pane and its place in the ring; the newest; all that closed; the ring, where what
        # closed in this turn lies in the newest's place. A row that closes no pane touches no more than the first.
        self.newest = 2
        self.closed = self.newest + fields
        self.ring = self.closed + fields
        self.words = self.ring + fields * self.panes
        self.horizon = pane_us * panes

    def move(self, frame: Frame, at: int) -> None:
        """Let the window end with the pane of this moment."""
        since = frame.now - frame.whole[at] * self.pane_us
        if 0 <= since < self.pane_us:
            return
        passed = since // self.pane_us
        frame.whole[at] += passed
        if 0 < passed < self.panes:
            for _ in range(passed):
                self.close(frame, at)
        else:
            self.pane.clear(frame, at + self.newest, self.fields * (2 + self.panes))
            frame.whole[at + 1] = frame.whole[at] % self.panes
        self.merge_closed(frame, at)

    def close(self, frame: Frame, at: int) -> None:
        """Put the newest pane into the ring, and let an empty one follow it.

        Every pane of a full turn takes in the later ones, save the first, which is out of the window.
        """
        newest = at + self.newest
        pane = at + self.ring + self.fields * frame.whole[at + 1]
        frame.whole[at + 1] += 1
        if frame.whole[at + 1] < self.panes:
            self.pane.merge(frame, pane, newest, pane + self.fields)
            self.pane.copy(frame, newest, pane)
        else:
            frame.whole[at + 1] = 0
            self.pane.copy(frame, newest, pane)
            for _ in range(2, self.panes):
                pane -= self.fields
                self.pane.merge(frame, pane, pane + self.fields, pane)
            self.pane.clear(frame, at + self.ring, self.fields)
        self.pane.clear(frame, newest, self.fields)

    def merge_closed(self, frame: Frame, at: int) -> None:
        """Merge all panes but the newest: those of the last turn that are still in the window, then those of this."""
        turned = at + self.ring + self.fields * frame.whole[at + 1]
        if frame.whole[at + 1] + 1 < self.panes:
            self.pane.merge(frame, turned + self.fields, turned, at + self.closed)
        else:
            self.pane.copy(frame, turned, at + self.closed)

    def add(self, frame: Frame, at: int, value: float) -> None:
        """Count a value into the pane of the row's own time."""
        back = 0 if frame.time == frame.now else frame.whole[at] - frame.time // self.pane_us
        if back == 0:
            self.pane.grow(frame, at + self.newest, value)
        elif back < self.panes:
            self.add_late(frame, at, value, back)

    def add_late(self, frame: Frame, at: int, value: float, back: int) -> None:
        """Count a value into a pane so many behind the newest, and into all that was made of it."""
        ring, newest = at + self.ring, frame.whole[at + 1]
        if back <= newest:
            turned = ring + self.fields * newest
            self.pane.grow(frame, turned - self.fields * back, value)
            self.pane.clear(frame, turned, self.fields)
            for place in range(newest):
                self.pane.merge(frame, turned, ring + self.fields * place, turned)
        else:
            for place in range(newest + 1, newest - back + self.panes + 1):
                self.pane.grow(frame, ring + self.fields * place, value)
        self.merge_closed(frame, at)

    def merge_all(self, frame: Frame, at: int) -> float:
        """Merge the whole window into the scratch pane; its count."""
        self.pane.merge(frame, at + self.closed, at + self.newest, 0)
        return frame.floats[0]


class Statistics(Action):
    """An action that tells statistics of a window, once the window is put together in the scratch pane.

    A statistic is missing below `min_count` values, save the count itself; the standard deviation (ddof 1) also at
    one.
    """

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(inputs[0] if inputs else -1, target)
        statistics = tuple(constants["statistics"])
        if unknown := set(statistics) - set(STATISTICS):
            raise ValueError(f"unknown statistics {sorted(unknown)}")
        self.min_count = counted(constants)
        self.pane = Pane(statistics)
        self.told: Any = memoryview(bytes(self.pane.field(name) for name in statistics))
        self.width = len(statistics)
        self.only_counts = set(statistics) <= {"count"}

    def tell(self, frame: Frame, present: bool) -> None:  # noqa: FBT001  # a C method has no keywords
        """Write the statistics; `present` says whether the row's own value is in the window."""
        enough = frame.floats[0] >= self.min_count
        # A row whose own value is missing has a missing input, however full its window is.
        if present and not enough and not self.only_counts:
            frame.warm = False
        if self.pane.moments:
            count, squares = frame.floats[0], frame.floats[self.pane.moments + 1]
            # Beyond the largest number, squares may turn negative.
            spread = math.sqrt(squares / (count - 1.0)) if count > 1.0 and squares >= 0.0 else NAN
            frame.floats[self.pane.moments + 1] = spread
        for place in range(self.width):
            field = self.told[place]
            frame.registers[self.target + place] = frame.floats[field] if enough or field == 0 else NAN


class Panes(Statistics):
    """The operation `panes`: statistics of a column, or with no column the count of rows, over one window."""

    def __init__(self, constants: Mapping[str, Any], inputs: Sequence[int], target: int) -> None:
        super().__init__(constants, inputs, target)
        self.window = PaneWindow(constants, self.pane)
        self.words = self.window.words
        self.horizon = self.window.horizon

    def step(self, frame: Frame) -> None:
        """Move the window, let the row in, and tell its statistics."""
        at = frame.base + self.at
        value = frame.registers[self.source] if self.source >= 0 else 1.0
        # An earlier feature may have written an infinite number, which stands for a missing one.
        present = value - value == 0.0
        self.window.move(frame, at)
        if present:
            self.window.add(frame, at, value)
        self.window.merge_all(frame, at)
        self.tell(frame, present)

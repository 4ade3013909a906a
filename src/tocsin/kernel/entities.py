"""Which entity holds which slab: a bounded number of places, given up and taken with care.

While all places are taken, a name that was never seen is let in on its second row: a flood of names that come once
cannot drive out those that come again. The place it takes is that of the entity longest unheard of.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

LATE = 1
"""The row came after a later one of its entity: it enters windows at its own time, and they end at the later."""
TOO_LATE = 2
"""Later than anything is remembered: the row is computed as if it were its entity's first, and moves nothing."""
NOT_ADMITTED = 4
"""There was no place for the entity: the row is computed as if it were its first, and nothing is kept."""
COLD = 8
"""The entity was given up or refused a short while ago, or a namesake by hash: its windows may lack what they held."""
STEPPED_BACK = 16
"""The entity's clock went back for good: its state begins anew with this row."""

STEP_ROWS = 8
"""Rows in a row that are too late before the entity's clock is believed to have been set back."""
_HASH_KEY = b"tocsin.entity.1"
_CELLS = 65_536
_LOW = 2**32 - 1
"""The half of a cell that holds a time."""
_TICK = 2**22
"""Microseconds: 2^32 ticks are 571 years."""
_NOON = 2**31
"""The tick of 1970."""
_NEVER = -_NOON * _TICK


class Entities:
    """Names to places.

    Parameters
    ----------
    limit
        How many entities hold state at once, 0 for none. The place after the last is for rows that must leave no trace.
    horizon
        Microseconds after which an entity's state has no effect.
    """

    def __init__(self, limit: int, horizon: int) -> None:
        self.limit = limit
        self.horizon = horizon
        self.places: dict[Any, int] = {}
        self.names: list[Any] = []
        # One more for the ends of the chain, which runs from the newest (before) to the oldest (after).
        self.before: Any = np.zeros(limit + 1, dtype=np.int64).data
        self.after: Any = np.zeros(limit + 1, dtype=np.int64).data
        self.before[limit] = self.after[limit] = limit
        self.last: Any = np.zeros(limit + 1, dtype=np.int64).data
        self.late_rows: Any = np.zeros(limit + 1, dtype=np.int64).data
        self.cold_until: Any = np.zeros(limit + 1, dtype=np.int64).data
        self.refused: Any = np.zeros(_CELLS, dtype=np.uint64).data
        """Of the names that share a cell: a hash of the last one refused, and when all that any of them lost is old."""
        self.hashed = 0
        self.now = 0
        self.marks = 0
        self.fresh = False
        self.evicted_idle = 0
        self.evicted_active = 0

    def __len__(self) -> int:
        return len(self.names)

    def place(self, name: Any, time: int) -> int:
        """The place of a row's entity; sets `now`, its latest time, `marks`, and `fresh` if the slab must be zero."""
        self.marks = 0
        self.fresh = False
        self.now = time
        found = self.places.get(name, -1)
        place = self.admit(name, time) if found < 0 else found
        if place == self.limit:
            self.marks, self.fresh = NOT_ADMITTED, True
            return place
        if self.after[self.limit] != place:
            self.move_to_front(place)
        if not self.fresh and time < self.last[place]:
            place = self.come_late(place, time)
            if place == self.limit:
                return place
        else:
            # What is so old has no effect, and must have none on repeats either, whether it was given up or not.
            if time - self.last[place] >= self.horizon:
                self.fresh = True
            self.last[place] = time
        self.late_rows[place] = min(self.late_rows[place], 0)
        if self.now < self.cold_until[place]:
            self.marks |= COLD
            self.come_early(place)
        return place

    def come_early(self, place: int) -> None:
        """Judge a row of an entity that lost later ones: after a few, its clock is believed to have been set back."""
        if self.cold_until[place] - self.now <= 2 * self.horizon:
            return
        self.late_rows[place] -= 1
        if self.late_rows[place] == -STEP_ROWS:
            self.late_rows[place] = 0
            self.cold_until[place] = self.now + self.horizon

    def come_late(self, place: int, time: int) -> int:
        """Judge a row that is older than its entity's latest; the place where it is computed."""
        latest = self.last[place]
        if latest - time < self.horizon:
            self.marks = LATE
            self.now = latest
            return place
        self.late_rows[place] = max(self.late_rows[place], 0) + 1
        self.fresh = True
        if self.late_rows[place] < STEP_ROWS:
            self.marks = TOO_LATE
            return self.limit
        self.marks = STEPPED_BACK
        self.last[place] = time
        self.cold_until[place] = min(self.cold_until[place], time + self.horizon)
        return place

    def admit(self, name: Any, time: int) -> int:
        """A place for a new entity, or the place that leaves no trace."""
        if self.limit == 0:
            return 0
        place = len(self.names)
        lost = _NEVER
        if place < self.limit:
            self.names.append(name)
        else:
            place = self.before[self.limit]
            active = self.last[place] + self.horizon > time
            cell = self.cell(name)
            if active and self.refused[cell] >> 32 != self.hashed:
                self.lose(cell, time)
                self.refused[cell] = self.hashed << 32 | self.refused[cell] & _LOW
                return self.limit
            self.refused[cell] &= _LOW
            lost = self.lost_until(cell)
            self.give_up(place, active)
            self.names[place] = name
        self.places[name] = place
        self.late_rows[place] = 0
        self.cold_until[place] = lost
        self.fresh = True
        self.link(place)
        return place

    def give_up(self, place: int, active: bool) -> None:  # noqa: FBT001  # a C method has no keywords
        """Take an entity's place; if it comes again soon, it will miss what its windows held."""
        del self.places[self.names[place]]
        self.unlink(place)
        self.lose(self.cell(self.names[place]), self.last[place])
        if active:
            self.evicted_active += 1
        else:
            self.evicted_idle += 1

    def cell(self, name: Any) -> int:
        """Where it is noted what a name without a place lost; sets `hashed`."""
        digest = blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8, key=_HASH_KEY).digest()
        number = int.from_bytes(digest, "little")
        # Never 0, which is in a cell where none was refused.
        self.hashed = number >> 32 | 1
        return number % _CELLS

    def lose(self, cell: int, time: int) -> None:
        """Note that a row of this time is lost to the names of a cell."""
        tick = min(max((time + self.horizon) // _TICK + 1 + _NOON, 0), _LOW)
        if tick > self.refused[cell] & _LOW:
            self.refused[cell] += tick - (self.refused[cell] & _LOW)

    def lost_until(self, cell: int) -> int:
        """When all that the names of a cell lost is old."""
        until: int = (self.refused[cell] & _LOW) * _TICK + _NEVER
        return until

    def by_silence(self) -> list[int]:
        """The places that are taken, that of the entity longest unheard of first."""
        places = []
        place = self.before[self.limit]
        while place != self.limit:
            places.append(place)
            place = self.before[place]
        return places

    def settle(self, names: Sequence[Any]) -> None:
        """Give entities places where there is none yet, the one longest unheard of first."""
        for name in names:
            place = len(self.names)
            self.names.append(name)
            self.places[name] = place
            self.link(place)

    def keep(self) -> tuple[list[Any], list[NDArray[Any]]]:
        """All that is known of them now, for `give_back`."""
        return list(self.names), [np.array(column) for column in self.columns()]

    def give_back(self, names: list[Any], columns: list[NDArray[Any]]) -> None:
        """Stand as when `keep` was asked; those that were given up since stay counted."""
        self.names[:] = names
        self.places.clear()
        self.places.update((name, place) for place, name in enumerate(names))
        for column, kept in zip(self.columns(), columns, strict=True):
            column[:] = kept

    def columns(self) -> list[NDArray[Any]]:
        """Every array of numbers, as a view."""
        return [
            np.asarray(self.before),
            np.asarray(self.after),
            np.asarray(self.last),
            np.asarray(self.late_rows),
            np.asarray(self.cold_until),
            np.asarray(self.refused),
        ]

    def miss(self, name: Any, last: int) -> None:
        """There is no place for an entity that had one until its last row: if it comes again soon, it lacks that."""
        self.lose(self.cell(name), last)

    def imitate(self, other: Entities, name: Any) -> int:
        """Hold at the one place what others hold of a name, or would give up for it; its place there, -1 if none.

        Rows of this name find then what they would find there, as long as no other name comes.
        """
        self.places.clear()
        self.names.clear()
        self.before[self.limit] = self.after[self.limit] = self.limit
        found = other.places.get(name, -1)
        held = found
        if found < 0:
            if len(other.names) < other.limit:
                return found
            cell = self.cell(name)
            self.refused[cell] = other.refused[cell]
            held = other.before[other.limit]
        self.settle([other.names[held]])
        self.last[0] = other.last[held]
        self.late_rows[0] = other.late_rows[held]
        self.cold_until[0] = other.cold_until[held]
        return found

    def move_to_front(self, place: int) -> None:
        """Make it the newest."""
        self.unlink(place)
        self.link(place)

    def unlink(self, place: int) -> None:
        """Take it out of the chain."""
        self.after[self.before[place]] = self.after[place]
        self.before[self.after[place]] = self.before[place]

    def link(self, place: int) -> None:
        """Put it into the chain as the newest."""
        newest = self.after[self.limit]
        self.before[place] = self.limit
        self.after[place] = newest
        self.before[newest] = place
        self.after[self.limit] = place

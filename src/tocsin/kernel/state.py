"""What a kernel remembers: one slab per entity, and the loop that takes rows through the program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tocsin.kernel.entities import Entities
from tocsin.kernel.frame import SCRATCH, Frame
from tocsin.kernel.plan import Plan

WARMING_UP = 32
"""A value of the row is missing because its window held fewer rows than declared."""
REPEATED = 64
"""The row's key is one of the last of its entity: it moves nothing, and none of its values is told."""
NAN = float("nan")


class Kept(NamedTuple):
    """What some entities were, and all names and places."""

    names: list[Any]
    columns: list[NDArray[Any]]
    places: list[int]
    slabs: NDArray[np.int64]


class KernelState:
    """The state of a program, for a bounded number of entities; made by `Kernel.start`.

    Parameters
    ----------
    plan
        What is done to every row.
    limit
        How many entities hold state at once.

    Attributes
    ----------
    lock
        Held while rows go through, by whoever takes them.
    """

    def __init__(self, plan: Plan, limit: int) -> None:
        self.lock = Lock()
        self.program = plan.fingerprint
        self.actions = list(plan.actions)
        self.repeats = plan.repeats
        self.words = plan.words
        self.entities = Entities(limit if plan.words else 0, plan.horizon)
        self.memory = np.zeros(SCRATCH + self.words * (self.entities.limit + 1), dtype=np.int64)
        self.frame = Frame(self.memory, np.zeros(max(plan.registers, 1)))
        loads = np.array([load.register for load in plan.loads], dtype=np.int64)
        stores = np.array(plan.stores, dtype=np.int64)
        self.loads: Any = loads.data
        self.stores: Any = stores.data
        self.outputs = np.empty(len(stores))
        self.told: Any = self.outputs.data

    def __len__(self) -> int:
        return len(self.entities)

    @property
    def slabs(self) -> NDArray[np.int64]:
        """A row of words for every place, the last for rows that leave no trace; a view."""
        return self.memory[SCRATCH:].reshape(self.entities.limit + 1, self.words)

    def keep(self, names: Iterable[Any]) -> Kept:
        """What rows of these entities may change, to be given back if they are not to have come.

        That is what is known of them, and of as many that may be given up for them.
        """
        entities, wanted = self.entities, set(names)
        places = [entities.places[name] for name in wanted if name in entities.places]
        if len(entities.names) + len(wanted) - len(places) > entities.limit:
            places = list({*places, *entities.by_silence()[: len(wanted)]})
        return Kept(*entities.keep(), places, self.slabs[places])

    def give_back(self, kept: Kept) -> None:
        """Remember what `keep` told, and nothing that came since."""
        self.entities.give_back(kept.names, kept.columns)
        self.slabs[kept.places] = kept.slabs

    def step(self, name: Any, time: int, row: Sequence[float]) -> int:
        """Take one row; its features are in `outputs` until the next one, the answer are its marks.

        Raises
        ------
        ValueError
            If it has more or fewer values than are loaded; nothing has moved then.
        """
        if len(row) != len(self.loads):
            raise ValueError(f"{len(row)} values, wanted {len(self.loads)}")
        for place in range(len(self.loads)):
            self.frame.registers[self.loads[place]] = row[place]
        marks = self.compute(name, time)
        for place in range(len(self.stores)):
            value = self.frame.registers[self.stores[place]]
            self.told[place] = value if value - value == 0.0 else NAN
        return marks

    def run(self, names: Sequence[Any] | None, times: Any, rows: Any, out: Any, marks: Any) -> None:
        """Take rows one after the other.

        Parameters
        ----------
        names
            The entity of each row, or None where all rows are of one.
        times
            (n,) int64, microseconds.
        rows
            (n, loads) float64.
        out
            (n, stores) float64, written.
        marks
            (n,) uint8, written.
        """
        for row in range(len(marks)):
            marks[row] = self.take(row, "" if names is None else names[row], times, rows, out)

    def peek(  # noqa: PLR0913, PLR0917  # what `run` takes, and whose state is looked at
        self,
        live: KernelState,
        order: Any,
        begins: Any,
        names: Sequence[Any] | None,
        times: Any,
        rows: Any,
        out: Any,
        marks: Any,
    ) -> None:
        """Take rows as if they came next to another state, which stays as it is; this one has a single place.

        Parameters
        ----------
        live
            A state of the same program.
        order
            (n,) int64, which row is taken when.
        begins
            (n,) uint8, by `order`: whether nothing of this request came before to the row's entity.
        names, times, rows, out, marks
            As `run` has them.
        """
        for place in range(len(order)):
            row = order[place]
            name = "" if names is None else names[row]
            if begins[place] and self.words:
                self.imitate(live, name)
            marks[row] = self.take(row, name, times, rows, out)

    def imitate(self, live: KernelState, name: Any) -> None:
        """Remember of one entity what another state does, and of others nothing."""
        found = self.entities.imitate(live.entities, name)
        if found >= 0:
            start = SCRATCH + self.words * found
            self.frame.whole[SCRATCH : SCRATCH + self.words] = live.frame.whole[start : start + self.words]

    def take(self, row: int, name: Any, times: Any, rows: Any, out: Any) -> int:
        """Take one row of many, and write its features; the answer are its marks."""
        for place in range(len(self.loads)):
            self.frame.registers[self.loads[place]] = rows[row, place]
        marks = self.compute(name, times[row])
        for place in range(len(self.stores)):
            value = self.frame.registers[self.stores[place]]
            out[row, place] = value if value - value == 0.0 else NAN
        return marks

    def compute(self, name: Any, time: int) -> int:
        """Let the actions take the row that lies in the registers."""
        frame = self.frame
        frame.warm = True
        frame.time = frame.now = time
        marks = 0
        if self.words:
            place = self.entities.place(name, time)
            marks = self.entities.marks
            frame.base = SCRATCH + self.words * place
            frame.now = self.entities.now
            if self.entities.fresh:
                for word in range(frame.base, frame.base + self.words):
                    frame.whole[word] = 0
        if self.repeats is not None:
            self.repeats.step(frame)
            if self.repeats.found:
                for place in range(len(self.stores)):
                    frame.registers[self.stores[place]] = NAN
                return marks | REPEATED
        for action in self.actions:
            action.step(frame)
        return marks if frame.warm else marks | WARMING_UP

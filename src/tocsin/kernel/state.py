"""State per entity: what the stateful operations remember, for a bounded number of entities."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tocsin import observe

Cells = tuple[Any, ...]
"""One cell per stateful operation of the program, in program order."""


class _Entity:
    __slots__ = ("cells", "last")

    def __init__(self, cells: Cells, last: int) -> None:
        self.cells = cells
        self.last = last


class KernelState:
    """What a kernel remembers between batches.

    Parameters
    ----------
    program
        Fingerprint of the program whose operations the cells belong to.
    entities
        How many entities hold state; one more, and the least recently seen is given up and counted.
    new_cells
        Makes one empty cell each.
    """

    def __init__(self, program: str, entities: int, new_cells: Sequence[Callable[[], Any]]) -> None:
        self.program = program
        self._limit = entities
        self._new_cells = tuple(new_cells)
        self._entities: OrderedDict[object, _Entity] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entities)

    def locate(self, entities: Iterable[object], times: Iterable[int]) -> tuple[list[Cells], list[int]]:
        """Each row's cells and its effective time: its own, or its entity's latest if it comes late.

        Rows are taken in order, so the entity given up for a new one is the same however rows are cut into batches.
        """
        known, limit = self._entities, self._limit
        cells: list[Cells] = []
        effective: list[int] = []
        late = evicted = 0
        for name, time in zip(entities, times, strict=False):
            entity = known.get(name)
            if entity is None:
                if len(known) >= limit:
                    known.popitem(last=False)
                    evicted += 1
                entity = known[name] = _Entity(tuple(new() for new in self._new_cells), time)
            else:
                known.move_to_end(name)
                if time < entity.last:
                    late += 1
                else:
                    entity.last = time
            cells.append(entity.cells)
            effective.append(entity.last)
        if late:
            observe.rows_late(late)
        if evicted:
            observe.entities_evicted("limit", evicted)
        return cells, effective

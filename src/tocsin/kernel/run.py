"""Runs a program over rows: the one place where a feature gets its value, in history and on the stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from tocsin.errors import IntegrityError, SchemaError, did_you_mean
from tocsin.kernel.columns import Calendar, HashOneHot, Log1p, OneHot, Ratio
from tocsin.kernel.decay import Decay
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.rates import Rate
from tocsin.kernel.scores import ZScore
from tocsin.kernel.state import Cells, KernelState
from tocsin.kernel.values import ValuePanes
from tocsin.kernel.windows import Panes
from tocsin.records import Batch, Column, Mask, Matrix, Times


class Stateless(Protocol):
    """An operation that sees one row at a time."""

    reads: np.dtype[Any]
    arity: tuple[int, ...]
    width: int

    def run(self, inputs: Sequence[Column], out: Matrix) -> None:
        """Write (n, width) into `out`."""


class Stateful(Protocol):
    """An operation that remembers earlier rows of the entity."""

    reads: np.dtype[Any]
    arity: tuple[int, ...]
    width: int

    def new_cell(self) -> Any:
        """What an entity that was never seen holds."""

    def run(self, cells: Sequence[Any], times: Times, inputs: Sequence[Column], out: Matrix, warm: Mask) -> None:
        """Move the cells row by row, write (n, width) into `out` and False into `warm` where it is warming up."""


_STATELESS: Mapping[str, Callable[[Mapping[str, Any]], Stateless]] = {
    "log1p": Log1p,
    "ratio": Ratio,
    "calendar": Calendar,
    "one_hot": OneHot,
    "hash_one_hot": HashOneHot,
}
_STATEFUL: Mapping[str, Callable[[Mapping[str, Any]], Stateful]] = {
    "panes": Panes,
    "rate": Rate,
    "value_panes": ValuePanes,
    "zscore": ZScore,
    "decay": Decay,
}


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """What a program makes of the rows of a batch."""

    values: Matrix
    """(n, len(program.outputs)) float64; NaN = missing, or not warm yet."""
    warm: Mask
    """(n,) False where a value is NaN because its window held fewer rows than declared, not because one was missing."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """What stateful operations need of a batch beside their inputs."""

    cells: list[Cells]
    times: Times
    warm: Mask


@dataclass(frozen=True, slots=True)
class _Step:
    inputs: tuple[str, ...]
    target: slice | list[int]
    """Where its columns go in the table."""
    apply: Callable[[_Rows, Sequence[Column], Matrix], None]


class Kernel:
    """Runs one program.

    Parameters
    ----------
    program
        What to compute; it may come from a file and is checked before anything runs.
    entities
        How many entities hold state at once. Each takes, at most, about 1.3 kB per column and window of 12 panes;
        where values are counted, 12 times the limit of values.

    Raises
    ------
    IntegrityError
        If the program names an operation the kernel lacks, or its constants or names do not fit together.
    """

    def __init__(self, program: Program, *, entities: int = 20_000) -> None:
        self.program = program
        self._entities = entities
        self._fingerprint = program.fingerprint
        written = [name for operation in program.operations for name in operation.outputs]
        hidden = [name for name in written if name not in set(program.outputs)]
        self._position = {name: position for position, name in enumerate([*program.outputs, *hidden])}
        self._written = frozenset(written)
        if len(self._written) < len(written) or len(self._position) < len(program.outputs) + len(hidden):
            raise IntegrityError("program", "a column that is written twice", "each name once")
        self._reads: dict[str, np.dtype[Any]] = {
            name: np.dtype(np.float64) for name in program.outputs if name not in self._written
        }
        self._raw = tuple(self._reads)
        self._stateful: list[Stateful] = []
        self._steps = [self._step(number, operation) for number, operation in enumerate(program.operations)]
        if self._stateful:
            if program.time is None:
                raise IntegrityError("program", "a window or a rate without a clock", "the name of the time column")
            self._reads[program.time] = np.dtype(np.int64)

    def start(self) -> KernelState:
        """The state of a kernel that has seen no row."""
        return KernelState(self._fingerprint, self._entities, [action.new_cell for action in self._stateful])

    def run(self, batch: Batch, state: KernelState) -> FeatureMatrix:
        """Compute the features of rows in arrival order, and advance the state.

        Any cut of the rows into batches gives the same bits as one pass. A late row counts as arriving at its
        entity's latest time.

        Raises
        ------
        SchemaError
            If a column is absent or was not typed by the schema; the state is then untouched.
        """
        if state.program != self._fingerprint:
            raise ValueError("this state belongs to another program: make one with start()")
        width = len(self.program.outputs)
        if not batch.rows:
            return FeatureMatrix(np.empty((0, width)), np.ones(0, dtype=bool))
        self._check(batch)
        table = np.empty((batch.rows, len(self._position)))
        for name in self._raw:
            table[:, self._position[name]] = batch[name]
        rows = self._locate(batch, state)
        for step in self._steps:
            inputs = [table[:, self._position[name]] if name in self._written else batch[name] for name in step.inputs]
            out = table[:, step.target]
            step.apply(rows, inputs, out)
            if isinstance(step.target, list):  # then `out` is a copy, and no view of the table
                table[:, step.target] = out
        return FeatureMatrix(np.ascontiguousarray(table[:, :width]), rows.warm)

    def _step(self, number: int, operation: Operation) -> _Step:
        where = f"program operation {number} ({operation.kind})"
        if operation.kind not in _STATELESS.keys() | _STATEFUL.keys():
            raise IntegrityError(where, "an unknown kind", f"one of: {', '.join([*_STATELESS, *_STATEFUL])}")
        action: Stateless | Stateful
        try:
            if operation.kind in _STATELESS:
                action = _STATELESS[operation.kind](operation.constants)
                apply = _without_state(action)
            else:
                action = _STATEFUL[operation.kind](operation.constants)
                apply = _with_state(action, len(self._stateful))
                self._stateful.append(action)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(where, f"constants that do not fit: {error}") from error
        if action.width != len(operation.outputs) or not operation.outputs:
            raise IntegrityError(where, f"{len(operation.outputs)} outputs", str(action.width or "at least one"))
        if len(operation.inputs) not in action.arity:
            raise IntegrityError(where, f"{len(operation.inputs)} inputs", f"{' or '.join(map(str, action.arity))}")
        self._note_reads(where, number, operation, action.reads)
        positions = [self._position[name] for name in operation.outputs]
        together = positions == list(range(positions[0], positions[0] + len(positions)))
        target = slice(positions[0], positions[-1] + 1) if together else positions
        return _Step(operation.inputs, target, apply)

    def _note_reads(self, where: str, number: int, operation: Operation, dtype: np.dtype[Any]) -> None:
        ready = {name for earlier in self.program.operations[:number] for name in earlier.outputs}
        for name in operation.inputs:
            if name in self._written and (name not in ready or dtype != np.float64):
                raise IntegrityError(where, f'"{name}" before it is written, or as {dtype}', "an earlier number")
            if name not in self._written and self._reads.setdefault(name, dtype) != dtype:
                raise IntegrityError(where, f'"{name}" as {dtype}', f"{self._reads[name]}, as elsewhere in the program")

    def _check(self, batch: Batch) -> None:
        entity = self.program.entity if self._stateful else None
        for name in (*self._reads, *([entity] if entity is not None else [])):
            if name not in batch:
                wanted = "every column the features read"
                raise SchemaError("batch", f'no column "{name}"', wanted, did_you_mean(name, batch))
            dtype = self._reads.get(name)
            if dtype is not None and batch[name].dtype != dtype:
                raise SchemaError(
                    f"batch column {name}", str(batch[name].dtype), str(dtype), "pass rows through Schema.split first"
                )

    def _locate(self, batch: Batch, state: KernelState) -> _Rows:
        warm = np.ones(batch.rows, dtype=bool)
        if not self._stateful or self.program.time is None:
            return _Rows([], np.empty(0, dtype=np.int64), warm)
        names = repeat("") if self.program.entity is None else _names(batch[self.program.entity])
        cells, times = state.locate(names, batch[self.program.time].tolist())
        return _Rows(cells, np.array(times, dtype=np.int64), warm)


def _without_state(action: Stateless) -> Callable[[_Rows, Sequence[Column], Matrix], None]:
    return lambda _, inputs, out: action.run(inputs, out)


def _with_state(action: Stateful, cell: int) -> Callable[[_Rows, Sequence[Column], Matrix], None]:
    return lambda rows, inputs, out: action.run(
        [cells[cell] for cells in rows.cells], rows.times, inputs, out, rows.warm
    )


def _names(column: Column) -> list[Any]:
    # As text, a missing number is equal to another one, and so they are one entity.
    return column.tolist() if column.dtype == object else [str(value) for value in column.tolist()]

"""Takes rows through a program: the one place where a feature gets its value, in history and on the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin import observe
from tocsin.errors import IntegrityError, SchemaError, did_you_mean
from tocsin.kernel.encoders import keys
from tocsin.kernel.entities import COLD, LATE, NOT_ADMITTED, STEPPED_BACK, TOO_LATE
from tocsin.kernel.plan import WORD_BYTES, Plan
from tocsin.kernel.program import Program
from tocsin.kernel.state import REPEATED, WARMING_UP, Kept, KernelState
from tocsin.records import Batch, Column, Mask, Matrix

ENTITY_BYTES = 220
"""What a name and its place take beside the slab."""
MAX_STATE_WORDS = 2**37
MAX_TIME_US = 2**58
"""9,000 years before and after 1970: differences of such times and the longest windows stay within 64 bits."""
_COUNTED = {
    LATE: "late",
    TOO_LATE: "too_late",
    NOT_ADMITTED: "not_admitted",
    COLD: "cold",
    STEPPED_BACK: "clock_stepped_back",
    REPEATED: "repeated",
}


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """What a program makes of the rows of a batch."""

    values: Matrix
    """(n, len(program.outputs)) float64; NaN = missing, or not warm yet."""
    marks: NDArray[np.uint8]
    """(n,) what else is to be known of a row, a bit each: see `tocsin.kernel.entities` and `tocsin.kernel.state`."""

    @property
    def warm(self) -> Mask:
        """(n,) False where a value is NaN because its window held fewer rows than declared, or the row is a repeat."""
        warm: Mask = (self.marks & (WARMING_UP | REPEATED)) == 0
        return warm

    @property
    def unsure(self) -> Mask:
        """(n,) True where windows may lack rows that came before: the entity was given up, or had no place."""
        unsure: Mask = (self.marks & (COLD | NOT_ADMITTED | TOO_LATE)) != 0
        return unsure


class Kernel:
    """Runs one program.

    Parameters
    ----------
    program
        What to compute; it may come from a file and is checked before anything runs.
    entities
        How many entities hold state at once.

    Raises
    ------
    IntegrityError
        If the program names an operation the kernel lacks, or its constants or names do not fit together.
    """

    def __init__(self, program: Program, *, entities: int = 20_000) -> None:
        self.program = program
        self.plan = Plan(program)
        self.bound(entities)
        self._encodes = any(load.encoder is not None for load in self.plan.loads)

    def bound(self, entities: int) -> None:
        """So many entities hold state at once, in every state that begins from now on; raises IntegrityError."""
        if self.plan.words * entities > MAX_STATE_WORDS:
            got = f"{entities:,} entities of {self.plan.words * WORD_BYTES:,} bytes"
            raise IntegrityError("program", got, "at most a tebibyte", "lower limits.entities, or take fewer panes")
        self.entities = entities

    @property
    def bytes_per_entity(self) -> int:
        """Memory that an entity takes, known before the first row."""
        return self.plan.words * WORD_BYTES + ENTITY_BYTES if self.plan.words else 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns whose values `step` takes, in order; parts of a key are one value, a tuple."""
        return tuple(" ".join(load.columns) for load in self.plan.loads)

    def start(self) -> KernelState:
        """The state of a kernel that has seen no row."""
        return KernelState(self.plan, self.entities)

    def run(self, batch: Batch, state: KernelState) -> FeatureMatrix:
        """Compute the features of rows in arrival order, and advance the state.

        Any cut of the rows into batches gives the same bits as one pass.

        Raises
        ------
        SchemaError
            If a column is absent or was not typed by the schema; the state is then untouched.
        """
        self._expect_own(state)
        with state.lock:
            given_up = _given_up(state)
            matrix = self._compute(batch, state)
            _tell(matrix.marks, state, given_up)
        return matrix

    def keep(self, batch: Batch, state: KernelState) -> Kept:
        """What `run` may change of a state with these rows, for `give_back`; raises as `run` does."""
        self._expect_own(state)
        return state.keep(self._names(batch) or ("",))

    def give_back(self, kept: Kept, state: KernelState) -> None:
        """Let the state be as when `keep` was asked, however far rows have gone through since."""
        with state.lock:
            state.give_back(kept)

    def peek(
        self, batch: Batch, state: KernelState | None = None, groups: Sequence[Any] | None = None
    ) -> FeatureMatrix:
        """The features that rows would have if they came next; nothing is remembered or counted of them.

        Rows of one entity follow each other within their group, and no row has a say in those of other entities or
        groups. Any thread may ask, also while another takes rows through the state.

        Parameters
        ----------
        batch
            As `run` takes it.
        state
            Of this kernel; by default, one that has seen no row.
        groups
            (n,) whatever can be a key of a dictionary; by default all rows are of one group.

        Raises
        ------
        SchemaError
            As `run` does.
        """
        live = self._blank if state is None else state
        self._expect_own(live)
        values, marks = np.empty((batch.rows, len(self.program.outputs))), np.zeros(batch.rows, dtype=np.uint8)
        if batch.rows:
            self._check(batch)
            names, times, rows = self._names(batch), self._times(batch), self._rows(batch)
            order, begins = _one_after_the_other(names, groups, batch.rows)
            scratch = self._scratch
            with scratch.lock, live.lock:
                scratch.peek(live, order, begins, names, times, rows, values, marks)
        return FeatureMatrix(values, marks)

    @cached_property
    def _scratch(self) -> KernelState:
        # Actions keep what they are about to tell in themselves: those of another thread must be others.
        return KernelState(Plan(self.program), 1)

    @cached_property
    def _blank(self) -> KernelState:
        return KernelState(self.plan, 1)

    def _expect_own(self, state: KernelState) -> None:
        if state.program != self.plan.fingerprint:
            raise ValueError("this state belongs to another program: make one with start()")

    def alone(self, batch: Batch) -> FeatureMatrix:
        """The features of rows that are too late for a stream: each as if it were its entity's only one.

        Raises
        ------
        SchemaError
            As `run` does.
        """
        matrix = self._compute(batch, KernelState(self.plan, 0))
        marks = matrix.marks & WARMING_UP | np.uint8(TOO_LATE)
        if batch.rows:
            observe.rows_marked(_COUNTED[TOO_LATE], batch.rows)
        return FeatureMatrix(matrix.values, marks.astype(np.uint8))

    def _compute(self, batch: Batch, state: KernelState) -> FeatureMatrix:
        values = np.empty((batch.rows, len(self.program.outputs)))
        marks = np.zeros(batch.rows, dtype=np.uint8)
        if batch.rows:
            self._check(batch)
            names, times = self._names(batch), self._times(batch)
            state.run(names, times.data, self._rows(batch).data, values.data, marks.data)
        return FeatureMatrix(values, marks)

    def step(self, state: KernelState, entity: Any, time: int, values: Sequence[Any]) -> int:
        """One row of a stream; its features are in `state.outputs` until the next one, the answer are its marks.

        Parameters
        ----------
        state
            Of this kernel; it moves.
        entity, time
            Whose row, as text, and when (UTC microseconds).
        values
            What the row holds of `inputs`, in that order, typed by the schema.

        Raises
        ------
        ValueError
            If there are more or fewer values, or the time is none; the state is then untouched.
        """
        if self._encodes:
            pairs = zip(self.plan.loads, values, strict=True)
            values = [value if load.encoder is None else load.encoder([value])[0] for load, value in pairs]
        if not -MAX_TIME_US <= time <= MAX_TIME_US:
            raise ValueError(f"time is {time}, wanted microseconds since 1970, within {MAX_TIME_US}")
        return state.step("" if self.program.entity is None else entity, time, values)

    def _check(self, batch: Batch) -> None:
        entity = self.program.entity if self.plan.words else None
        key = self.program.key if self.plan.repeats else ()
        for name in (*self.plan.reads, *([entity] if entity is not None else []), *key):
            if name not in batch:
                wanted = "every column the features read"
                raise SchemaError("batch", f'no column "{name}"', wanted, did_you_mean(name, batch))
            dtype = self.plan.reads.get(name)
            if dtype is not None and batch[name].dtype != dtype:
                raise SchemaError(
                    f"batch column {name}", str(batch[name].dtype), str(dtype), "pass rows through Schema.split first"
                )

    def _names(self, batch: Batch) -> list[Any] | None:
        if self.program.entity is None or not self.plan.words:
            return None
        column: Column = batch[self.program.entity]
        # As text, a missing number is equal to another one, and so they are one entity.
        return column.tolist() if column.dtype == object else [str(value) for value in column.tolist()]

    def _times(self, batch: Batch) -> NDArray[np.int64]:
        if self.program.time not in self.plan.reads:
            return np.zeros(batch.rows, dtype=np.int64)
        times = np.ascontiguousarray(batch[self.program.time])
        if (wrong := (times < -MAX_TIME_US) | (times > MAX_TIME_US)).any():
            got = f"{times[wrong.argmax()]} in row {wrong.argmax()}"
            raise SchemaError(f"batch column {self.program.time}", got, f"microseconds within {MAX_TIME_US}")
        return times

    def _rows(self, batch: Batch) -> Matrix:
        rows = np.empty((batch.rows, len(self.plan.loads)))
        for place, load in enumerate(self.plan.loads):
            if load.encoder is None:
                rows[:, place] = batch[load.columns[0]]
                continue
            columns = [batch[name].tolist() for name in load.columns]
            rows[:, place] = load.encoder(list(zip(*columns, strict=True)) if load.encoder is keys else columns[0])
        return rows


def _one_after_the_other(
    names: Sequence[Any] | None, groups: Sequence[Any] | None, rows: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The rows by group and entity, and where one of these begins."""
    if names is None and groups is None:
        begins = np.zeros(rows, dtype=np.uint8)
        begins[0] = True
        return np.arange(rows), begins
    parts = [part for part in (groups, names) if part is not None]
    keys = parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))
    first: dict[Any, int] = {}
    numbers = np.fromiter(map(first.setdefault, keys, range(rows)), np.int64, rows)
    # Numbers of 16 bits are sorted digit by digit, in half the time.
    order = np.argsort(numbers.astype(np.uint16) if rows <= 1 << 16 else numbers, kind="stable")
    ordered = numbers[order]
    begins = np.ones(rows, dtype=np.uint8)
    begins[1:] = ordered[1:] != ordered[:-1]
    return order, begins


def _tell(marks: NDArray[np.uint8], state: KernelState, before: tuple[int, int]) -> None:
    """Count what became of the rows."""
    if not marks.any() and _given_up(state) == before:
        return
    for mark, name in _COUNTED.items():
        if rows := int(np.count_nonzero(marks & mark)):
            observe.rows_marked(name, rows)
    for reason, now, then in zip(("idle", "limit"), _given_up(state), before, strict=True):
        if now > then:
            observe.entities_evicted(reason, now - then)


def _given_up(state: KernelState) -> tuple[int, int]:
    return state.entities.evicted_idle, state.entities.evicted_active

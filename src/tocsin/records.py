"""The nouns that travel from floor to floor; all of them immutable.

A `Batch` starts as what a source read (text or numbers as they came), and becomes typed columns behind the
schema. Columns whose names begin with an underscore travel beside the data and are never features:

====================  =======  =====================================================================
``_file``             object   where the row was read
``_row``              int64    its position there, counted from 1 in the source's own unit (line, row)
``_label``            int8     1 anomaly, 0 normal, -1 unknown
``_class``            object   the label as text (attack name), "" unknown
====================  =======  =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Times = NDArray[np.int64]
"""Event times, UTC, microseconds since 1970."""

SECOND = 1_000_000
DAY = 86_400 * SECOND

RowState = Literal["ready", "warming_up", "degraded"]
Severity = Literal["low", "medium", "high", "critical"]
Quiet = Literal["", "allowed", "maintenance", "incident", "silenced", "dry_run"]

FILE, ROW, LABEL, CLASS = "_file", "_row", "_label", "_class"
GENERATED = "tocsin_generated"
"""Column that every generated file carries, so that nothing made from it passes for real."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row, or with `row` 0 a whole file, that could not be used, and why."""

    file: str
    row: int
    reason: str
    """One of a small closed set of words: it is also a counter's label."""
    detail: str
    raw: str = ""


LOGARITHM = "log "
"""Begins the unit of a feature that is the logarithm of an amount of the rest of it, and one."""
NOT_SCORED = "not_scored"
"""The reason of a row that fitted the schema, and that a part could not score."""


class Batch(Mapping[str, Column]):
    """Named numpy columns of one length, and the rows that the source could not read.

    Parameters
    ----------
    columns
        One array of shape (n,) per name. They are made read-only, not copied.
    rejected
        Rows that were received but could not become rows of this batch.
    """

    __slots__ = ("_columns", "_rows", "rejected")

    def __init__(self, columns: Mapping[str, Column], rejected: Sequence[Rejected] = ()) -> None:
        lengths = set(map(len, columns.values()))
        if len(lengths) > 1:
            differ = {name: len(column) for name, column in columns.items()}
            raise ValueError(f"columns of one batch differ in length: {differ}")
        self._columns = {name: _read_only(column) for name, column in columns.items()}
        self._rows = lengths.pop() if lengths else 0
        self.rejected = tuple(rejected)

    @property
    def rows(self) -> int:
        """Number of rows. `len(batch)` is the number of columns, as for any mapping."""
        return self._rows

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Batch(rows={self.rows}, columns={list(self._columns)})"

    def take(self, chosen: Mask | NDArray[np.intp] | slice) -> Self:
        """The chosen rows, in the chosen order."""
        return type(self)({name: column[chosen] for name, column in self._columns.items()})

    def replace(self, columns: Mapping[str, Column]) -> Self:
        """The same rows with these columns added or put in place of those of the same name."""
        return type(self)({**self._columns, **columns}, self.rejected)

    @classmethod
    def concatenate(cls, batches: Iterable[Self]) -> Self:
        """One batch of all rows; columns missing in some of them are an error."""
        parts = [batch for batch in batches if batch.rows]
        if not parts:
            return cls({})
        if len(parts) == 1:
            return parts[0]
        return cls({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def filled(text: str, rows: int) -> Column:
    """A column that says the same in every row, (rows,); `np.full` takes twenty times as long over objects."""
    column = np.empty(rows, dtype=object)
    column.fill(text)
    return column


def origins(batch: Batch) -> Column:
    """Where each row was read, (n,), as `file:row`."""
    places = zip(batch[FILE].tolist(), batch[ROW].tolist(), strict=True)
    return np.array([f"{file}:{row}" for file, row in places], dtype=object)


def _read_only(column: Column) -> Column:
    if not column.flags.writeable:
        return column
    view = column.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read: the next thing to read, in the source's own words."""

    source: str
    offsets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of the rows of a batch; every array has shape (n,)."""

    score: Vector
    """Higher = more anomalous."""
    p_value: Vector
    """In (0, 1]; small = more anomalous."""
    flagged: Mask
    state: Column
    """`RowState` as text."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's share in an alert."""

    feature: str
    value: float
    """As the feature was computed, before scaling; NaN if it was missing."""
    usual_low: float
    usual_high: float
    """The 1st and 99th percentile on the training rows."""
    contribution: float
    """In the detector's own unit; higher = pushed the score further up."""
    unit: str = ""
    similar_low: float = nan
    similar_high: float = nan
    """The same among the training rows that are most like this one in everything but what is named."""
    normal: float = nan
    """The value in the one of those rows that is nearest; NaN if all of them lack it."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message to a person: an entity, a time window, how unlikely, and why."""

    id: str
    """Equal for the same cause, whatever model saw it and however often it is replayed."""
    entity: str
    start: int | None
    end: int | None
    """UTC microseconds of the first and last flagged row; None where telemetry has no clock."""
    rows: int
    score: float
    p_value: float
    severity: Severity
    state: RowState
    model: str
    reasons: tuple[Reason, ...]
    origin: str = ""
    """Where the first flagged row was read."""
    generated: bool = False
    confidence: float | None = None
    """The part of a blend, 0 to 1, that finds the strongest of its rows as rare as its most surprised member; None if a
    single detector says so, or if the alert stands for several."""
    cause: str = ""
    """The column of the telemetry that gave most of the first flagged row's score."""
    entities: tuple[str, ...] = ()
    """Of an incident, those that made it one; `entity` is empty then."""
    incident: str = ""
    """The id of the incident that the alert belongs to; of an incident, its own."""
    quiet: Quiet = ""
    """Why it is kept and not delivered; empty if it is delivered."""

    def named(self, name: Callable[[str], str]) -> Self:
        """The same with real names, for a sink whose alerts stay on this machine; `name` reads pseudonyms."""
        return replace(self, entity=name(self.entity), entities=tuple(map(name, self.entities)))


@dataclass(frozen=True, slots=True)
class Judgement:
    """One target of a gate, held against one figure."""

    target: str
    wanted: str
    got: float | str
    passed: bool
    reason: str
    asked: bool = True
    """Whether it could be: a target for labelled rows is not asked of others."""
    soft: bool = False
    """A bound that a person may wave through: missed, it asks for an approval and refuses nothing."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate decided, and why."""

    passed: bool
    judgements: tuple[Judgement, ...]

    @property
    def needs_approval(self) -> bool:
        """Whether a soft bound was missed: nothing refuses the model, but a person has to say yes."""
        return any(item.asked and item.soft and not item.passed for item in self.judgements)

"""Anomalies put into real rows: what a model is tried on where no row is labelled.

Each window of rows that follow each other in one entity is disturbed in one way, by so many robust units of the
entity's own values. What was put in is known row by row, so that it can be counted how much of it is found. It says
nothing of how often such a thing happens, and real incidents look otherwise: take what comes of it for a comparison
of models, and for nothing more. Every touched row says that it was.

Source: the ways are those of Wenig, Schmidl and Papenbrock, TimeEval, PVLDB 15(12), 2022 (GutenTAG); put into real
telemetry, as Goswami et al., Unsupervised Model Selection for Time Series Anomaly Detection, ICLR 2023, choose models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import DataError
from tocsin.records import CLASS, GENERATED, LABEL, Batch, Mask, Vector
from tocsin.schema import Field, Schema

Kind = Literal["spike", "shift", "ramp", "drop", "swap", "mix"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WITHOUT_CLOCK: tuple[Kind, ...] = ("spike", "drop", "swap", "mix")
"""What can befall a row by itself, where nothing says which rows follow each other."""
NORMAL_IQR = 1.349
"""The interquartile range of a standard normal variable."""
MOST_COLUMNS = 3
"""Fields that one window disturbs."""


@dataclass(frozen=True, slots=True)
class Disturbances:
    """What is to be put into rows.

    Parameters
    ----------
    windows
        How many at most; spread evenly.
    length
        The least and the most rows of a window; without a clock each window is a row.
    strength
        The least and the most by which values move, in robust standard deviations of the entity's own values. As
        lengths are, strengths are drawn evenly on a logarithmic scale.
    kinds
        What is done in turn; by default all that makes sense.
    seed
        Of all that is drawn.
    """

    windows: int
    length: tuple[int, int] = (5, 50)
    strength: tuple[float, float] = (2.0, 8.0)
    kinds: tuple[Kind, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Attack:
    """One disturbance that is named beforehand: these fields, all at once."""

    kind: Kind
    fields: tuple[str, ...]
    strength: float
    """As in `Disturbances`."""


@dataclass(frozen=True, slots=True)
class Injected:
    """Rows of which some were disturbed.

    Parameters
    ----------
    batch
        The rows in their order; those disturbed have `_label` 1, `_class` as `injected spike`, and a true
        `tocsin_generated`. Where the rows had no labels, all others are unknown.
    windows
        The number of the window that disturbed each row, (n,), -1 for rows that are as they were.
    kinds
        What was done, by the number of the window.
    """

    batch: Batch
    windows: NDArray[np.intp]
    kinds: tuple[Kind, ...]


def inject(batch: Batch, schema: Schema, plan: Disturbances) -> Injected:
    """Disturb windows that do not touch each other in a copy of typed rows, in time order where there is a clock.

    spike      one row of some fields, up or down; a boolean flips
    shift      all rows of the window, by the same amount
    ramp       the same, growing from row to row
    drop       to zero; a counter stands still
    swap       some fields as another entity had them, or the same at another time
    mix        about half of the fields as they were at another time: each usual, together not

    A counter is disturbed in what it grows by, so that it stays a counter. Values stay within the ranges of the
    schema, and whole where they must be; where nothing would change, nothing counts as disturbed. Rows labelled as
    anomalies are left as they are, with the window that would hold them.

    Raises
    ------
    DataError
        If no numeric field varies.
    """
    line = _Line.of(batch, schema)
    turns = plan.kinds or (KINDS if schema.time else WITHOUT_CLOCK)
    rng, touched, done = np.random.default_rng(plan.seed), np.full(batch.rows, -1), list[Kind]()
    known = np.asarray(batch[LABEL] == 1)[line.order] if LABEL in batch else np.zeros(batch.rows, dtype=bool)
    for turn, start, stop in _spans(rng, line.ends, plan.windows, plan.length if schema.time else (1, 1)):
        kind = turns[turn % len(turns)]
        span = slice(start, start + 1 if kind == "spike" else stop)
        amount = float(np.exp(rng.uniform(*np.log(plan.strength))))
        if not known[span].any() and (changed := line.disturb(rng, kind, span, amount)).any():
            touched[line.order[span][changed]] = len(done)
            done.append(kind)
    return Injected(_marked(batch.replace(line.columns()), touched, done), touched, tuple(done))


def stage(batch: Batch, schema: Schema, attacks: Sequence[Attack], rows: int, seed: int) -> Injected:
    """Put these attacks into a copy of rows without anomalies, one in each of so many equal parts; see `inject`.

    Parameters
    ----------
    batch, schema
        Typed rows, in time order where there is a clock.
    attacks
        In the order in which they come.
    rows
        Of each attack; one without a clock.
    seed
        Of places and directions.

    Raises
    ------
    DataError
        If no numeric field varies.
    """
    line = _Line.of(batch, schema)
    rng, touched = np.random.default_rng(seed), np.full(batch.rows, -1)
    length = (rows, rows) if schema.time else (1, 1)
    for number, start, stop in _spans(rng, line.ends, len(attacks), length):
        attack = attacks[number]
        span = slice(start, start + 1 if attack.kind == "spike" else stop)
        changed = line.disturb(rng, attack.kind, span, attack.strength, attack.fields)
        touched[line.order[span][changed]] = number
    kinds = tuple(attack.kind for attack in attacks)
    return Injected(_marked(batch.replace(line.columns()), touched, kinds), touched, kinds)


def disturbable(batch: Batch, schema: Schema) -> tuple[str, ...]:
    """The numeric fields that vary."""
    return tuple(name for name in schema.numeric if _varies(batch[name]))


def _varies(column: Vector) -> bool:
    present = column[~np.isnan(column)]
    return len(present) > 0 and bool((present != present[0]).any())


def _spans(
    rng: np.random.Generator, ends: NDArray[np.intp], windows: int, length: tuple[int, int]
) -> Iterator[tuple[int, int, int]]:
    """Number, first row and end of each window: one in each of so many equal parts of the rows, within one entity."""
    windows = min(windows, len(ends) // (length[1] + 1))
    edges = np.linspace(0, len(ends), windows + 1).astype(int).tolist()
    for number, (first, last) in enumerate(pairwise(edges)):
        rows = round(float(np.exp(rng.uniform(*np.log(length)))))
        start = int(rng.integers(first, last - rows))
        yield number, start, min(start + rows, int(ends[start]))


def _marked(batch: Batch, touched: NDArray[np.intp], kinds: Sequence[Kind]) -> Batch:
    mask = touched >= 0
    labels = np.array(batch[LABEL] if LABEL in batch else np.full(batch.rows, -1), dtype=np.int8)
    classes = np.array(batch[CLASS] if CLASS in batch else np.full(batch.rows, ""), dtype=object)
    labels[mask] = 1
    classes[mask] = [f"injected {kinds[window]}" for window in touched[mask].tolist()]
    return batch.replace({LABEL: labels, CLASS: classes, GENERATED: mask})


class _Line:
    """The numeric fields with the rows of each entity side by side; counters by what they grow by."""

    def __init__(self, batch: Batch, schema: Schema, fields: Sequence[str]) -> None:
        entities = batch[schema.entity].astype(str) if schema.entity else np.zeros(batch.rows, dtype=int)
        _, codes = np.unique(entities, return_inverse=True)
        self.order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[self.order], np.arange(codes.max() + 2))
        self.begins, self.ends = bounds[codes[self.order]], bounds[codes[self.order] + 1]
        self._fields = {name: schema.fields[name] for name in fields}
        self._before = {name: np.asarray(batch[name], dtype=np.float64)[self.order] for name in fields}
        self._were = {name: self._view(name) for name in fields}
        self._now = {name: values.copy() for name, values in self._were.items()}

    @classmethod
    def of(cls, batch: Batch, schema: Schema) -> Self:
        """All fields that vary; raises DataError if none does."""
        if not (names := disturbable(batch, schema)):
            raise DataError("injection", "no numeric field that varies", "at least one, to disturb it")
        return cls(batch, schema, names)

    def _view(self, name: str) -> Vector:
        values = self._before[name].copy()
        if self._fields[name].kind == "counter":
            values[1:] -= self._before[name][:-1]
            values[self.begins] = 0.0
        return values

    def columns(self) -> dict[str, Vector]:
        """The fields as columns of the batch again."""
        return {name: self._restored(name) for name in self._fields}

    def _restored(self, name: str) -> Vector:
        restored = np.empty(len(self.order))
        if self._fields[name].kind == "counter":
            more = np.cumsum(np.nan_to_num(self._now[name] - self._were[name]))
            at_begin = np.where(self.begins > 0, more[self.begins - 1], 0.0)
            restored[self.order] = self._before[name] + (more - at_begin)
        else:
            restored[self.order] = self._now[name]
        return restored

    def disturb(
        self, rng: np.random.Generator, kind: Kind, span: slice, amount: float, fields: Sequence[str] = ()
    ) -> Mask:
        """Disturb these fields in the rows of a span, or some; which rows are other than they were, (rows,)."""
        chosen = fields or self._some(rng, kind)
        donor = self._donor(rng, span, elsewhere=kind == "swap")
        changed = np.zeros(span.stop - span.start, dtype=bool)
        for name in chosen:
            old = self._now[name][span]
            new = self._moved(rng, name, kind, span, amount) if kind in KINDS[:3] else None
            if new is None:
                new = self._were[name][donor] if kind in ("swap", "mix") else np.where(np.isnan(old), np.nan, 0.0)
            new = self._allowed(self._fields[name], new)
            changed |= ~((new == old) | (np.isnan(new) & np.isnan(old)))
            self._now[name][span] = new
        return changed

    def _some(self, rng: np.random.Generator, kind: Kind) -> list[str]:
        names = list(self._fields)
        most = max(1, len(names) // 2) if kind == "mix" else int(rng.integers(1, min(MOST_COLUMNS, len(names)) + 1))
        return [names[index] for index in rng.choice(len(names), most, replace=False).tolist()]

    def _moved(self, rng: np.random.Generator, name: str, kind: Kind, span: slice, amount: float) -> Vector:
        """Up or down; the other way where the schema's range leaves no room."""
        old, rows, field = self._now[name][span], span.stop - span.start, self._fields[name]
        whole = self._were[name][self.begins[span.start] : self.ends[span.start]]
        shape = np.arange(1, rows + 1) / rows if kind == "ramp" else np.ones(rows)
        way = 1.0 if field.kind == "counter" else float(rng.choice((-1.0, 1.0)))
        step = way * amount * _unit(whole if _varies(whole) else self._were[name]) * shape
        there = self._allowed(field, old + step)
        return old - step if np.nansum(np.abs(there - old)) < np.abs(step).sum() / 2 else there

    def _donor(self, rng: np.random.Generator, span: slice, *, elsewhere: bool) -> NDArray[np.intp]:
        """Rows that follow each other, of another entity if there is one, or of the same at another time."""
        rows, begin, end = span.stop - span.start, int(self.begins[span.start]), int(self.ends[span.start])
        others = len(self.order) - (end - begin)
        if elsewhere and others:
            start = int(rng.integers(others))
            return np.asarray((end + (start + np.arange(rows)) % others) % len(self.order))
        start = int(rng.integers(end - begin))
        return np.asarray(begin + (start + np.arange(rows)) % (end - begin))

    def _allowed(self, field: Field, values: Vector) -> Vector:
        """Within the range of the field and of its kind; a counter never falls."""
        low, high = field.minimum, field.maximum
        if field.kind == "counter":
            low, high = 0.0, None
        elif field.dtype == "boolean":
            low, high = 0.0, 1.0
        clipped = values if low is None and high is None else np.clip(values, low, high)
        return clipped if field.dtype == "float" else np.rint(clipped)


def _unit(values: Vector) -> float:
    """A robust standard deviation, the plain one where half of the values are equal; above 0 for values that vary."""
    low, high = np.nanquantile(values, (0.25, 0.75))
    return float((high - low) / NORMAL_IQR or np.nanstd(values))

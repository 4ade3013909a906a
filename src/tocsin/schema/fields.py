"""The contract of one kind of telemetry: fields, types, units, ranges, and which rows fit.

`Schema.split` turns what a source read into typed columns and sets aside every row that does not fit, with the
field and the reason. A missing value is a state of its own (NaN, or "" for text) and never becomes 0.

dtype       column after the split                       accepted
==========  ===========================================  ===============================================
float       float64, NaN = missing                       numbers, numeric text
integer     float64 holding whole numbers, NaN = missing whole numbers, numeric text
boolean     float64 0/1, NaN = missing                   true/false, T/F, yes/no, 0/1
category    object (str), "" = missing                   text, numbers
address     object (str), "" = missing                   text: IP, MAC, host or user name
time        int64, UTC microseconds, from 1971 to 2199   ISO 8601; epoch s, ms, us or ns by size; datetime64
==========  ===========================================  ===============================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic import Field as Constraint

from tocsin.errors import SchemaError, did_you_mean
from tocsin.records import FILE, GENERATED, ROW, SECOND, Batch, Column, Mask, Rejected, Times, Vector, filled
from tocsin.schema.record_text import record_text
from tocsin.schema.values import TIME_PROBLEMS, booleans, floats, missing, parse_times

Dtype = Literal["float", "integer", "boolean", "category", "address", "time"]
NUMERIC: frozenset[str] = frozenset({"float", "integer", "boolean"})

MAX_TEXT = 1_024
"""Characters; longer text is refused, not cut."""


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _zone(name: str | None) -> str | None:
    try:
        return None if name is None else ZoneInfo(name).key
    except (ValueError, KeyError, OSError):
        raise ValueError("wanted the name of a time zone such as Europe/Berlin") from None


class Field(BaseModel):
    """One column of telemetry.

    Parameters
    ----------
    dtype
        See the table above.
    unit
        As a suffix would name it: `bytes`, `s`, `ms`, `packets`, `per_s`, `ratio`.
    minimum, maximum
        Inclusive; a value outside is refused with its row.
    kind
        `counter` only grows until it wraps or resets; everything else is a `gauge`.
    bits
        Width at which a counter wraps: 32 or 64.
    identity
        Names a person or a machine: replaced by a pseudonym right after the schema.
    aliases
        Other names of the column, in order of preference, where several layouts map to one.
    optional
        The column may be absent or a value missing; otherwise a row without it is refused.
    values
        The closed set of a category; anything else is refused. Empty: open.
    group
        The heading under which pages list it.
    interval_s, start
        Of a time, for tables that have none: row n of a file, as the source counts rows (a CSV file's header is row
        1), lies n - 1 intervals behind the start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Dtype = "float"
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    kind: Literal["gauge", "counter"] = "gauge"
    bits: Literal[32, 64] = 64
    identity: bool = False
    aliases: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    optional: bool = False
    values: tuple[str, ...] = ()
    group: str = ""
    interval_s: float | None = Constraint(default=None, gt=0, le=86_400 * 366)
    start: str = "2000-01-03T00:00:00Z"

    @model_validator(mode="after")
    def _fits_its_dtype(self) -> Field:
        if self.interval_s is not None and self.dtype != "time":
            raise ValueError(f"wanted interval_s only on a field of dtype time, not {self.dtype}")
        if self.interval_s is None and "start" in self.model_fields_set:
            raise ValueError("start would have no effect, wanted interval_s beside it")
        if self.interval_s is not None and parse_times(np.array([self.start], dtype=object), None)[1][0]:
            raise ValueError(f'start is "{self.start}", wanted {TIME_PROBLEMS["not_a_time"]}')
        if self.identity and self.dtype not in ("address", "category"):
            raise ValueError(f"wanted identity only on a field of dtype address or category, not {self.dtype}")
        if self.optional and self.dtype == "time":
            raise ValueError("wanted a time without optional: a row that has no time is refused")
        return self


class Schema(BaseModel):
    """Fields by name, and which of them are the clock, the entity and the key.

    Parameters
    ----------
    fields
        By the name that features use.
    time
        The event-time field, or None: then no window feature, no time split, and budgets are rates.
    entity
        The field whose values keep state apart (host, service, source address), or None.
    key
        Fields that together name a record: a repeat is a duplicate and is dropped.
    timezone
        Zone of times written without an offset; UTC unless said.
    others
        What every further column of the telemetry is, where there are too many to name: each found in the first rows
        of a training becomes a field of this kind, and features name them all as `*`.
    leave_out
        Further columns that are no telemetry: a row number, a comment.
    found
        The fields that `others` became: their columns must be there, though values may be missing as `others` says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fields: Mapping[str, Field]
    time: str | None = None
    entity: str | None = None
    key: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    timezone: Annotated[str | None, AfterValidator(_zone)] = None
    others: Field | None = None
    leave_out: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    found: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Schema:
        if not self.fields and self.others is None:
            raise ValueError("fields is empty, wanted at least one field, or others")
        for role, names in (("time", (self.time,)), ("entity", (self.entity,)), ("key", self.key)):
            for name in names:
                if name is not None and name not in self.fields:
                    hint = did_you_mean(name, self.fields) or "add it to fields"
                    raise ValueError(f'wanted {role} to name a field, not "{name}"; {hint}')
        if self.time is not None and (dtype := self.fields[self.time].dtype) != "time":
            raise ValueError(f'wanted time to name a field of dtype time, not "{self.time}" of dtype {dtype}')
        return self

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Names of the fields that may enter a feature matrix as they are."""
        return tuple(name for name, item in self.fields.items() if item.dtype in NUMERIC)

    @cached_property
    def identities(self) -> tuple[str, ...]:
        """Names of the fields that become pseudonyms."""
        return tuple(name for name, item in self.fields.items() if item.identity)

    def field(self, name: str, where: str) -> Field:
        """A field by name.

        Raises
        ------
        SchemaError
            If there is none of that name.
        """
        if name not in self.fields:
            raise SchemaError(
                where, f'unknown field "{name}"', f"one of: {', '.join(self.fields)}", did_you_mean(name, self.fields)
            )
        return self.fields[name]

    def unknown(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Those of a source's columns that this schema has no field for, and that are not Tocsin's own."""
        known = {*self.leave_out, GENERATED, *self.fields}
        known.update(alias for item in self.fields.values() for alias in item.aliases)
        return tuple(name for name in columns if name not in known and not name.startswith("_"))

    def with_columns(self, columns: Iterable[str]) -> Schema:
        """The schema in which those that are unknown have become fields of the kind of `others`."""
        if self.others is None:
            return self
        found = self.unknown(columns)
        fields = {**self.fields, **dict.fromkeys(found, self.others)}
        return self.model_copy(update={"fields": fields, "others": None, "found": found})

    def split(self, batch: Batch, latest: int | None = None) -> tuple[Batch, tuple[Rejected, ...]]:
        """Typed columns of the rows that fit, and the others with their reason.

        Columns that are no fields are left behind, save those whose names begin with an underscore.

        Parameters
        ----------
        batch
            As a source read it.
        latest
            UTC microseconds; rows with a later time do not fit.

        Raises
        ------
        SchemaError
            If a column that is not optional is absent from the batch, or every one that holds a measurement.
        """
        columns: dict[str, Column] = {}
        bad = _Bad(batch)
        for name, item in self.fields.items():
            if item.interval_s is not None:
                columns[name] = _counted(item, batch, self.timezone)
                continue
            raw = self._find(name, item, batch)
            if raw is None:
                columns[name] = _absent(item, batch.rows)
                continue
            columns[name] = self._convert(name, item, raw, bad)
            if name == self.time and latest is not None:
                bad.add(columns[name] > latest, "in_the_future", name, raw, "a time that has come")
        self._measured(batch)
        beside = {name: column for name, column in batch.items() if name.startswith("_")}
        typed = Batch({**columns, **beside})
        return (typed if bad.none else typed.take(~bad.mask)), bad.rejected()

    def _measured(self, batch: Batch) -> None:
        """A table that shares nothing but clock and names with the schema is another table."""
        names = [name for name in self.fields if name not in (self.time, self.entity, *self.key)]
        if names and not any(alias in batch for name in names for alias in (name, *self.fields[name].aliases)):
            there = [name for name in batch if not name.startswith("_")]
            got = f"columns {', '.join(map(str, there[:50])) or '(none)'}"
            wanted = f"at least one of: {', '.join(names[:50])}"
            hint = _delimiter_hint(there) or "name them in the fields' `aliases`"
            raise SchemaError("schema", got, wanted, hint)

    def _find(self, name: str, item: Field, batch: Batch) -> Column | None:
        present = [alias for alias in (name, *item.aliases) if alias in batch]
        if present:
            return batch[present[0]]
        if item.optional and name not in self.found:
            return None
        there = [column for column in batch if not column.startswith("_")]
        raise SchemaError(
            f"field {name}",
            f"no column {' or '.join(repr(alias) for alias in (name, *item.aliases))}",
            f"one of those present: {', '.join(map(str, there[:50]))}",
            _delimiter_hint(there)
            or did_you_mean(name, map(str, there))
            or "name it in the field's `aliases`, or mark the field `optional: true`",
        )

    def _convert(self, name: str, item: Field, raw: Column, bad: _Bad) -> Column:
        if item.dtype == "time":
            return _times(name, raw, self.timezone, bad)
        if item.dtype in NUMERIC:
            return _numbers(name, item, raw, bad)
        return _texts(name, item, raw, bad)


@dataclass(slots=True)
class _Bad:
    """The rows of one batch that do not fit: the first reason found for each."""

    batch: Batch
    mask: Mask = field(init=False)
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mask = np.zeros(self.batch.rows, dtype=bool)

    @property
    def none(self) -> bool:
        return not self.reasons

    def add(self, rows: Mask, reason: str, name: str, raw: Column, wanted: str) -> None:
        if not rows.any():
            return
        for row in np.flatnonzero(rows & ~self.mask).tolist():
            self.reasons[row] = (reason, f"{name}: got {_shown(raw[row])}, wanted {wanted}")
        self.mask |= rows

    def rejected(self) -> tuple[Rejected, ...]:
        rows = self.batch.get(ROW)
        files = self.batch.get(FILE)
        return tuple(
            Rejected(
                str(files[index]) if files is not None else "",
                int(rows[index]) if rows is not None else index + 1,
                reason,
                detail,
                record_text(self.batch, index),
            )
            for index, (reason, detail) in sorted(self.reasons.items())
        )


def _shown(value: object) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else text[:77] + "..."


def _absent(item: Field, rows: int) -> Column:
    if item.dtype in NUMERIC:
        return np.full(rows, np.nan)
    return filled("", rows)


def _delimiter_hint(there: list[str]) -> str:
    """A lone column whose name looks like a whole header line: the lines were cut at the wrong character."""
    written = {";": ";", "\t": "\\t"}
    found = [written[mark] for mark in written if len(there) == 1 and mark in there[0]]
    return f'set `delimiter: "{found[0]}"` in the source' if found else ""


def _numbers(name: str, item: Field, raw: Column, bad: _Bad) -> Vector:
    wanted = {"float": "a number", "integer": "a whole number", "boolean": "true or false"}[item.dtype]
    words = item.dtype == "boolean" and raw.dtype.kind in "OU"
    values = booleans(raw) if words else floats(raw)
    unusual = ~np.isfinite(values)
    if unusual.any():
        absent = np.zeros(len(raw), dtype=bool)
        absent[unusual] = missing(raw[unusual])
        values[absent] = np.nan
        bad.add(np.isinf(values), "not_finite", name, raw, f"a finite {item.dtype}")
        bad.add(np.isnan(values) & ~absent, "not_a_number", name, raw, wanted)
        if not item.optional:
            bad.add(absent, "missing", name, raw, f"{wanted}, since the field is not optional")
    if item.dtype == "integer":
        bad.add(np.isfinite(values) & (values != np.rint(values)), "not_whole", name, raw, wanted)
    if item.minimum is not None:
        bad.add(values < item.minimum, "out_of_range", name, raw, f"at least {item.minimum:g}")
    if item.maximum is not None:
        bad.add(values > item.maximum, "out_of_range", name, raw, f"at most {item.maximum:g}")
    return values


def _texts(name: str, item: Field, raw: Column, bad: _Bad) -> Column:
    absent = missing(raw)
    values, texts = raw, raw.tolist()
    if raw.dtype.kind != "O" or set(map(type, texts)) != {str} or absent.any():
        values = np.empty(len(raw), dtype=object)
        values[:] = [value if isinstance(value, str) else str(value) for value in texts]
        values[absent] = ""
        texts = values.tolist()
        if not item.optional:
            bad.add(absent, "missing", name, raw, "a value, since the field is not optional")
    if max(map(len, texts), default=0) > MAX_TEXT:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        bad.add(lengths > MAX_TEXT, "too_long", name, raw, f"at most {MAX_TEXT} characters")
    if item.values and not (known := frozenset(item.values)).issuperset(texts):
        bad.add(
            np.fromiter((bool(value) and value not in known for value in texts), bool, len(texts)),
            "unknown_value",
            name,
            raw,
            f"one of: {', '.join(item.values)}",
        )
    return values


def _counted(item: Field, batch: Batch, timezone: str | None) -> Times:
    """The time of each row, told from its place in the file."""
    start, _ = parse_times(np.array([item.start], dtype=object), timezone)
    places = batch[ROW] - 1 if ROW in batch else np.arange(batch.rows)
    return np.asarray(start[0] + places * round((item.interval_s or 0.0) * SECOND))


def _times(name: str, raw: Column, timezone: str | None, bad: _Bad) -> Times:
    micros, problems = parse_times(raw, timezone)
    for reason in dict.fromkeys(filter(None, problems.tolist())):
        bad.add(problems == reason, reason, name, raw, TIME_PROBLEMS[reason])
    return micros


def describe(schema: Schema) -> dict[str, Any]:
    """The schema as the JSON values that a manifest holds."""
    return schema.model_dump(mode="json", exclude_defaults=True)

"""What every feature is: a declaration that compiles to kernel operations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tocsin.component import Part
from tocsin.errors import SchemaError
from tocsin.kernel.program import Operation, Program
from tocsin.records import Batch
from tocsin.schema import NUMERIC, Field, Schema

Tables = Mapping[str, Any]
"""What a feature learnt, as JSON values: vocabularies, reference values."""

EXAMPLE = Schema(
    fields={
        "time": Field(dtype="time"),
        "host": Field(dtype="address", identity=True),
        "bytes": Field(dtype="float", unit="bytes", minimum=0, optional=True),
        "packets": Field(dtype="integer", unit="packets", minimum=0, optional=True),
        "octets_total": Field(dtype="integer", unit="bytes", kind="counter", bits=32, minimum=0, optional=True),
        "temperature": Field(dtype="float", unit="celsius", optional=True),
        "protocol": Field(dtype="category", optional=True),
    },
    time="time",
    entity="host",
)
"""What `example` of every feature works on, and so what the contract checks feed it."""


class Feature(Part):
    """Declares columns computed from schema fields or from earlier features.

    The kernel computes them, in history and on the stream alike. What must be learnt is learnt on the training
    split, comes back as JSON values and is frozen into the program's fingerprint.
    """

    def learn(self, schema: Schema, batch: Batch) -> Tables:
        """What the feature must know of the training rows; most need nothing.

        They hold the fields of the schema, and nothing that features compute. There may be none: then the
        declaration is being checked.
        """
        return {}

    @abstractmethod
    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        """The operations that compute this feature's columns.

        Raises
        ------
        SchemaError
            If the schema cannot carry this feature: no clock for a window, no counter for a rate.
        """

    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads: schema fields, or outputs of features declared before it."""

    @abstractmethod
    def names(self, tables: Tables) -> tuple[str, ...]:
        """The columns it produces, in order."""

    def numeric(self, schema: Schema, name: str) -> Field:
        """A numeric field by name; for `compile`.

        Raises
        ------
        SchemaError
            If there is none of that name, or it holds no numbers.
        """
        item = schema.field(name, repr(self))
        if item.dtype not in NUMERIC:
            hint = f'declare `type: category` for "{name}"' if item.dtype == "category" else ""
            raise SchemaError(repr(self), f'field "{name}", a {item.dtype}', _one_of(schema.numeric), hint)
        return item

    def never_negative(self, schema: Schema, name: str) -> Field:
        """A numeric field by name that declares a minimum of at least 0; for `compile`.

        Raises
        ------
        SchemaError
            If there is none of that name, it holds no numbers, or it may be negative.
        """
        item = self.numeric(schema, name)
        if item.minimum is None or item.minimum < 0:
            got = f'field "{name}" with ' + ("no minimum" if item.minimum is None else f"minimum {item.minimum:g}")
            hint = f'give field "{name}" `minimum: 0`, so that negative values are refused with a reason'
            raise SchemaError(repr(self), got, "a field that is never negative", hint)
        return item

    def clock(self, schema: Schema) -> str:
        """The name of the event-time field; for `compile`.

        Raises
        ------
        SchemaError
            If the telemetry has no clock.
        """
        if schema.time is None:
            hint = "set `time` to a field of dtype time, or leave this feature out"
            raise SchemaError(repr(self), "a schema without a clock", "schema.time", hint)
        return schema.time


def _one_of(names: Sequence[str]) -> str:
    return f"a numeric field: {', '.join(names) or 'the schema has none'}"


def extended(schema: Schema, names: Sequence[str]) -> Schema:
    """The schema with the outputs of features as further float fields, for the features declared after them."""
    outputs = {name: Field(optional=True) for name in names}
    return Schema(
        fields={**schema.fields, **outputs},
        time=schema.time, entity=schema.entity, key=schema.key, timezone=schema.timezone,
    )  # fmt: skip


def compile_program(
    schema: Schema,
    columns: tuple[str, ...],
    features: Sequence[Feature],
    training: Batch,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> Program:
    """One program: these numeric fields as they are, followed by every feature's columns.

    A feature may read what earlier ones produce, under its other name if `renamed` has one, but learns from schema
    fields alone. A training batch without rows checks the declarations and learns nothing.

    Raises
    ------
    SchemaError
        If a column or a feature does not fit the schema, or two columns have one name.
    """
    known = schema
    outputs: list[str] = []
    for name in columns:
        item = schema.field(name, "features.columns")
        if item.dtype not in NUMERIC:
            hint = "derive a category feature from text"
            raise SchemaError("features.columns", f'field "{name}", a {item.dtype}', _one_of(schema.numeric), hint)
        _add(outputs, name, "features.columns", ())
    operations: list[Operation] = []
    for feature in features:
        for name in feature.inputs():
            known.field(name, repr(feature))
        tables = feature.learn(schema, training)
        operations.extend(_rename(feature.compile(known, tables), renamed))
        names = tuple(renamed.get(name, name) for name in feature.names(tables))
        for name in names:
            _add(outputs, name, repr(feature), schema.fields)
        known = extended(known, names)
    return Program(tuple(operations), tuple(outputs), schema.time, schema.entity, schema.key)


def _rename(operations: Sequence[Operation], renamed: Mapping[str, str]) -> Iterator[Operation]:
    """The operations of one feature with the other names of what they write, and read of each other."""
    written = {name for operation in operations for name in operation.outputs}
    other = {name: renamed[name] for name in written & renamed.keys()}
    for operation in operations:
        inputs, outputs = (
            tuple(other.get(name, name) for name in names) for names in (operation.inputs, operation.outputs)
        )
        yield replace(operation, inputs=inputs, outputs=outputs)


def _add(outputs: list[str], name: str, where: str, taken: Sequence[str] | Mapping[str, Field]) -> None:
    if name in outputs or name in taken:
        raise SchemaError(where, f'a second column named "{name}"', "each name once", "drop one, or rename the field")
    outputs.append(name)

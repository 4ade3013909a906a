"""A feature set as data: operations, constants and one fingerprint.

A program holds no callables. The same program over the same rows gives the same bits, whether the rows come as
one history, as micro-batches or one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: reads columns by name, writes columns by name.

    `kind` names the arithmetic in the kernel; `constants` are JSON values.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `Operation(**value)` reads them back."""
        return {"kind": self.kind, "inputs": self.inputs, "outputs": self.outputs, "constants": dict(self.constants)}


@dataclass(frozen=True, slots=True)
class Program:
    """Operations in the order in which they run.

    Parameters
    ----------
    operations
        Each may read schema fields and what earlier operations wrote.
    outputs
        The columns of the feature matrix, in order: any field or operation output.
    time
        Name of the event-time column (UTC microseconds), or None without a clock.
    entity
        Name of the entity column; state is kept per entity. None: one state for all rows.
    key
        Columns that together name a record: a repeat among an entity's last ones leaves no trace.
    """

    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]
    time: str | None = None
    entity: str | None = None
    key: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `Program.from_json` reads them back."""
        return {
            "operations": [operation.to_json() for operation in self.operations],
            "outputs": self.outputs,
            "time": self.time,
            "entity": self.entity,
            "key": self.key,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Program:
        """The program that `to_json` wrote."""
        operations = tuple(
            Operation(step["kind"], tuple(step["inputs"]), tuple(step["outputs"]), step["constants"])
            for step in value["operations"]
        )
        return cls(operations, tuple(value["outputs"]), value["time"], value["entity"], tuple(value["key"]))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON form: equal fingerprint, equal features."""
        return hashlib.sha256(orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)).hexdigest()

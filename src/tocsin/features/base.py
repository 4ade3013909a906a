"""What every feature is: a declaration that compiles to kernel operations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from tocsin.component import Part
from tocsin.kernel.program import Operation
from tocsin.records import Batch
from tocsin.schema import Schema

Tables = Mapping[str, Any]
"""What a feature learnt, as JSON values: vocabularies, reference values."""


class Feature(Part):
    """Declares columns computed from schema fields or from earlier features.

    The kernel computes them, in history and on the stream alike. What must be learnt is learnt on the training
    split, comes back as JSON values and is frozen into the program's fingerprint.
    """

    def learn(self, batch: Batch) -> Tables:
        """What the feature must know of the training rows; most need nothing."""
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

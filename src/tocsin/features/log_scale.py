"""Logarithm of sizes: log(1 + x), so that a thousand bytes and a million differ by steps and not by powers."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class LogScale(Feature):
    """`log_<column>` = log(1 + column) for columns that are never negative.

    Take it for sizes, counts and durations that span powers of ten.

    Parameters
    ----------
    columns
        Numeric fields whose `minimum` is at least 0; in their own units.

    Raises
    ------
    SchemaError
        On compile, if a field may be negative.

    Examples
    --------
    >>> LogScale(columns=("bytes",)).names({})
    ('log_bytes',)
    """

    def __init__(self, *, columns: tuple[str, ...]) -> None:
        self.columns = columns

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("bytes", "packets"))

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"log_{column}" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        for column in self.columns:
            self.never_negative(schema, column)
        return tuple(
            Operation("log1p", (column,), (name,)) for column, name in zip(self.columns, self.names({}), strict=True)
        )

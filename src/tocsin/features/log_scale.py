"""Logarithm of sizes: log(1 + x), so that a thousand bytes and a million differ by steps and not by powers."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class LogScale(Feature):
    """`log_<column>` = log(1 + scale * column) for columns that are never negative.

    Take it for sizes, counts and durations that span powers of ten.

    Parameters
    ----------
    columns
        Numeric fields whose `minimum` is at least 0; in their own units.
    scale
        What a column is multiplied with before; 1,000 tells error rates of a thousandth and a hundredth apart.

    Raises
    ------
    SchemaError
        On compile, if a field may be negative.
    ValueError
        If scale is not a finite number greater than 0.

    Examples
    --------
    >>> LogScale(columns=("bytes",)).names({})
    ('log_bytes',)
    """

    def __init__(self, *, columns: tuple[str, ...], scale: float = 1.0) -> None:
        if not (isfinite(scale) and scale > 0):
            raise ValueError(f"scale is {scale}, wanted a finite number greater than 0")
        self.columns = columns
        self.scale = scale

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
        constants = {} if self.scale == 1.0 else {"scale": self.scale}
        return tuple(
            Operation("log1p", (column,), (name,), constants)
            for column, name in zip(self.columns, self.names({}), strict=True)
        )

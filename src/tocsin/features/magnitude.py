"""How large a value is, whichever way it points."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class Magnitude(Feature):
    """`<column>_abs`: the column without its sign.

    Take it where a fall is as telling as a rise of the same size: changes per second, residuals.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features.

    Examples
    --------
    >>> Magnitude(columns=("cpu_per_s",)).names({})
    ('cpu_per_s_abs',)
    """

    def __init__(self, *, columns: tuple[str, ...]) -> None:
        self.columns = columns

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("temperature",))

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_abs" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        for column in self.columns:
            self.numeric(schema, column)
        return tuple(
            Operation("magnitude", (column,), (name,))
            for column, name in zip(self.columns, self.names(tables), strict=True)
        )

"""One column times another: a share and the number it is of become a count."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class Product(Feature):
    """`<left>_times_<right>` = left * right; missing where either is.

    Take it to undo a share: errors are the error rate times the number of events.

    Parameters
    ----------
    left, right
        Numeric fields or columns of earlier features.
    name
        Of the column, if not the one above.

    Examples
    --------
    >>> Product(left="bytes", right="packets").names({})
    ('bytes_times_packets',)
    """

    def __init__(self, *, left: str, right: str, name: str | None = None) -> None:
        self.left = left
        self.right = right
        self.name = name

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(left="bytes", right="packets")

    def inputs(self) -> tuple[str, ...]:
        return self.left, self.right

    def names(self, tables: Tables) -> tuple[str, ...]:
        return (self.name or f"{self.left}_times_{self.right}",)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        for column in self.inputs():
            self.numeric(schema, column)
        return (Operation("product", self.inputs(), self.names(tables)),)

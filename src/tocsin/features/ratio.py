"""One column over another: bytes per packet, errors per request."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class Ratio(Feature):
    """`<numerator>_per_<denominator>` = numerator / (denominator + offset).

    Take it where two columns rise together and only their relation tells: a tunnel moves many bytes per packet.
    Missing where either is missing, or the sum below is 0.

    Parameters
    ----------
    numerator, denominator
        Numeric fields or columns of earlier features.
    offset
        Added below, in the denominator's unit: keeps idle rows (0 / 0) at 0 and small ones calm.
    name
        Of the column, if not the one above.

    Raises
    ------
    ValueError
        If `offset` is negative or not finite.

    Examples
    --------
    >>> Ratio(numerator="bytes", denominator="packets").names({})
    ('bytes_per_packets',)
    """

    def __init__(self, *, numerator: str, denominator: str, offset: float = 1.0, name: str | None = None) -> None:
        if not (isfinite(offset) and offset >= 0):
            raise ValueError(f"offset is {offset}, wanted a finite number of at least 0")
        self.numerator = numerator
        self.denominator = denominator
        self.offset = offset
        self.name = name

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(numerator="bytes", denominator="packets")

    def inputs(self) -> tuple[str, ...]:
        return self.numerator, self.denominator

    def names(self, tables: Tables) -> tuple[str, ...]:
        return (self.name or f"{self.numerator}_per_{self.denominator}",)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        for column in self.inputs():
            self.numeric(schema, column)
        return (Operation("ratio", self.inputs(), self.names(tables), {"offset": self.offset}),)

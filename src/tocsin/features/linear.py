"""A column on another scale: seconds as milliseconds, a share of successes as a share of failures."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Self

from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.schema import Schema


class Linear(Feature):
    """`<name>` = offset + factor * column.

    Take it where telemetry comes in other units than the features want, or says the opposite of what should ring:
    a factor of -0.01 and an offset of 1 make an error rate of successes in percent.

    Parameters
    ----------
    column
        A numeric field or a column of an earlier feature.
    name
        Of the new column.
    factor
        In units of the new column per unit of the old one.
    offset
        In the new column's unit.
    unit
        Of the new column, for pages and alerts.

    Raises
    ------
    ValueError
        If factor is 0, or factor or offset is not finite.

    Examples
    --------
    >>> Linear(column="success_pct", name="error_rate", factor=-0.01, offset=1.0).names({})
    ('error_rate',)
    """

    def __init__(self, *, column: str, name: str, factor: float = 1.0, offset: float = 0.0, unit: str = "") -> None:
        if not (isfinite(factor) and factor and isfinite(offset)):
            raise ValueError(f"factor is {factor} and offset {offset}, wanted finite ones, and a factor other than 0")
        self.column = column
        self.name = name
        self.factor = factor
        self.offset = offset
        self.unit = unit

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(column="temperature", name="fahrenheit", factor=1.8, offset=32.0)

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def names(self, tables: Tables) -> tuple[str, ...]:
        return (self.name,)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.numeric(schema, self.column)
        constants = {"factor": self.factor, "offset": self.offset, "unit": self.unit}
        return (Operation("linear", (self.column,), (self.name,), constants),)

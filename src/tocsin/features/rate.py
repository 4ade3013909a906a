"""Change per second, of gauges and of counters that wrap and reset.

Source: RFC 2863, section 3.1.6, on the width of interface counters and how fast they may wrap.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.records import SECOND
from tocsin.schema import Schema


class Rate(Feature):
    """`<column>_per_s`: the change since the entity's last present value, per second.

    Take it for counters always, since their level says how long a machine has run, and for gauges whose steepness
    tells more than their level. Missing for an entity's first value, after a gap, and where time does not move on.

    A field of kind counter that falls has wrapped at its `bits` if the way on through zero is shorter than a quarter
    of its range, which a 32-bit octet counter keeps to at 20 Mbit/s and polls of five minutes; any other fall is a
    reset. Counters above 2^53 lose their last units, as all numbers here are float64.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features; the latter count as gauges.
    max_gap
        The longest time between two values that still makes a rate.
    reset
        What a counter's reset gives: `nan` missing, `from_zero` the new value as the whole change.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock.

    Examples
    --------
    >>> Rate(columns=("octets_total",)).names({})
    ('octets_total_per_s',)
    """

    def __init__(
        self, *, columns: tuple[str, ...], max_gap: Duration = 600.0, reset: Literal["nan", "from_zero"] = "nan"
    ) -> None:
        self.columns = columns
        self.max_gap = seconds(max_gap)
        self.reset = reset

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("octets_total", "temperature"))

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(f"{column}_per_s" for column in self.columns)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            Operation("rate", (column,), (name,), self._constants(schema, column))
            for column, name in zip(self.columns, self.names(tables), strict=True)
        )

    def _constants(self, schema: Schema, column: str) -> dict[str, int | str | None]:
        item = self.numeric(schema, column)
        bits = item.bits if item.kind == "counter" else None
        return {"max_gap_us": round(self.max_gap * SECOND), "reset": self.reset, "bits": bits}

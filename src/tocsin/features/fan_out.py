"""How many different values an entity met of late: a scan touches many ports, a worm many hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from tocsin.component import Duration, seconds
from tocsin.features.base import Feature, Tables
from tocsin.features.base_windows import kind_of_values, pane_us, window_text
from tocsin.kernel.program import Operation
from tocsin.kernel.values import Distinct
from tocsin.schema import Schema


class FanOut(Feature):
    """`<column>_distinct_<window>`: the number of different values, per entity and up to the row itself.

    Take it where it is the breadth that tells: ports that a host tries, hosts that it reaches, users from one
    address. A missing value stays out. Windows move in panes as those of `rolling` do.

    The number is an estimate, in memory that does not grow with it. At the default 1024 bits, up to thirty values are
    told exactly or one or two too few. The standard error is 2 to 3 % from a hundred to two thousand, 5 % at three and
    9 % at five thousand, and nothing above 7098 is told. Four times the bits halve the error and reach four times as
    far. An entity takes about 1.7 kB of each column and window: (`panes` + 1) times `bits` / 8 bytes.

    Parameters
    ----------
    columns
        Fields of dtype category, address, integer or boolean.
    windows
        Durations; a column is named after the longest unit that divides it (`60m` becomes `1h`).
    panes
        Per window, 1 to 1024.
    bits
        Of a pane: a power of two from 64 to 65,536.

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, or a field holds floats or times.
    ValueError
        If panes or bits are out of range, a window takes more than a mebibyte of an entity, or it is shorter than its
        panes in microseconds.

    Examples
    --------
    >>> FanOut(columns=("dst_ip", "dst_port"), windows=(600.0,)).names({})
    ('dst_ip_distinct_10m', 'dst_port_distinct_10m')
    """

    def __init__(
        self, *, columns: tuple[str, ...], windows: tuple[Duration, ...] = (600.0,), panes: int = 12, bits: int = 1_024
    ) -> None:
        self.columns = columns
        self.windows = tuple(seconds(window) for window in windows)
        self.panes = panes
        self.bits = bits
        for window in self.windows:
            Distinct(self._constants(window), (0,), 0)

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("protocol", "packets"), windows=(60.0, 600.0), bits=64)

    def inputs(self) -> tuple[str, ...]:
        return self.columns

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(self._name(column, window) for column in self.columns for window in self.windows)

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        return tuple(
            self._operation(schema, column, window) for column in self.columns for window in self.windows
        )  # fmt: skip

    def _operation(self, schema: Schema, column: str, window: float) -> Operation:
        constants = {"reads": kind_of_values(schema, column, repr(self)), **self._constants(window)}
        return Operation("distinct", (column,), (self._name(column, window),), constants)

    def _constants(self, window: float) -> dict[str, Any]:
        return {"pane_us": pane_us(window, self.panes), "panes": self.panes, "bits": self.bits}

    def _name(self, column: str, window: float) -> str:
        return f"{column}_distinct_{window_text(window)}"

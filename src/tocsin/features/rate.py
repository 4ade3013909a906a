"""Change per second, of gauges and of counters that wrap and reset.

Source: RFC 2863, section 3.1.6, on the width of interface counters and how fast they may wrap; RFC 3418 on sysUpTime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from tocsin.component import Duration, seconds
from tocsin.errors import SchemaError
from tocsin.features.base import Feature, Tables
from tocsin.kernel.program import Operation
from tocsin.kernel.rates import MAX_GAP_US
from tocsin.records import SECOND
from tocsin.schema import Schema

_SECONDS = ("", "s")


class Rate(Feature):
    """`<column>_per_s`: the change since the entity's last present value, per second.

    Take it for counters always, since their level says how long a machine has run, and for gauges whose steepness
    tells more than their level. Missing for an entity's first value, after a gap, and where time does not move on. The
    last value is the one that arrived last: a late row has no rate, and the next one is told from it.

    A counter that falls has wrapped or begun anew. With `uptime` the device says which: it began anew if it restarted
    since the last value, also if the counter rose, and otherwise wrapped once at the field's `bits`, if the way on
    through zero is shorter than a quarter of its range or no faster than three times the last eight rates. Without, it
    wrapped if both hold, and with no rate to compare with a fall tells nothing. A 32-bit octet counter keeps to a
    quarter at 20 Mbit/s and polls of five minutes. A gauge has no wrap.

    Known limits: a counter that is cleared while its device runs on, with its last quarter reached, looks like a wrap;
    a service whose uptime is not that of its counters costs a rate whenever it restarts alone, as a sysUpTime does that
    starts over after 497 days; without an uptime, a clock that is set back by less than the time between two values
    makes the rate between them too large. All numbers here are float64: a counter of 64 bits above 2^53 loses its last
    units, 2 of them from there, 2 048 near 2^64.

    Parameters
    ----------
    columns
        Numeric fields or columns of earlier features; the latter count as gauges.
    max_gap
        The longest time between two values that still makes a rate. After nine times as long all is forgotten.
    reset
        What a counter's reset gives: `nan` missing, `from_zero` the new value as the whole change, unless that is more
        than three times the last eight rates.
    uptime
        A numeric field: for how many seconds the device that counts has been up, as sysUpTime divided by 100. Where it
        moves on otherwise than the clock does, by more than 2 s and a tenth, the clock was set, and there is no rate.
    quality
        Add `<column>_quality`, a code that says what is behind a rate: 0 two values; 1 a wrap between them; 2 none, the
        counter began anew or it is not known whether it did; 3 none, the gap was too long; 4 none, the value is missing
        or the first; 5 none, time did not move on (a late or equal time, or a clock that was set).

    Raises
    ------
    SchemaError
        On compile, if the schema has no clock, a column is not numeric, or the uptime is not in seconds.
    ValueError
        If max_gap is shorter than a microsecond or longer than 285 years.

    Examples
    --------
    >>> Rate(columns=("octets_total",)).names({})
    ('octets_total_per_s',)
    >>> Rate(columns=("octets_total",), quality=True).names({})
    ('octets_total_per_s', 'octets_total_quality')
    """

    def __init__(
        self,
        *,
        columns: tuple[str, ...],
        max_gap: Duration = 600.0,
        reset: Literal["nan", "from_zero"] = "nan",
        uptime: str | None = None,
        quality: bool = False,
    ) -> None:
        self.columns = columns
        self.max_gap = seconds(max_gap)
        self.reset = reset
        self.uptime = uptime
        self.quality = quality
        if not 1 <= round(self.max_gap * SECOND) <= MAX_GAP_US:
            raise ValueError("max_gap is shorter than a microsecond or longer than 285 years")

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(columns=("octets_total", "temperature"), quality=True)

    def inputs(self) -> tuple[str, ...]:
        return self.columns if self.uptime is None else (*self.columns, self.uptime)

    def names(self, tables: Tables) -> tuple[str, ...]:
        return tuple(name for column in self.columns for name in self._names(column))

    def compile(self, schema: Schema, tables: Tables) -> tuple[Operation, ...]:
        self.clock(schema)
        if self.uptime is not None and (unit := self.numeric(schema, self.uptime).unit) not in _SECONDS:
            hint = "sysUpTime counts hundredths of a second: divide it by 100 where it is read, and give it `unit: s`"
            raise SchemaError(repr(self), f'field "{self.uptime}" in {unit}', "an uptime in seconds", hint)
        return tuple(self._operation(schema, column) for column in self.columns)

    def _operation(self, schema: Schema, column: str) -> Operation:
        item = self.numeric(schema, column)
        bits = item.bits if item.kind == "counter" else None
        inputs = (column,) if self.uptime is None or bits is None else (column, self.uptime)
        constants = {
            "max_gap_us": round(self.max_gap * SECOND),
            "reset": self.reset,
            "bits": bits,
            "quality": self.quality,
        }
        return Operation("rate", inputs, self._names(column), constants)

    def _names(self, column: str) -> tuple[str, ...]:
        return (f"{column}_per_s", f"{column}_quality") if self.quality else (f"{column}_per_s",)

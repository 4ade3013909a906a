"""From what an SNMP agent answers, poll by poll, to rows of a host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tocsin.records import Column
from tocsin.sources.base_snmp_objects import COUNTERS, GAUGES, Values, reading
from tocsin.sources.base_snmp_totals import Totals, Uptime

TIME, DEVICE, UPTIME = "timestamp", "device_id", "sys_uptime_sec"
COLUMNS = (TIME, DEVICE, *GAUGES, *COUNTERS, UPTIME)

Row = Sequence[object]
"""A value for each of `COLUMNS`."""


class Device:
    """One device, and what must be remembered of it from poll to poll.

    Parameters
    ----------
    name
        Its `device_id`.
    resumed
        Whether another process has read it before.
    """

    def __init__(self, name: str, *, resumed: bool = False) -> None:
        self.name = name
        self._uptime = Uptime()
        self._totals = Totals(resumed=resumed)

    def row(self, values: Values, time_us: int, moment_s: float) -> Row:
        """The row of one poll.

        Parameters
        ----------
        values
            All that the agent answered.
        time_us
            When, in UTC microseconds.
        moment_s
            The same in seconds on a clock that is never set.
        """
        told = reading(values)
        up, life = self._uptime.follow(told.clock, moment_s)
        totals = self._totals.follow(told.counts, life)
        return (
            np.datetime64(time_us, "us"),
            self.name,
            *(told.gauges[name] for name in GAUGES),
            *(totals[name] for name in COUNTERS),
            up,
        )


def columns_of(rows: Sequence[Row]) -> dict[str, Column]:
    """Rows as the columns of a batch; none of them, if there are no rows."""
    types = {TIME: "datetime64[us]", DEVICE: "object"}
    return {
        name: np.array(values, dtype=types.get(name, "float64"))
        for name, values in zip(COLUMNS, zip(*rows, strict=True), strict=False)
    }

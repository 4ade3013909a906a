"""What is asked of a generator: which span, how many entities, how much of it anomalous."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from tocsin.errors import LimitExceeded
from tocsin.records import DAY, SECOND, Times

MAX_ROWS = 5_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The same plan gives the same rows, at any time and anywhere."""

    days: float = 7.0
    interval_s: float = 300.0
    """Between two rows of a host, service or link."""
    anomaly_rate: float = 0.05
    """About the share of anomalous rows from `attacks_from_day` on; below 1."""
    seed: int = 42
    start: datetime = datetime(2026, 1, 5, tzinfo=UTC)
    """With a time zone; the default is a Monday."""
    entities: int | None = None
    """Hosts, services or links; None leaves it to the generator."""
    attacks_from_day: float = 0.0
    """Days after the start before which every row is normal."""

    @property
    def begin(self) -> int:
        """UTC microseconds of the first moment."""
        return round(self.start.timestamp() * SECOND)

    @property
    def end(self) -> int:
        """UTC microseconds behind the last moment."""
        return self.begin + round(self.days * DAY)

    @property
    def attacked(self) -> int:
        """UTC microseconds from which rows may be anomalous."""
        return self.begin + round(self.attacks_from_day * DAY)

    @property
    def steps(self) -> int:
        """Rows of each host, service or link; at least one."""
        return max(1, int((self.end - self.begin) / (self.interval_s * SECOND)))

    @property
    def times(self) -> Times:
        """When each of them is read, (steps,); `check` comes first."""
        return self.begin + np.arange(self.steps) * round(self.interval_s * SECOND)

    def random(self, stream: int) -> np.random.Generator:
        """Numbers of one stream: what one stream draws never moves another."""
        return np.random.default_rng([self.seed, stream])

    def check(self, rows: float) -> None:
        """Refuse a plan that would give more than 5 million rows.

        Raises
        ------
        LimitExceeded
            Then.
        """
        if rows > MAX_ROWS:
            hint = "fewer days or entities, or a longer interval"
            raise LimitExceeded("synthetic telemetry", f"a plan for {rows:,.0f} rows", f"at most {MAX_ROWS:,}", hint)

"""Generated telemetry, for demonstrations and tests; every row says that it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field

from tocsin.component import Duration
from tocsin.errors import DataError
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.sources.base import RowsPerBatch, Source
from tocsin.synthetic.base import Kind, generate
from tocsin.synthetic.plan import Plan


class Synthetic(Source):
    """Make labelled telemetry up: the column `label` holds `normal` or the name of the anomaly.

    Deterministic: the same parameters give the same rows at any time.

    Parameters
    ----------
    kind
        `flows` of a small network, polls of `hosts`, golden signals of `services`, link metrics of `wifi` devices, or
        `frames` of a sampling capture.
    days
        Length of the telemetry.
    interval
        Between two rows of a host, service or link; flows and frames come when they come.
    anomaly_rate
        About the share of anomalous rows from `attacks_from_day` on.
    seed
        Another seed, another world.
    start
        First moment, ISO 8601; without an offset it is UTC. The default is a Monday.
    entities
        By default 20 hosts that talk (`flows`, `frames`), 6 that are polled (`hosts`), 1 service, 12 links (`wifi`).
    attacks_from_day
        Days after the start before which all is normal: plant attacks behind the training span.
    rows
        Rows per batch.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        kind: Kind = "flows",
        days: Annotated[float, Field(gt=0, le=366)] = 7.0,
        interval: Duration = 300.0,
        anomaly_rate: Annotated[float, Field(ge=0, le=0.5)] = 0.05,
        seed: Annotated[int, Field(ge=0)] = 42,
        start: str = "2026-01-05T00:00:00Z",
        entities: Annotated[int, Field(ge=1, le=1_000)] | None = None,
        attacks_from_day: Annotated[float, Field(ge=0)] = 0.0,
        rows: RowsPerBatch = 10_000,
    ) -> None:
        self.kind: Kind = kind
        self.days = days
        self.interval = interval
        self.anomaly_rate = anomaly_rate
        self.seed = seed
        self.start = start
        self.entities = entities
        self.attacks_from_day = attacks_from_day
        self.rows = rows
        self._plan = Plan(days, interval, anomaly_rate, seed, _utc(start), entities, attacks_from_day)
        self._batch: Batch | None = None
        self._next = 0

    @classmethod
    def example(cls, folder: Path) -> Self:
        """An hour and a half of three services."""
        return cls(kind="services", days=0.0625, entities=3, rows=20)

    def batch(self) -> Batch:
        """All rows at once, with nothing about where they were read."""
        return generate(self.kind, self._plan)

    def open(self, resume: Position | None = None) -> None:
        """Make the rows.

        Raises
        ------
        LimitExceeded
            If there would be more than 5 million of them.
        """
        self._batch = self.batch()
        self._next = resume.offsets.get(self.kind, 0) if resume else 0

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows."""
        if self._batch is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        piece = self._batch.take(slice(self._next, self._next + self.rows))
        if not piece.rows:
            return None
        numbers = np.arange(self._next + 1, self._next + piece.rows + 1)
        self._next += piece.rows
        return piece.replace({FILE: np.full(piece.rows, f"synthetic {self.kind}", dtype=object), ROW: numbers})

    @property
    def ended(self) -> bool:
        """Whether all rows were read."""
        return self._batch is not None and self._next >= self._batch.rows

    def acknowledge(self, batch: Batch) -> Position:
        """The number of the batch's last row."""
        return Position("synthetic", {self.kind: int(batch[ROW][-1])})

    def close(self) -> None:
        """Forget the rows."""
        self._batch = None


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

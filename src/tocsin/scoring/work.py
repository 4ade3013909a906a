"""What a stream works with and what follows from its input, until it is committed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tocsin.journal import RowVerdict
from tocsin.records import Alert, Batch, Position, Rejected, origins
from tocsin.scoring.scorer import Scored, Scorer

SAMPLED = 100
"""`record: sample` keeps one row in so many."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time of day (UTC microseconds), and seconds that only grow."""

    now: Callable[[], int] = lambda: time.time_ns() // 1_000
    elapsed: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Serving:
    """A scorer, and which registered version it is."""

    scorer: Scorer
    version: int
    digest: str
    created: str = ""
    """When it was registered, ISO 8601."""
    spare: str = ""
    """Digest of the model of the scorer's spare."""


class Letters:
    """Refused rows, until they are committed."""

    def __init__(self) -> None:
        self._rows: list[Rejected] = []

    def add(self, rejected: Sequence[Rejected], /) -> None:
        """Keep these."""
        self._rows += rejected

    def take(self) -> list[Rejected]:
        """What came since the last call."""
        found, self._rows = self._rows, []
        return found


@dataclass(slots=True)
class Work:
    """What follows from the input of one commit."""

    received: int = 0
    began: float = 0.0
    """When its first rows were there."""
    newest: int | None = None
    """Event time of its newest row, UTC microseconds."""
    position: Position | None = None
    accepted: list[Batch] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    verdicts: list[RowVerdict] = field(default_factory=list)
    refused: list[Rejected] = field(default_factory=list)
    """Rows that fitted the schema and could not be scored."""
    withdrawn: list[bytes] = field(default_factory=list)
    """Ids of letters whose rows were given once more."""


def verdicts(scored: Scored, record: str, serving: Serving) -> list[RowVerdict]:
    """What stays queryable of scored rows."""
    scores, schema = scored.scores, serving.scorer.model.design.schema
    chosen = np.flatnonzero(scores.flagged)
    if record == "all":
        chosen = np.arange(scored.batch.rows)
    elif record == "sample":
        chosen = np.union1d(chosen, np.arange(0, scored.batch.rows, SAMPLED))
    if not len(chosen):
        return []
    batch = scored.batch.take(chosen)
    times: Sequence[Any] = batch[schema.time].tolist() if schema.time else [None] * len(chosen)
    entities: Sequence[Any] = batch[schema.entity].tolist() if schema.entity else [""] * len(chosen)
    columns = (scores.score, scores.p_value, scores.flagged, scores.state)
    models = [serving.spare if scored.spared else ""] * len(chosen)
    said = (*(column[chosen].tolist() for column in columns), models)
    values = zip(times, entities, origins(batch), *said, strict=True)
    return [RowVerdict(when, str(who), *rest) for when, who, *rest in values]

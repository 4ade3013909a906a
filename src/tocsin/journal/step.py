"""What one commit of a running service makes durable, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tocsin.records import Alert, Batch, Position, Rejected

Outcome = Literal["delivered", "given_up"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an alert at a sink."""

    alert: str
    sink: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What was said of one row."""

    time: int | None
    """UTC microseconds of the event; None without a clock."""
    entity: str
    """As a pseudonym."""
    origin: str
    score: float
    p_value: float
    flagged: bool
    state: str
    model: str = ""
    """Digest of the model that said it, where it is not that of the step."""


@dataclass(frozen=True, slots=True)
class Step:
    """Everything that follows from some input, kept together or not at all."""

    position: Position | None = None
    """Where the source goes on; None if it was not read."""
    tally: Mapping[str, Any] = field(default_factory=dict)
    """What became of all rows so far; empty if none were read."""
    model: str = ""
    """Digest of the model that scored these rows; empty if none did."""
    accepted: Sequence[Batch] = ()
    """Rows that cannot be read again, to be replayed."""
    alerts: Sequence[Alert] = ()
    refused: Sequence[Rejected] = ()
    verdicts: Sequence[RowVerdict] = ()
    receipts: Sequence[Receipt] = ()
    withdrawn: Sequence[bytes] = ()
    """Ids of letters whose rows were given once more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a service has come; sequence 0 is a service that has done nothing."""

    sequence: int = 0
    position: Position | None = None
    tally: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    committed: int = 0
    """Time of day of the last commit, UTC microseconds."""

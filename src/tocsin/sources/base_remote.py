"""What every source of history elsewhere is: what it asks for is counted, and what is too old is not asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.sources.base import Piece
from tocsin.sources.base_polls import TimedSource
from tocsin.storage import Meter


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading everything once takes."""

    requests: int
    transfer: int | None
    """Bytes; None where a listing does not tell sizes."""


class RemoteSource(TimedSource):
    """Reads what is kept by a service that counts requests and bytes.

    Whoever opens it may set `meter` and `since` before.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        """Counts what is asked for, and bounds it."""
        self.since: float | None = None
        """Rows from before this moment, seconds since 1970, are not wanted."""

    @abstractmethod
    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """What reading these takes, once they are listed and if nothing is asked for twice."""

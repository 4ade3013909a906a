"""How two models do on the same live rows: one serves, the other is scored beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin.errors import TocsinError
from tocsin.model.documents import seal, unseal
from tocsin.registry import private_files

FILE = "shadow.json"
FORMAT = 1
MAX_BYTES = 65_536
ENOUGH_ROWS, ENOUGH_S = 1_000, 3_600.0
"""A comparison counts from so many rows on, or after so long."""

Pair = tuple[float, float]
"""Of the model that serves, and of the one beside it."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A comparison of two models; of each pair the first value is that of the one that serves."""

    serving: str
    beside: str
    """Digests."""
    rows: int
    seconds: float
    """How long it took."""
    alerts: tuple[int, int]
    """Episodes, as if neither budget controller nor a person had quietened any."""
    errors: tuple[int, int]
    """Rows without a finite score."""
    agreement: float
    """Rank correlation of the scores of some rows."""
    shift: float
    """The largest distance between the two distributions of p-values, 0 to 1 (Kolmogorov and Smirnov)."""
    latency_p99_ms: Pair
    """Processor time of single rows, features included, for which the two took turns."""
    paced: int
    """Rows of which that was measured."""

    @property
    def enough(self) -> bool:
        """Whether anything follows from it."""
        return self.rows >= ENOUGH_ROWS or (self.rows > 0 and self.seconds >= ENOUGH_S)

    @property
    def alert_ratio(self) -> float:
        """How many times as often the one beside rang as the one that serves; one alert at least counts for each."""
        return max(self.alerts[1], 1) / max(self.alerts[0], 1)

    def write(self, path: Path) -> None:
        """Keep it for a gate; raises RegistryError if there is no room."""
        private_files.replace(path, seal({"format": FORMAT, "beside": asdict(self)}, str(path)))

    @classmethod
    def read(cls, path: Path) -> Beside | None:
        """What was kept; None if nothing was, or it is damaged: then it is as if nothing had run beside."""
        try:
            data = private_files.read(path, MAX_BYTES)
            if data is None:
                return None
            return _BESIDE.validate_json(orjson.dumps(unseal(data, str(path), ("format", "beside"), FORMAT)["beside"]))
        except (TocsinError, ValidationError):
            return None


_BESIDE = TypeAdapter(Beside)

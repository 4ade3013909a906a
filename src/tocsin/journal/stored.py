"""What the journal holds, as rows of its tables and as nouns: for the service itself and for whoever looks on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from math import nan
from pathlib import Path
from typing import Any

import orjson

from tocsin.database import rows_of
from tocsin.journal.step import Progress
from tocsin.records import Alert, Position, Reason, Rejected

FILE = "journal.db"
MOST_ROWS = 10_000
"""Of one answer."""
LATEST = 2**62
"""No moment is later, in UTC microseconds."""

Query = Callable[..., list[tuple[Any, ...]]]
_REASON_NUMBERS = tuple(item.name for item in fields(Reason) if item.type == "float")


@dataclass(frozen=True, slots=True)
class Kept:
    """An alert in the journal, and at which sinks it has arrived."""

    alert: Alert
    committed: int
    outcomes: dict[str, str]
    """`delivered`, `given_up`, or empty while it waits, by sink."""


class Stored:
    """Answers from the journal.

    Parameters
    ----------
    query
        Runs a statement that only reads.
    """

    def __init__(self, query: Query) -> None:
        self._query = query

    @classmethod
    def beside(cls, folder: Path) -> Stored:
        """What a service keeps in a folder, whether it runs or not; each answer raises as `rows_of` does."""
        return cls(lambda statement, *values: rows_of(folder / FILE, statement, *values))

    def progress(self) -> Progress:
        """How far the service has come."""
        found = self._query("SELECT sequence, position, tally, model, committed FROM progress")
        if not found:
            return Progress()
        sequence, position, tally, model, committed = found[0]
        return Progress(sequence, position_of(position), orjson.loads(tally), model, committed)

    def alerts(
        self,
        since: int = 0,
        limit: int = 100,
        entity: str | None = None,
        before: tuple[int, str] = (LATEST, ""),
    ) -> list[Kept]:
        """The newest first, committed at or after a moment (UTC microseconds), and behind an alert of that order.

        Parameters
        ----------
        since, limit, entity
            Which, and how many.
        before
            When the last one that is known was committed, and its id.
        """
        found = self._query(
            "SELECT body, committed, (SELECT json_group_object(sink, outcome) FROM deliveries WHERE alert = alerts.id)"
            " FROM alerts WHERE committed >= ? AND (committed, id) < (?, ?)"
            " AND (? IS NULL OR entity = ?) ORDER BY committed DESC, id DESC LIMIT ?",
            *(since, *before, entity, entity, min(limit, MOST_ROWS)),
        )
        return [Kept(alert_of(body), committed, orjson.loads(outcomes)) for body, committed, outcomes in found]

    def letters(self, reason: str | None = None, limit: int = 100) -> list[Rejected]:
        """What was refused, the newest first."""
        found = self._query(
            "SELECT file, row, reason, detail, raw FROM letters WHERE ? IS NULL OR reason = ?"
            " ORDER BY committed DESC, file, row DESC LIMIT ?",
            *(reason, reason, min(limit, MOST_ROWS)),
        )
        return [Rejected(*row) for row in found]

    def letters_by_reason(self) -> dict[str, int]:
        """How many were refused, by reason."""
        return dict(self._query("SELECT reason, count(*) FROM letters GROUP BY reason ORDER BY reason"))

    def records(self, reason: str | None = None, limit: int = MOST_ROWS) -> list[bytes]:
        """Ids of letters that hold a record which can be given once more, in the order in which they were refused."""
        found = self._query(
            "SELECT id FROM letters WHERE (? IS NULL OR reason = ?) AND raw LIKE '{%' AND row > 0"
            " ORDER BY committed, file, row LIMIT ?",
            *(reason, reason, limit),
        )
        return [id for (id,) in found]

    def letter(self, id: bytes) -> Rejected | None:
        """What was refused, by its id; None if it is there no more."""
        found = self._query("SELECT file, row, reason, detail, raw FROM letters WHERE id = ?", id)
        return Rejected(*found[0]) if found else None

    def deliveries(self) -> dict[str, dict[str, int]]:
        """By sink how many alerts wait, were delivered, and were given up."""
        found: dict[str, dict[str, int]] = {}
        for sink, outcome, number in self._query(
            "SELECT sink, outcome, count(*) FROM deliveries GROUP BY sink, outcome"
        ):
            found.setdefault(sink, {})[outcome or "waiting"] = number
        return found

    def quiet(self) -> dict[str, int]:
        """How many alerts are kept and not delivered, by why."""
        return dict(self._query("SELECT quiet, count(*) FROM alerts WHERE quiet != '' GROUP BY quiet ORDER BY quiet"))

    def waiting(self, sink: str, limit: int, behind: str = "") -> list[tuple[Alert, int]]:
        """Alerts that a sink has not taken yet, in the order in which they rang, and when each was committed.

        They begin behind the alert of an id; from the first one on if it is there no more.
        """
        found = self._query(
            "SELECT body, committed FROM deliveries JOIN alerts ON alert = id WHERE sink = ? AND outcome = ''"
            " AND alerts.rowid > coalesce((SELECT rowid FROM alerts WHERE id = ?), 0) ORDER BY alerts.rowid LIMIT ?",
            *(sink, behind, limit),
        )
        return [(alert_of(body), committed) for body, committed in found]

    def verdicts(self, since: int = 0, limit: int = 1_000) -> list[dict[str, Any]]:
        """What was said of rows, the newest first, as far as `stream.record` keeps it."""
        names = ("committed", "time", "entity", "origin", "score", "p_value", "flagged", "state", "model")
        found = self._query(
            f"SELECT {', '.join(names)} FROM verdicts WHERE committed >= ? ORDER BY committed DESC, rowid DESC LIMIT ?",  # noqa: S608  # our own names
            *(since, min(limit, MOST_ROWS)),
        )
        return [dict(zip(names, row, strict=True)) for row in found]


def alert_text(alert: Alert) -> str:
    """An alert as the JSON text that `alert_of` reads."""
    return orjson.dumps(_legible(asdict(alert))).decode()


def _legible(values: dict[str, Any]) -> dict[str, Any]:
    return {name: as_text(value) if isinstance(value, str) else value for name, value in values.items()}


def as_text(value: str) -> str:
    """What can be stored: half of a surrogate pair can come from any log, and is no text."""
    return value.encode("utf-8", "backslashreplace").decode()


def alert_of(text: str) -> Alert:
    """The alert that `alert_text` wrote, of this Tocsin or an earlier one."""
    values = orjson.loads(text)
    known = {item.name for item in fields(Alert)}
    reasons = tuple(map(_reason_of, values["reasons"]))
    return Alert(**{name: _frozen(value) for name, value in values.items() if name in known} | {"reasons": reasons})


def _reason_of(values: dict[str, Any]) -> Reason:
    """JSON has no NaN."""
    missing = {name: nan for name, value in values.items() if value is None and name in _REASON_NUMBERS}
    return Reason(**values | missing)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def position_text(position: Position) -> str:
    """A position as the JSON text that `position_of` reads."""
    return orjson.dumps([position.source, dict(position.offsets)]).decode()


def position_of(text: str | None) -> Position | None:
    """The position that `position_text` wrote."""
    if text is None:
        return None
    source, offsets = orjson.loads(text)
    return Position(source, offsets)

"""What every source is, and the one way from a source into Tocsin."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import blake2b
from math import isnan
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import orjson
from pydantic import Field

from tocsin import observe
from tocsin.annotations import KEEP, Labeller
from tocsin.component import Part, snake_case
from tocsin.errors import SchemaError
from tocsin.records import FILE, GENERATED, ROW, Batch, Mask, Position, Rejected
from tocsin.schema import Schema
from tocsin.schema.record_text import is_cut, record_text

MAX_KEYS = 100_000
"""Keys remembered for deduplication, at about 150 bytes each."""
_KEY_BYTES = 16
_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A file, an object or a record, as a listing tells of it."""

    name: str
    size: int | None
    """Bytes; None if the listing does not say."""
    modified: datetime | None
    """UTC; None if the listing does not say."""


RowsPerBatch = Annotated[int, Field(ge=1, le=100_000)]


class Source(Part):
    """Reads telemetry in batches. Life: `open`, then `read` and `acknowledge` in turns, then `close`."""

    replayable: bool = True
    """Whether a position gives the same rows again, in the same order; if not, accepted input is journalled."""

    @abstractmethod
    def open(self, resume: Position | None = None) -> None:
        """Make ready to read, from the start or from a position that `acknowledge` returned.

        Raises
        ------
        DataError
            If there is nothing to read at all (no file matches).
        SourceLost
            If a server does not answer.
        """

    @abstractmethod
    def read(self, timeout_s: float) -> Batch | None:
        """The next rows as the source has them, with `_file` and `_row`; None if none came in time or it ended.

        What could not become a row travels as `batch.rejected`: one broken row or file never stops the others.
        """

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether nothing more will ever come."""

    @property
    def endless(self) -> bool:
        """Whether it goes on until it is stopped, as its parameters say: history cannot be read from it."""
        return False

    @property
    def named(self) -> tuple[str, ...]:
        """Columns that its parameters name, each to fill a field."""
        return ()

    @abstractmethod
    def acknowledge(self, batch: Batch) -> Position:
        """This batch, the last one read, is done with; reading may resume behind it. Nobody else is told yet."""

    def confirm(self) -> None:
        """All that was acknowledged is kept for good: a broker may forget it, a log of Tocsin's own delete it.

        Where positions can be read again, this is said when a checkpoint is written, and else with every commit.

        Raises
        ------
        SourceLost
            If a broker could not be told; it will then give the same once more.
        """

    def close(self) -> None:
        """Release what `open` took; may be called twice."""

    @property
    def pieces(self) -> Iterator[Piece]:
        """What there is to be read, listed without being read; nothing where that cannot be told.

        Raises
        ------
        DataError, SourceLost
            As `open`.
        """
        return iter(())

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of every file read to its end since `open`, by file."""
        return {}


@dataclass(slots=True)
class Tally:
    """What became of the rows: received = passed on + quarantined + duplicates + ignored."""

    received: int = 0
    passed_on: int = 0
    quarantined: int = 0
    duplicates: int = 0
    ignored: int = 0
    """Left out on purpose, by the labels, by the source, or for their time."""
    files_refused: int = 0
    """Files that could not be read, or not to their end."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Quarantined rows and refused files by reason."""
    generated: bool = False
    """Whether any row says that it was generated."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file read, by file."""

    def to_json(self) -> dict[str, Any]:
        """All but the digests, as `update` takes them."""
        return {name: value for name, value in asdict(self).items() if name != "digests"}

    def update(self, values: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave."""
        for name, value in values.items():
            setattr(self, name, dict(value) if isinstance(value, dict) else value)


class Refusals(Protocol):
    """Where refused rows are kept."""

    def add(self, rejected: Sequence[Rejected], /) -> None:
        """Keep these."""


class Quarantine:
    """Keeps refused rows with their reason, one JSON object per line, readable by the owner alone.

    Parameters
    ----------
    path
        Appended to; made on the first refused row.
    limit_bytes
        Size of the file beyond which refused rows are only counted.
    """

    def __init__(self, path: Path, limit_bytes: int = 64_000_000) -> None:
        self.path = path
        self.limit_bytes = limit_bytes
        self._full = False

    def add(self, rejected: Iterable[Rejected]) -> None:
        """Write these, as far as they find room."""
        lines = [] if self._full else [orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in rejected]
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            os.fchmod(file.fileno(), 0o600)
            room = self.limit_bytes - os.fstat(file.fileno()).st_size
            fits = int(np.searchsorted(np.cumsum([len(line) for line in lines]), room, side="right"))
            file.writelines(lines[:fits])
        if fits < len(lines):
            self._full = True
            observe.quarantine_full(str(self.path), self.limit_bytes)


class Intake:
    """The one way from a source into Tocsin: labels, schema, quarantine, deduplication, pseudonyms.

    Iterating opens the source, yields valid batches, acknowledges each when the next is asked for, and closes. A
    stream that must do more before it acknowledges calls `accept` for each batch it read.

    Parameters
    ----------
    source
        Not yet open.
    schema
        What valid rows look like; its key names what is a duplicate among the last 100,000 keys. A row that lacks a
        part of its key is none.
    labels
        What is known of the raw rows; where they or the source say `_keep` is False, a row is left out.
    wanted
        Which valid rows are used; the others are left out.
    pseudonymise
        What becomes of valid rows.
    quarantine
        Where refused rows are kept; they are counted in any case.
    tally
        Counts up; a fresh one by default.
    latest
        The latest time that a row may have now, UTC microseconds; None while nobody knows.
    """

    def __init__(  # noqa: PLR0913  # the stations of the way, each of them optional
        self,
        source: Source,
        schema: Schema,
        *,
        labels: Labeller | None = None,
        wanted: Callable[[Batch], Mask] | None = None,
        pseudonymise: Callable[[Batch], Batch] | None = None,
        quarantine: Refusals | None = None,
        tally: Tally | None = None,
        latest: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.tally = tally or Tally()
        self._source = source
        self._name = snake_case(type(source).__name__)
        self._schema = schema
        self._labels = labels
        self._wanted = wanted
        self._pseudonymise = pseudonymise
        self._quarantine = quarantine
        self._latest = latest
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._misfit: SchemaError | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Valid batches, none of them empty.

        Raises
        ------
        SchemaError
            At the end, if no row at all fitted because columns are absent.
        DataError
            At the end, if the labels do not belong to these rows.
        """
        self._source.open()
        try:
            while not self._source.ended:
                raw = self._source.read(_WAIT_S)
                if raw is None:
                    continue
                valid = self.accept(raw)
                if valid.rows:
                    yield valid
                self._source.acknowledge(raw)
            if self._labels:
                self._labels.finish()
        finally:
            self.tally.digests.update(self._source.digests)
            self._source.close()
        if self._misfit and not self.tally.passed_on:
            raise self._misfit

    def accept(self, raw: Batch) -> Batch:
        """The valid rows of a batch as a source read it; all others are counted and kept."""
        typed, refused, ignored = self._typed(raw)
        valid = typed.take(self._wanted(typed)) if self._wanted and typed.rows else typed
        ignored += typed.rows - valid.rows
        refused = (*raw.rejected, *refused)
        files = [item for item in refused if not item.row]
        valid = self._pseudonymise(valid) if self._pseudonymise and valid.rows else valid
        fresh = self._unseen(valid)
        received = raw.rows + len(raw.rejected) - len(files)
        quarantined, duplicates = len(refused) - len(files), valid.rows - fresh.rows
        if received != fresh.rows + quarantined + duplicates + ignored:
            raise AssertionError(f"{received} rows received, but the sum of what became of them differs")
        self._count(received, fresh.rows, duplicates, ignored)
        self._refuse(refused)
        self.tally.generated = self.tally.generated or _is_generated(raw)
        return fresh

    def take_back(self, refused: Sequence[Rejected]) -> None:
        """Rows that were passed on and could not be scored are refused after all."""
        self.tally.passed_on -= len(refused)
        self._refuse(refused)

    @property
    def keys(self) -> bytes:
        """The keys remembered, oldest first, 16 bytes each."""
        return b"".join(self._seen)

    def remember(self, keys: bytes) -> None:
        """Go on from what `keys` gave."""
        self._seen = OrderedDict.fromkeys(keys[place : place + _KEY_BYTES] for place in range(0, len(keys), _KEY_BYTES))

    def recall(self, accepted: Batch) -> None:
        """Remember the keys of rows that were passed on before a kill."""
        self._unseen(accepted)

    def _typed(self, raw: Batch) -> tuple[Batch, tuple[Rejected, ...], int]:
        wanted = np.asarray(raw[KEEP], dtype=bool) if KEEP in raw else np.ones(raw.rows, dtype=bool)
        try:
            marked = raw.replace(self._labels(raw)) if self._labels else raw
            kept = marked.take(wanted & np.asarray(marked[KEEP], dtype=bool)) if KEEP in marked else marked
            valid, refused = self._schema.split(kept, self._latest())
        except SchemaError as error:
            ignored = int(np.count_nonzero(~wanted))
            if ignored == raw.rows:
                return Batch({}), (), ignored
            problem = error.problem
            where = f"{raw[FILE][0]}: {problem.where}"
            self._misfit = self._misfit or SchemaError(where, problem.got, problem.wanted, problem.hint)
            detail = f"{error.problem.where}: got {error.problem.got}"
            rows = np.flatnonzero(wanted).tolist()
            places = [(str(raw[FILE][row]), int(raw[ROW][row]), record_text(raw, row)) for row in rows]
            refused = tuple(Rejected(file, row, "missing_column", detail, text) for file, row, text in places)
            return Batch({}), refused, ignored
        if KEEP in valid:
            valid = Batch({name: column for name, column in valid.items() if name != KEEP})
        return valid, refused, raw.rows - kept.rows

    def _unseen(self, valid: Batch) -> Batch:
        if not self._schema.key or not valid.rows:
            return valid
        keys = zip(*(valid[name].tolist() for name in self._schema.key), strict=True)
        return valid.take(np.fromiter((self._first(key) for key in keys), bool, valid.rows))

    def _first(self, key: tuple[object, ...]) -> bool:
        for part in key:
            if part == "" or (isinstance(part, float) and isnan(part)):
                return True
        digest = blake2b(repr(key).encode(), digest_size=_KEY_BYTES).digest()
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if len(self._seen) > MAX_KEYS:
            self._seen.popitem(last=False)
        return True

    def _count(self, received: int, passed_on: int, duplicates: int, ignored: int) -> None:
        tally, name = self.tally, self._name
        tally.received += received
        tally.passed_on += passed_on
        tally.duplicates += duplicates
        tally.ignored += ignored
        observe.rows_received(name, received)
        observe.rows_passed_on(name, passed_on)
        if duplicates:
            observe.duplicates_dropped(name, duplicates)
        if ignored:
            observe.rows_ignored(name, ignored)

    def _refuse(self, refused: Sequence[Rejected]) -> None:
        if not refused:
            return
        reasons: Counter[str] = Counter()
        cut = sum(is_cut(item.raw) for item in refused)
        if cut:
            observe.records_cut(self._name, cut)
        for item in refused:
            self.tally.reasons[item.reason] = self.tally.reasons.get(item.reason, 0) + 1
            if item.row:
                reasons[item.reason] += 1
            else:
                self.tally.files_refused += 1
                observe.file_refused(self._name, item.file, item.reason, item.detail)
        self.tally.quarantined += reasons.total()
        for reason, rows in reasons.items():
            observe.rows_quarantined(self._name, rows, reason)
        if self._quarantine:
            self._quarantine.add(refused)


def last_row(batch: Batch) -> tuple[str, int]:
    """The file of a batch, and its last row that is done with, refused rows included."""
    file = str(batch[FILE][0]) if batch.rows else batch.rejected[0].file
    return file, max([*batch[ROW][-1:].tolist(), *(item.row for item in batch.rejected)])


def _is_generated(raw: Batch) -> bool:
    column = raw.get(GENERATED)
    return column is not None and any(str(value).strip().lower() in ("true", "1") for value in set(column.tolist()))

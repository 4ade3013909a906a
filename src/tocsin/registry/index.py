"""What is written in a registry, as rows of one database: lists and trends need not read every document again.

A cache and never trusted: what is loaded or promoted is read from the documents themselves. One that is missing, stale
or damaged is caught up or made anew in silence; one that cannot be used makes a list slower, never wrong.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from tocsin import observe
from tocsin.database import Database
from tocsin.errors import IntegrityError, NotStored, Problem, TocsinError
from tocsin.model.documents import Signed, sha256
from tocsin.registry.judging import Judged, collected
from tocsin.registry.ledger import Assessment, ChannelEntry, Ledger, Record, Version
from tocsin.registry.root import Roots
from tocsin.storage import Store

APPLICATION = int.from_bytes(b"tocs")
MIGRATIONS = (
    """
    CREATE TABLE documents (
      place TEXT PRIMARY KEY,  -- its name on the store
      name TEXT NOT NULL,      -- of the model
      kind TEXT NOT NULL,      -- versions, judgements or channels
      part TEXT NOT NULL,      -- the channel, or the version that was judged
      number INTEGER NOT NULL,
      signer TEXT NOT NULL,    -- id of the key
      digest TEXT NOT NULL,    -- SHA-256 of its bytes
      document TEXT NOT NULL,  -- JSON
      whole TEXT NOT NULL      -- SHA-256 of the row before it
    );
    CREATE INDEX documents_by_name ON documents (name);
    CREATE VIEW versions AS SELECT
      name, number AS version, json_extract(document, '$.version.digest') AS digest,
      json_extract(document, '$.version.created') AS created, json_extract(document, '$.version.passed') AS passed,
      json_extract(document, '$.version.size_bytes') AS size_bytes, signer AS judge,
      json_extract(document, '$.version.summary') AS figures
    FROM documents WHERE kind = 'versions';
    CREATE VIEW steps AS SELECT
      name, part AS channel, number AS step, json_extract(document, '$.version') AS version,
      json_extract(document, '$.issued') AS issued, json_extract(document, '$.reason') AS reason, signer
    FROM documents WHERE kind = 'channels'
    """,
)
Documents = Mapping[str, Signed[Any]]
"""By their place, the name on the store."""

_PLACE = re.compile(r"models/(?P<name>[^/]+)/(versions|judgements/\d{6,18}|channels/[^/]+)/\d{6,18}\.json")
_RETIRED = re.compile(r"models/[^/]+/retired/(?P<number>\d{6,18})\.json")
_KINDS: Mapping[str, TypeAdapter[Any]] = {
    "versions": TypeAdapter(Record),
    "judgements": TypeAdapter(Assessment),
    "channels": TypeAdapter(ChannelEntry),
}
_INSERT = "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT place, name, kind, part, number, signer, digest, document, whole FROM documents WHERE name = ?"
_WAIT_S = 1.0
"""For another process with the index: to read the documents takes little longer."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All that is written about the models of one name."""

    versions: Mapping[int, Signed[Record]]
    """Every one that was ever added, by number."""
    judgements: Mapping[int, tuple[Signed[Assessment], ...]]
    """What gates said of a version after it was added."""
    channels: Mapping[str, tuple[Signed[ChannelEntry], ...]]
    """Their steps, first to last."""
    retired: frozenset[int]
    """Versions that were given up."""
    problems: tuple[Problem, ...]
    """Documents that cannot be read; they are left out."""

    @classmethod
    def of(cls, documents: Documents, retired: Iterable[int], problems: Iterable[Problem]) -> Self:
        """The documents in order."""
        shelves: dict[str, dict[str, dict[int, Signed[Any]]]] = {kind: {} for kind in _KINDS}
        for place in sorted(documents):
            kind, part, number = _found(place)
            shelves[kind].setdefault(part, {})[number] = documents[place]
        judgements, channels = (
            {part: tuple(there.values()) for part, there in shelves[kind].items()}
            for kind in ("judgements", "channels")
        )
        judged = {int(version): said for version, said in judgements.items()}
        return cls(shelves["versions"].get("", {}), judged, channels, frozenset(retired), tuple(problems))

    @property
    def living(self) -> tuple[Version, ...]:
        """The versions that were not given up, oldest first."""
        pointed = {steps[-1].document.version for steps in self.channels.values()}
        gone = self.retired - pointed
        return tuple(signed.document.version for number, signed in self.versions.items() if number not in gone)

    def judged(self, number: int, roots: Roots) -> tuple[Judged, ...]:
        """All verdicts on a version, the one that it was added with first."""
        return collected(roots, self.versions[number], self.judgements.get(number, ()))


class Index:
    """Rows about the documents of a registry.

    Parameters
    ----------
    store, ledger
        Where the documents are, and how those of a name are read.
    path
        The database.
    """

    def __init__(self, store: Store, ledger: Callable[[str], Ledger], path: Path) -> None:
        self._store = store
        self._ledger = ledger
        self._path = path

    def listing(self, name: str) -> Listing:
        """All that is written about a name; what the index lacks is read and kept in it.

        Raises
        ------
        RegistryError
            If the registry cannot be read.
        """
        there = self._store.list(f"models/{name}")
        places = {place for place in there if _PLACE.fullmatch(place)}
        ledger, kept = self._ledger(name), self._kept(name)
        known = {place: kept[place] for place in places & kept.keys()}
        if _replaced(ledger, known):
            known = {}
        read, problems = _read(ledger, places - known.keys())
        documents = known | read
        if documents != kept:
            self._keep(name, documents)
        retired = (int(mark["number"]) for mark in map(_RETIRED.fullmatch, there) if mark)
        return Listing.of(documents, retired, problems)

    def rebuild(self) -> int:
        """Delete the index, read every document again and return their number.

        Raises
        ------
        RegistryError
            If the registry cannot be read, or the index not be written.
        """
        places = [place for place in map(_PLACE.fullmatch, self._store.list("models")) if place]
        read: dict[str, Signed[Any]] = {}
        for name in sorted({place["name"] for place in places}):
            read |= _read(self._ledger(name), (place[0] for place in places if place["name"] == name))[0]
        with self._database(anew=True) as database, database.transaction() as connection:
            connection.executemany(_INSERT, map(_row, read.items()))
        return len(read)

    def _database(self, *, anew: bool = False) -> Database:
        return Database(self._path, APPLICATION, MIGRATIONS, anew=anew, wait_s=_WAIT_S)

    def _kept(self, name: str) -> dict[str, Signed[Any]]:
        """What the index has of a name; nothing if it cannot be used."""
        if not self._path.exists():
            return {}
        try:
            with self._database() as database:
                rows = database.rows(_SELECT, name)
        except (IntegrityError, sqlite3.Error) as error:
            observe.index_made_anew(str(error))
            with suppress(TocsinError):
                self._database(anew=True).close()
            return {}
        except TocsinError as error:
            observe.index_set_aside(error.problem.got)
            return {}
        kept = {}
        for *row, whole in rows:
            place, _, kind, _, _, signer, digest, text = row
            with suppress(ValidationError):  # an earlier Tocsin kept less of it: it is read again
                if _whole(row) == whole:
                    kept[place] = Signed(_KINDS[kind].validate_json(text, strict=True), signer, digest)
        return kept

    def _keep(self, name: str, documents: Documents) -> None:
        try:
            with self._database() as database, database.transaction() as connection:
                connection.execute("DELETE FROM documents WHERE name = ?", (name,))
                connection.executemany(_INSERT, map(_row, documents.items()))
        except TocsinError as error:
            observe.index_set_aside(error.problem.got)


def _replaced(ledger: Ledger, known: Documents) -> bool:
    """Whether other documents stand where known ones stood: none is ever changed, so that the last version tells."""
    last = max((place for place in known if "/versions/" in place), default=None)
    if last is None:
        return False
    with suppress(IntegrityError, NotStored):
        return _document(ledger, last).digest != known[last].digest
    return True


def _read(ledger: Ledger, places: Iterable[str]) -> tuple[dict[str, Signed[Any]], list[Problem]]:
    """Documents by their place, and what is wrong with those that cannot be read."""
    read, problems = {}, []
    for place in sorted(places):
        try:
            read[place] = _document(ledger, place)
        except (IntegrityError, NotStored) as error:
            problems.append(error.problem)
    if read:
        observe.index_caught_up(len(read))
    return read, problems


def _document(ledger: Ledger, place: str) -> Signed[Any]:
    kind, part, number = _found(place)
    if kind == "versions":
        return ledger.signed_record(number)
    return ledger.judgements(int(part)).signed(number) if kind == "judgements" else ledger.channel(part).signed(number)


def _found(place: str) -> tuple[str, str, int]:
    """Of a document, what kind it is, whose it is among them (a channel's, a judged version's), and its number."""
    _, _, kind, *part, file = place.split("/")
    return kind, "".join(part), int(file.removesuffix(".json"))


def _row(kept: tuple[str, Signed[Any]]) -> tuple[str | int, ...]:
    place, signed = kept
    kind, part, number = _found(place)
    document = _KINDS[kind].dump_json(signed.document).decode()
    row = (place, place.split("/")[1], kind, part, number, signed.key, signed.digest, document)
    return (*row, _whole(row))


def _whole(row: Sequence[str | int]) -> str:
    """By what a row is known that a disk has not kept as it was."""
    return sha256(repr(tuple(row)).encode())

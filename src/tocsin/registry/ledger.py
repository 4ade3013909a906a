"""What is written about the models of one name: their versions, the steps of the channels, what was retired.

``models/<name>/versions/<number>.json``         a version: its objects, its verdict, a few figures
``models/<name>/channels/<channel>/<n>.json``    a channel's steps; the highest number says where it points
``models/<name>/retired/<number>.json``          a version that was given up
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tocsin.errors import IntegrityError
from tocsin.model.documents import Shelf
from tocsin.records import Verdict
from tocsin.storage import Store

CANDIDATE, CHAMPION = "candidate", "champion"
"""The version added last, and the one that serves."""
Step = Literal["added", "promoted", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Version:
    """A model in the registry."""

    name: str
    version: int
    digest: str
    """Identity of the model, see `tocsin.model.bundle.digest`."""
    manifest: str
    """SHA-256 of the manifest's bytes."""
    created: str
    """ISO 8601, UTC."""
    passed: bool
    """Whether the verdict allows it to go live."""
    size_bytes: int
    generated: bool
    """Trained or judged on generated rows."""
    summary: Mapping[str, Any]
    """Figures of the report and short notes, at most 100."""


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One step of a channel."""

    number: int
    version: int
    manifest: str
    issued: str
    """ISO 8601, UTC."""
    reason: Step


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file of a version, kept under the hash of its bytes."""

    sha256: str
    size: int

    @property
    def name(self) -> str:
        """Its name on the store."""
        return f"objects/sha256/{self.sha256[:2]}/{self.sha256}"


@dataclass(frozen=True, slots=True)
class Record:
    """The document of a version."""

    version: Version
    objects: Mapping[str, StoredObject]
    """By file name."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Retirement:
    """The document of a version that was given up."""

    version: int
    issued: str


class Ledger:
    """The documents of one name.

    Parameters
    ----------
    store, name
        Where, and of which models.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._folder = f"models/{name}"
        self.name = name
        self.versions = Shelf(store, f"{self._folder}/versions", Record)
        self.retirements = Shelf(store, f"{self._folder}/retired", Retirement)

    def record(self, number: int) -> Record:
        """The document of a version; raises IntegrityError if it speaks of another."""
        record = self.versions.read(number)
        if (record.version.name, record.version.version) != (self.name, number):
            raise IntegrityError(f"{self.name} version {number}", "the document of another version", "its own")
        return record

    def follow(self, entry: ChannelEntry) -> Record:
        """The version that a step points at; raises IntegrityError if it is not the one that was meant."""
        record = self.record(entry.version)
        if record.version.manifest != entry.manifest:
            got = f"the manifest {record.version.manifest[:12]}"
            raise IntegrityError(
                f"{self.name} version {entry.version}", got, f"{entry.manifest[:12]}, as a channel says"
            )
        return record

    def channel(self, channel: str) -> Shelf[ChannelEntry]:
        """The steps of a channel."""
        return Shelf(self._store, f"{self._folder}/channels/{channel}", ChannelEntry)

    def channels(self) -> list[str]:
        """Names of the channels that have a step."""
        folders = {item.rpartition("/")[0] for item in self._store.list(f"{self._folder}/channels")}
        names = (folder.removeprefix(f"{self._folder}/channels/") for folder in folders)
        return sorted(name for name in names if "/" not in name and self.channel(name).numbers())

    def steps(self, channel: str) -> tuple[ChannelEntry, ...]:
        """Every step of a channel, first to last."""
        shelf = self.channel(channel)
        return tuple(shelf.read(number) for number in shelf.numbers())

    def last(self, channel: str) -> ChannelEntry | None:
        """The step that counts."""
        shelf = self.channel(channel)
        numbers = shelf.numbers()
        return shelf.read(numbers[-1]) if numbers else None

    def point(self, channel: str, version: Version, last: ChannelEntry | None, reason: Step, issued: str) -> None:
        """Add the step after `last`; raises ConflictError if somebody else has."""
        number = last.number + 1 if last else 1
        self.channel(channel).create(number, ChannelEntry(number, version.version, version.manifest, issued, reason))

    def before(self, steps: Iterable[ChannelEntry]) -> int | None:
        """Where a roll back leads: promotions pile up, a roll back takes from the pile."""
        pile: list[int] = []
        for entry in steps:
            if entry.reason == "rolled_back":
                while pile and pile[-1] != entry.version:
                    pile.pop()
            if pile[-1:] != [entry.version]:
                pile.append(entry.version)
        gone = self.retired() | set(pile[-1:])
        return next((number for number in reversed(pile) if number not in gone), None)

    def needed(self) -> set[int]:
        """Versions that a channel points at, or would go back to."""
        needed: set[int] = set()
        for channel in self.channels():
            steps = self.steps(channel)
            before = None if channel == CANDIDATE else self.before(steps)
            needed |= {number for number in (steps[-1].version, before) if number}
        return needed

    def retired(self) -> set[int]:
        """Versions that carry a mark of retirement."""
        return set(self.retirements.numbers())

    def living(self, retired_before: datetime | None = None) -> list[int]:
        """Versions that are not retired, or were not yet at a given time."""
        retired = self.retired()
        if retired:
            retired -= {entry.version for channel in self.channels() if (entry := self.last(channel))}
        if retired_before is not None:
            marks = {number: self._store.modified(self.retirements.name(number)) for number in retired}
            retired = {number for number, marked in marks.items() if marked < retired_before}
        return [number for number in self.versions.numbers() if number not in retired]

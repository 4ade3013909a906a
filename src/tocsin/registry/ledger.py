"""What is written about the models of one name: their versions, the steps of the channels, what was retired.

``models/<name>/versions/<number>.json``             a version: its objects, its verdict, a few figures
``models/<name>/judgements/<number>/<n>.json``       what a gate said of that version later
``models/<name>/channels/<channel>/<n>.json``        a channel's steps; the highest number says where it points
``models/<name>/retired/<number>.json``              a version that was given up
``models/<name>/pins/<n>.json``                      rows that every candidate is tried on
``models/<name>/heirlooms/<n>.json``                 what another system wrote down of a model of its own

Each is signed: a step of a channel by the channel key, all else and the steps of the candidate by the train key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tocsin.errors import ConflictError, IntegrityError, NotStored, RegistryError
from tocsin.model.documents import Shelf, Signed, timestamp
from tocsin.records import Verdict
from tocsin.registry.keys import Role
from tocsin.registry.root import Filled
from tocsin.registry.trust import Trust
from tocsin.registry.watch import Watch
from tocsin.storage import SEGMENT, Store

CANDIDATE, CHAMPION = "candidate", "champion"
"""The version added last, and the one that serves."""
ARCHIVED = "archived"
"""The version that served before the champion: no steps of its own, those of the champion say it."""
Step = Literal["added", "promoted", "rolled_back", "renewed"]
_PINS, _HEIRLOOMS, _JUDGEMENTS = "@pins", "@heirlooms", "@judgements"
"""No channel can have such a name."""
MAX_SUMMARY = 100
MAX_NOTE = 500
"""Characters of an approval."""


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

    @property
    def shown(self) -> str:
        """As alerts name it."""
        return f"{self.name} {self.version} ({self.digest[:12]})"


@dataclass(frozen=True, slots=True)
class ChannelEntry:
    """One step of a channel."""

    number: int
    version: int
    manifest: str
    audience: str
    """Whom it is for."""
    issued: str
    """ISO 8601, UTC."""
    expires: str
    """From then on it is no longer fresh."""
    reason: Step
    approved: str | None
    """Why a person let a soft bound pass."""
    previous: str
    """SHA-256 of the step before; empty for the first."""


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
class Assessment:
    """What a gate said of a version."""

    version: int
    manifest: str
    issued: str
    """ISO 8601, UTC."""
    verdict: Verdict
    report: StoredObject


@dataclass(frozen=True, slots=True)
class Retirement:
    """The document of a version that was given up."""

    version: int
    issued: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """The document of pinned rows, see `tocsin.registry.pins`."""

    anchor: str
    """Digest of the model that they were pinned with."""
    issued: str
    """ISO 8601, UTC."""
    files: Mapping[str, StoredObject]
    """By file name."""


@dataclass(frozen=True, slots=True)
class Heirloom:
    """The document of a model of another system, see `tocsin.registry.luggage`."""

    system: str
    name: str
    """As that system named it."""
    version: str
    description: str
    created: str
    """As that system wrote it; empty where it did not."""
    figures: Mapping[str, float]
    refused: Mapping[str, str]
    """Names of its files, and why they are not read."""
    source: str
    """SHA-256 of the file that said so."""
    issued: str = ""
    """When it was taken in, ISO 8601, UTC; empty where that was not noted."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.system, self.name, self.version


class Ledger:
    """The documents of one name.

    Parameters
    ----------
    store, name
        Where, and of which models.
    trust
        Whose documents count, and what was seen of them.
    """

    def __init__(self, store: Store, name: str, trust: Trust) -> None:
        self._store = store
        self._folder = f"models/{name}"
        self._trust = trust
        self._watch = Watch(trust, name)
        self.name = name
        kinds = ("versions", "retired", "pins", "heirlooms")
        versions, retired, pins, heirlooms = (f"{self._folder}/{kind}" for kind in kinds)
        self.versions = Shelf(store, versions, Record, trust.signatory(versions, "train"))
        self.retirements = Shelf(store, retired, Retirement, trust.signatory(retired, "train", ever=True))
        self.pins = Shelf(store, pins, Pinned, trust.signatory(pins, "channel", "train"))
        self.heirlooms = Shelf(store, heirlooms, Heirloom, trust.signatory(heirlooms, "train", ever=True))

    def record(self, number: int) -> Record:
        """The document of a version; raises IntegrityError if it speaks of another."""
        return self.signed_record(number).document

    def signed_record(self, number: int) -> Signed[Record]:
        """The document of a version and who signed it; raises as `record` does."""
        signed = self.versions.signed(number)
        version = signed.document.version
        if (version.name, version.version) != (self.name, number):
            raise IntegrityError(f"{self.name} version {number}", "the document of another version", "its own")
        return signed

    def follow(self, entry: ChannelEntry) -> Signed[Record]:
        """The version that a step points at; raises IntegrityError if it is not the one that was meant."""
        record = self.signed_record(entry.version)
        if record.document.version.manifest != entry.manifest:
            got = f"the manifest {record.document.version.manifest[:12]}"
            raise IntegrityError(
                f"{self.name} version {entry.version}", got, f"{entry.manifest[:12]}, as a channel says"
            )
        return record

    def pinned(self) -> Signed[Pinned] | None:
        """The pinned rows that count; raises as `signed_last` does."""
        return self._watch.last(self.pins, _PINS)

    def assessments(self, number: int) -> tuple[Signed[Assessment], ...]:
        """What gates said of a version after it was added, first to last; raises as `signed_last` does."""
        shelf = self.judgements(number)
        self._watch.last(shelf, f"{_JUDGEMENTS}/{number:06d}")
        return tuple(map(shelf.signed, shelf.numbers()))

    def inherited(self) -> tuple[Heirloom, ...]:
        """What other systems wrote down, the first one first; raises as `signed_last` does."""
        self._watch.last(self.heirlooms, _HEIRLOOMS)
        return tuple(map(self.heirlooms.read, self.heirlooms.numbers()))

    def judgements(self, number: int) -> Shelf[Assessment]:
        """The shelf of what gates said of a version."""
        folder = f"{self._folder}/judgements/{number:06d}"
        return Shelf(self._store, folder, Assessment, self._trust.signatory(folder, "channel", "train"))

    def channel(self, channel: str) -> Shelf[ChannelEntry]:
        """The steps of a channel."""
        folder = f"{self._folder}/channels/{channel}"
        role: Role = "train" if channel == CANDIDATE else "channel"
        return Shelf(self._store, folder, ChannelEntry, self._trust.signatory(folder, role))

    def channels(self) -> list[str]:
        """Names of the channels that have a step."""
        folders = {item.rpartition("/")[0] for item in self._store.list(f"{self._folder}/channels")}
        names = (folder.removeprefix(f"{self._folder}/channels/") for folder in folders)
        return sorted(name for name in names if "/" not in name and self.channel(name).numbers())

    def seen(self) -> list[str]:
        """Names of the channels that this machine has seen a step of."""
        return [channel for channel in self._watch.seen if not channel.startswith("@")]

    def steps(self, channel: str) -> tuple[ChannelEntry, ...]:
        """Every step of a channel, first to last; raises IntegrityError unless each names the one before."""
        return tuple(self._back(channel, self.signed_last(channel)))[::-1]

    def _back(self, channel: str, last: Signed[ChannelEntry] | None) -> Iterator[ChannelEntry]:
        """A step and those before it, each read as it is asked for; raises as `steps` does."""
        shelf, signed = self.channel(channel), last
        while signed:
            entry = signed.document
            yield entry
            signed = shelf.signed(entry.number - 1) if entry.number > 1 else None
            if entry.previous != (signed.digest if signed else ""):
                where, wanted = shelf.name(entry.number), entry.previous[:12]
                raise IntegrityError(where, "a step after another one than is there", wanted)

    def last(self, channel: str) -> ChannelEntry | None:
        """The step that counts; raises as `signed_last` does."""
        signed = self.signed_last(channel)
        return signed.document if signed else None

    def signed_last(self, channel: str) -> Signed[ChannelEntry] | None:
        """The step that counts and who signed it.

        Raises
        ------
        IntegrityError
            If it was not written by those who may, is for others, or is not what was seen here or a later one.
        """
        signed = self._watch.last(self.channel(channel), channel)
        if signed and signed.document.audience != self._trust.audience:
            got = f'a step for "{signed.document.audience}"'
            raise self._watch.refusal(channel, "audience", got, f'one for "{self._trust.audience}"')
        return signed

    def point(
        self, channel: str, version: Version, reason: Step, after: Signed[ChannelEntry] | None, note: str | None = None
    ) -> None:
        """Add the step after another; raises ConflictError if somebody else has, and says who."""
        now = self._trust.clock()
        shelf, number = self.channel(channel), after.document.number + 1 if after else 1
        entry = ChannelEntry(
            number, version.version, version.manifest, self._trust.audience, timestamp(now),
            timestamp(now + self._trust.expires), reason, note, after.digest if after else "",
        )  # fmt: skip
        try:
            digest = shelf.create(number, entry)
        except ConflictError as error:
            raise self.lost(channel, shelf.signed(number)) from error
        self._watch.remember(channel, number, entry, digest)

    def nominate(self, version: Version) -> None:
        """Move the candidate forward to a version, unless a later one is there already."""
        while (last := self.signed_last(CANDIDATE)) is None or last.document.version < version.version:
            with suppress(ConflictError):
                self.point(CANDIDATE, version, "added", last)

    def lost(self, channel: str, winner: Signed[ChannelEntry] | None, wanted: str = "to be first") -> ConflictError:
        """What somebody is told whom another one overtook."""
        got = "no version"
        if winner:
            step = winner.document
            got = f"version {step.version}, {step.reason} at {step.issued} by the key {winner.key}"
        hint = "somebody else moved it: look at its history, then decide again"
        return ConflictError(f"{self.name} {channel}", got, wanted, hint)

    def stale(self, entry: ChannelEntry) -> bool:
        """Whether a step is past its time, by a clock that may stand still: what was seen tells the time, too."""
        issued = (self._watch.seen[channel].issued for channel in self.seen() if channel != CANDIDATE)
        return max([timestamp(self._trust.clock()), *issued]) >= entry.expires

    def filled(self) -> dict[str, Filled]:
        """How far each shelf is filled; raises IntegrityError if the last document of one is not to be trusted."""
        judged = (self.judgements(number) for number in self.versions.numbers())
        shelves: list[Shelf[Any]] = [self.versions, self.pins, *judged, *map(self.channel, self.channels())]
        last = ((shelf, numbers[-1]) for shelf in shelves if (numbers := shelf.numbers()))
        return {shelf.folder: Filled(number, shelf.signed(number).digest) for shelf, number in last}

    def _gone(self, number: int, retired: set[int]) -> bool:
        """Whether a version was given up by those who may: a mark of others hides no version from a roll back."""
        try:
            return number in retired and self.retirements.read(number).version == number
        except (IntegrityError, NotStored):
            return False

    def before(self, channel: str, last: Signed[ChannelEntry] | None) -> int | None:
        """Where a roll back leads from a step of a channel; raises as `steps` does.

        Promotions pile up, a roll back takes from the pile: it is looked through from above, as far as needed.
        """
        retired, taken = self.retired(), list[int]()
        for entry in self._back(channel, last):
            if entry.reason == "rolled_back":
                taken.append(entry.version)
                continue
            while taken[-1:] == [entry.version]:
                taken.pop()
            if last and not taken and entry.version != last.document.version and not self._gone(entry.version, retired):
                return entry.version
        return None

    def needed(self) -> set[int]:
        """Versions that a channel points at, or would go back to; who adds versions moves the candidate forward."""
        needed = set[int]()
        for channel in self.channels():
            last = self.signed_last(channel)
            before = None if channel == CANDIDATE else self.before(channel, last)
            needed |= {number for number in (last and last.document.version, before) if number}
        return needed

    def retired(self, before: datetime | None = None) -> set[int]:
        """Versions that carry a mark of retirement, or did before a time."""
        if before is None:
            return set(self.retirements.numbers())
        return {number for number, marked in self.retirements.times().items() if marked < before}

    def objects(self, number: int) -> frozenset[str]:
        """Names of all objects of a version, the reports of later judgements among them."""
        later = (judged.document.report.name for judged in self.assessments(number))
        return frozenset((*(item.name for item in self.record(number).objects.values()), *later))

    def living(self, retired_before: datetime | None = None) -> list[int]:
        """Versions that are not retired, or were not yet at a given time."""
        retired = self.retired(retired_before)
        if retired:
            retired -= {entry.version for channel in self.channels() if (entry := self.last(channel))}
        return [number for number in self.versions.numbers() if number not in retired]


def expect_name(name: str) -> None:
    """Raise RegistryError unless a name of models or of a channel is closed."""
    if not SEGMENT.fullmatch(name):
        raise RegistryError("registry", f"the name {name[:200]!r}", f"one like {SEGMENT.pattern}")


def summary_of(notes: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars among the notes, and the report's figures as numbers or as mappings with a `value`."""
    figures = {
        name: item["value"] if isinstance(item, Mapping) and "value" in item else item
        for name, item in dict(report.get("figures") or {}).items()
    }
    named = [(name, item) for name, item in {**figures, **notes}.items() if isinstance(item, bool | int | float)]
    return dict(named[:MAX_SUMMARY])

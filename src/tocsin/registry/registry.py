"""Versions of models on a store: added judged, promoted by compare-and-swap, rolled back, retired, verified.

``registry.json``                format of the whole registry
``objects/sha256/<aa>/<hash>``   manifests, arrays and reports, each named by the hash of its bytes
``models/<name>/...``            what is written about one name, see `tocsin.registry.ledger`

Nothing is overwritten, so of two writers one wins and the other is told. What a version needs is stored before the
version, and the version before a channel points at it: a process that is killed leaves orphans, never a hole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tocsin.errors import (
    ConflictError,
    GateRefused,
    LimitExceeded,
    NotStored,
    Problem,
    RegistryError,
    TocsinError,
    did_you_mean,
)
from tocsin.model.bundle import MANIFEST, Bundle, pack
from tocsin.model.documents import MAX_DOCUMENT_BYTES, canonical, seal, sha256, unseal
from tocsin.records import Verdict
from tocsin.registry import retention, verification
from tocsin.registry.ledger import CANDIDATE, CHAMPION, ChannelEntry, Ledger, Record, StoredObject, Version
from tocsin.registry.objects import MAX_REPORT_BYTES, REPORT, Objects
from tocsin.storage import SEGMENT, Store

__all__ = ["CANDIDATE", "CHAMPION", "ChannelEntry", "Registry", "Version"]

FORMAT = 1
MAX_SUMMARY = 100

_ROOT = "registry.json"


class Registry:
    """Models by name, each with numbered versions and named channels.

    Parameters
    ----------
    store
        Where everything is kept; many processes may share it.
    keep
        Versions per name that stay beside those that a channel needs, at least 1.
    max_age
        Versions that were added longer ago go, too, unless a channel needs them.
    clock
        The time of day, for what is written down and for what is old enough to be collected.
    """

    def __init__(
        self,
        store: Store,
        *,
        keep: int = 5,
        max_age: timedelta | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if keep < 1:
            raise ValueError(f"keep is {keep}, wanted at least 1")
        self._store = store
        self._objects = Objects(store)
        self._keep = keep
        self._max_age = max_age
        self._clock = clock

    def add(self, name: str, bundle: Bundle, report: Mapping[str, Any], verdict: Verdict) -> Version:
        """Store a judged model as the next version of a name and as its candidate.

        Raises
        ------
        RegistryError
            If it cannot be packed or written; the versions before still hold.
        LimitExceeded
            If it is too large.
        """
        self._check_format()
        ledger = self._ledger(name)
        with suppress(TocsinError):  # what cannot be collected today must not stop a model; `verify` names it
            self.collect_garbage()
        files = {**pack(bundle), REPORT: canonical(report, REPORT)}
        if len(files[REPORT]) > MAX_REPORT_BYTES:
            raise LimitExceeded(REPORT, f"{len(files[REPORT])} bytes", f"at most {MAX_REPORT_BYTES}")
        objects = {file: StoredObject(sha256(data), len(data)) for file, data in files.items()}
        version = Version(
            name=name,
            version=0,
            digest=bundle.digest,
            manifest=objects[MANIFEST].sha256,
            created=self._now(),
            passed=verdict.passed,
            size_bytes=sum(item.size for item in objects.values()),
            generated=bool(bundle.notes.get("generated") or report.get("generated")),
            summary=_summary(bundle.notes, report),
        )
        self._mark_format()
        for file, data in files.items():
            self._objects.keep(objects[file].name, data)
        record = ledger.versions.append(
            lambda number: Record(replace(version, version=number), objects, _writable(verdict))
        )
        self._nominate(ledger, record.version)
        with suppress(TocsinError):  # a damaged channel keeps everything, and stops no model either
            self.retire(name)
        return record.version

    def load(self, name: str, version: int | str) -> tuple[Bundle, Version]:
        """A model by number, or by the channel that points at it.

        Raises
        ------
        RegistryError
            If there is no such name, version or channel.
        IntegrityError
            If any stored byte is not what was added.
        """
        record = self._record(name, version)
        return self._objects.bundle(record), record.version

    def report(self, name: str, version: int | str) -> Mapping[str, Any]:
        """The report that a version was added with; raises as `load` does."""
        report: dict[str, Any] = orjson.loads(self._objects.report(self._record(name, version)))
        return report

    def verdict(self, name: str, version: int | str) -> Verdict:
        """The verdict that a version was added with; raises as `load` does."""
        return self._record(name, version).verdict

    def promote(self, name: str, version: int, channel: str = CHAMPION, *, expected: int | None = None) -> None:
        """Point a channel at a version.

        Parameters
        ----------
        name, version, channel
            What goes where; a channel begins with its first promotion.
        expected
            The version that the channel must still point at, 0 for none; None takes it as it is.

        Raises
        ------
        GateRefused
            Unless the version was added with a verdict that passed.
        ConflictError
            If somebody else moved the channel.
        RegistryError
            If there is no such name or version.
        """
        _expect_name(channel)
        ledger, record = self._ledger(name), self._record(name, version)
        if not record.verdict.passed:
            failed = "; ".join(
                f"{item.target} {item.wanted}, got {item.got}" for item in record.verdict.judgements if not item.passed
            )
            hint = "the verdict stays with the version: train again, or with another gate"
            raise GateRefused(f"{name} version {version}", f"a verdict that failed: {failed}", "one that passed", hint)
        last = ledger.last(channel)
        pointed = last.version if last else 0
        if expected is not None and pointed != expected:
            hint = "somebody else moved it: look at its history, then decide again"
            raise ConflictError(f"{name} {channel}", f"version {pointed}", f"version {expected}", hint)
        ledger.point(channel, record.version, last, "promoted", self._now())
        if version in ledger.retired():  # retention passed by between the look and the step
            ledger.retirements.delete(version)

    def roll_back(self, name: str, channel: str = CHAMPION) -> Version:
        """Point a channel at the version that it pointed at before; returns that version.

        Raises
        ------
        RegistryError
            If there is none before.
        ConflictError
            If somebody else moved the channel.
        """
        steps = self.channel_history(name, channel)
        ledger = self._ledger(name)
        before = ledger.before(steps)
        if before is None:
            raise RegistryError(f"{name} {channel}", "nothing before it", "an earlier version", "promote one by number")
        version = ledger.record(before).version
        ledger.point(channel, version, steps[-1], "rolled_back", self._now())
        return version

    def names(self) -> tuple[str, ...]:
        """Names of all models."""
        self._check_format()
        parts = (item.split("/") for item in self._store.list("models"))
        return tuple(sorted({part[1] for part in parts if part[2:3] == ["versions"]}))

    def history(self, name: str) -> tuple[Version, ...]:
        """The versions of a name that can be loaded, oldest first."""
        ledger = self._known(name)
        return tuple(ledger.record(number).version for number in ledger.living())

    def channel_history(self, name: str, channel: str) -> tuple[ChannelEntry, ...]:
        """Every step of a channel, first to last; empty for a channel that never was."""
        _expect_name(channel)
        return self._known(name).steps(channel)

    def channels(self, name: str) -> Mapping[str, int]:
        """Where each channel of a name points."""
        ledger = self._known(name)
        return {channel: entry.version for channel in ledger.channels() if (entry := ledger.last(channel))}

    def collect_garbage(self, grace: timedelta = retention.GRACE) -> int:
        """Delete objects that no living version needs and that are older than `grace`; returns their number.

        Raises
        ------
        IntegrityError
            If a version cannot be read; nothing is deleted then, for it might need anything.
        """
        return retention.collect(self._store, map(self._ledger, self.names()), self._clock() - grace)

    def doomed(self, name: str) -> tuple[int, ...]:
        """Versions that no channel needs and that are too many or too old; `add` retires them."""
        oldest = None if self._max_age is None else self._clock() - self._max_age
        return retention.doomed(self._ledger(name), self._keep, oldest)

    def retire(self, name: str) -> tuple[int, ...]:
        """Give up what is doomed, unless a channel has come to need it; returns the versions given up."""
        return retention.retire(self._ledger(name), self.doomed(name), self._now())

    def orphans(self, grace: timedelta = retention.GRACE) -> tuple[str, ...]:
        """Names of the objects that `collect_garbage` deletes; raises as it does."""
        return retention.orphans(self._store, map(self._ledger, self.names()), self._clock() - grace)

    def verify(self, name: str) -> list[Problem]:
        """Hold every stored byte of a name against its hash; an empty list is a clean bill."""
        return verification.verify(self._known(name), self._objects)

    def _record(self, name: str, version: int | str) -> Record:
        ledger = self._known(name)
        if isinstance(version, int):
            living = ledger.living()
            if version not in living:
                there = ", ".join(map(str, living[-20:]))
                hint = "retention keeps the last ones and those that a channel needs"
                raise RegistryError(f"model {name}", f"no version {version}", f"one of: {there}", hint)
            return ledger.record(version)
        known = ledger.channels()
        entry = ledger.last(version) if version in known else None
        if entry is None:
            wanted = f"one of: {', '.join(known)}"
            raise RegistryError(f"model {name}", f'no channel "{version}"', wanted, did_you_mean(version, known))
        return ledger.follow(entry)

    def _nominate(self, ledger: Ledger, version: Version) -> None:
        """Move the candidate forward to a version, unless a later one is there already."""
        while (last := ledger.last(CANDIDATE)) is None or last.version < version.version:
            with suppress(ConflictError):
                ledger.point(CANDIDATE, version, last, "added", self._now())

    def _ledger(self, name: str) -> Ledger:
        _expect_name(name)
        return Ledger(self._store, name)

    def _known(self, name: str) -> Ledger:
        self._check_format()
        ledger = self._ledger(name)
        if not ledger.versions.numbers():
            known = self.names()
            wanted = f"one of: {', '.join(known[:50])}" if known else "a model; the registry is empty"
            hint = did_you_mean(name, known) or "train one first"
            raise RegistryError("registry", f'no model "{name}"', wanted, hint)
        return ledger

    def _check_format(self) -> None:
        with suppress(NotStored):
            unseal(self._store.get(_ROOT, MAX_DOCUMENT_BYTES), _ROOT, ("format",), FORMAT)

    def _mark_format(self) -> None:
        with suppress(ConflictError):
            self._store.put(_ROOT, seal({"format": FORMAT}, _ROOT))

    def _now(self) -> str:
        return self._clock().isoformat(timespec="milliseconds")


def _expect_name(name: str) -> None:
    if not SEGMENT.fullmatch(name):
        raise RegistryError("registry", f"the name {name[:200]!r}", f"one like {SEGMENT.pattern}")


def _summary(notes: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars among the notes, and the report's figures as numbers or as mappings with a `value`."""
    figures = {
        name: item["value"] if isinstance(item, Mapping) and "value" in item else item
        for name, item in dict(report.get("figures") or {}).items()
    }
    named = [(name, item) for name, item in {**figures, **notes}.items() if isinstance(item, bool | int | float)]
    return dict(named[:MAX_SUMMARY])


def _writable(verdict: Verdict) -> Verdict:
    """The verdict with figures that JSON cannot hold as words."""
    unwritable = [isinstance(item.got, float) and not math.isfinite(item.got) for item in verdict.judgements]
    judgements = (
        replace(item, got=str(item.got)) if odd else item
        for item, odd in zip(verdict.judgements, unwritable, strict=True)
    )
    return replace(verdict, judgements=tuple(judgements))

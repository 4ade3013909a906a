"""Versions of models on a store: added judged, promoted by compare-and-swap, rolled back, retired, verified.

``registry.json``                format of the whole registry
``root/...``                     who may sign what, see `tocsin.registry.root`
``objects/sha256/<aa>/<hash>``   manifests, arrays and reports, each named by the hash of its bytes
``models/<name>/...``            what is written about one name, see `tocsin.registry.ledger`

Nothing is overwritten, so of two writers one wins and the other is told. What a version needs is stored before the
version, and the version before a channel points at it: a process that is killed leaves orphans, never a hole.
Nothing counts that was not signed by those who may, and no channel leads back behind what was seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from tocsin import observe
from tocsin.config import RegistryConfig
from tocsin.errors import Problem, RegistryError, TocsinError, did_you_mean
from tocsin.model.bundle import MANIFEST, Bundle, pack
from tocsin.model.documents import Signed, sha256, timestamp
from tocsin.records import Verdict
from tocsin.registry import judging, retention, verification
from tocsin.registry.index import Index
from tocsin.registry.judging import Judged
from tocsin.registry.keys import Role
from tocsin.registry.last_good import LastGood
from tocsin.registry.ledger import (
    ARCHIVED,
    CANDIDATE,
    CHAMPION,
    Assessment,
    ChannelEntry,
    Ledger,
    Record,
    Step,
    StoredObject,
    Version,
    expect_name,
    summary_of,
)
from tocsin.registry.luggage import Luggage
from tocsin.registry.objects import REPORT, Objects, report_bytes
from tocsin.registry.pins import Pinboard
from tocsin.registry.root import Filled
from tocsin.registry.standing import Standing, standings
from tocsin.registry.trust import Machine, Trust
from tocsin.storage import Store

_AS_A_CONFIG_WITHOUT_A_WORD = RegistryConfig()
_PROMOTE = "`tocsin models promote VERSION`, where channel.key is"


class Registry:
    """Models by name, each with numbered versions and named channels.

    Parameters
    ----------
    store
        Where everything is kept; many processes may share it.
    machine
        What this machine holds beside it: its keys, what it has seen, the last good models.
    rules
        Whom versions are for, how large they may be, how many are kept and for how long a channel counts as fresh.
    clock
        The time of day, for what is written down and for what is old enough to be collected.
    """

    def __init__(
        self,
        store: Store,
        machine: Machine,
        rules: RegistryConfig = _AS_A_CONFIG_WITHOUT_A_WORD,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self.trust = Trust(store, machine, rules, clock)
        self._objects = Objects(store, rules.max_size)
        self._last_good = LastGood(machine.folder / "models", rules.max_size)
        self._rules = rules
        self._clock = clock

    def add(self, name: str, bundle: Bundle, report: Mapping[str, Any], verdict: Verdict) -> Version:
        """Store a judged model as the next version of a name and as its candidate.

        Raises
        ------
        RegistryError
            If it cannot be packed or written, or no train key is here; the versions before still hold.
        LimitExceeded
            If it is too large.
        """
        expect_name(name)
        files = {**pack(bundle), REPORT: report_bytes(report)}
        objects = {file: StoredObject(sha256(data), len(data)) for file, data in files.items()}
        self._objects.expect_room(f"the next version of {name}", objects)
        self.trust.begin()
        self.trust.open()
        ledger = self._ledger(name)
        with suppress(TocsinError):  # what cannot be collected today must not stop a model; `verify` names it
            self.collect_garbage()
        version = Version(
            name=name,
            version=0,
            digest=bundle.digest,
            manifest=objects[MANIFEST].sha256,
            created=timestamp(self._clock()),
            passed=verdict.passed,
            size_bytes=sum(item.size for item in objects.values()),
            generated=bool(bundle.notes.get("generated") or report.get("generated")),
            summary=summary_of(bundle.notes, report),
        )
        for file, data in files.items():
            self._objects.keep(objects[file].name, data)
        record = ledger.versions.append(
            lambda number: Record(replace(version, version=number), objects, judging.writable(verdict))
        )
        ledger.nominate(record.version)
        with suppress(TocsinError):  # a damaged channel keeps everything, and stops no model either
            self.retire(name)
        return record.version

    def load(self, name: str, version: int | str | None = None) -> tuple[Bundle, Version]:
        """A model by number, or by the channel that points at it; by default the one that serves.

        The champion serves. While there has never been one, the candidate does, where the train key is. Where a
        channel cannot be reached or trusted, the last good model that it led to here goes on, and that is said loudly.

        Raises
        ------
        RegistryError
            If there is no such name, version or channel.
        IntegrityError
            If any stored byte is not what was added, or not by those who may add it.
        """
        if isinstance(version, int):
            record = self._record(self._known(name), version).document
            return self._objects.bundle(record), record.version
        channel = version or self._serving(name)
        pin = self.trust.memory.recall()
        try:
            ledger = self._known(name)
            record = self._record(ledger, channel).document
            files = self._last_good.files(record) or self._objects.files(record)
            bundle = self._objects.bundle(record, files)
        except TocsinError as error:
            good = self._last_good.load(f"{pin.registry}/{name}/{channel}") if pin else None
            if good is None:
                raise
            observe.last_good_served(name, channel, good[1].version, str(error.problem))
            return good
        self._last_good.keep(f"{self.trust.roots.last.registry}/{name}/{channel}", record, files)
        return bundle, record.version

    def report(self, name: str, version: int | str) -> Mapping[str, Any]:
        """The report that a version was added with; raises as `load` does."""
        report: dict[str, Any] = orjson.loads(self._objects.report(self._record(self._known(name), version).document))
        return report

    def verdict(self, name: str, version: int | str) -> Verdict:
        """The verdict that counts: that of the last gate, or the one that it was added with. Raises as `load` does."""
        return judging.decisive(self.judgements(name, version)).verdict

    def judgements(self, name: str, version: int | str) -> tuple[Judged, ...]:
        """All verdicts on a version, the one that it was added with first; raises as `load` does."""
        ledger = self._known(name)
        return judging.judgements(ledger, self.trust.roots, self._record(ledger, version))

    def add_judgement(self, name: str, version: int, verdict: Verdict, report: Mapping[str, Any]) -> None:
        """Add what a gate says of a version now, signed by the channel key, or by the train key where there is none.

        Raises
        ------
        RegistryError
            If there is no such version, or none of the keys is here.
        LimitExceeded
            If the report is too large.
        """
        ledger = self._known(name)
        manifest = self._record(ledger, version).document.version.manifest
        stored = self._objects.keep_report(report)
        judged = Assessment(version, manifest, timestamp(self._clock()), judging.writable(verdict), stored)
        ledger.judgements(version).append(lambda _: judged)
        ledger.assessments(version)  # and fewer count no more here

    def promote(
        self,
        name: str,
        version: int,
        channel: str = CHAMPION,
        *,
        expected: int | None = None,
        approval: str | None = None,
    ) -> None:
        """Point a channel at a version; at the one that it points at already, to renew it.

        Parameters
        ----------
        name, version, channel
            What goes where; a channel begins with its first promotion.
        expected
            The version that the channel must still point at, 0 for none; None takes it as it is.
        approval
            Why a missed soft bound may pass, at most 500 characters; stored for all to read.

        Raises
        ------
        GateRefused
            Unless its verdict passed, and somebody approved what a soft bound says.
        ConflictError
            If somebody else moved the channel; says who, when and where to.
        RegistryError
            If there is no such name or version, or no channel key is here.
        """
        expect_name(channel)
        if channel == ARCHIVED:
            raise RegistryError(
                f"model {name}", f'a promotion to "{ARCHIVED}"', "another channel", "champions go there"
            )
        ledger = self._known(name)
        record = self._record(ledger, version)
        judging.expect_permission(ledger, self.trust.roots, record, approval)
        last = ledger.signed_last(channel)
        pointed = last.document.version if last else 0
        if expected is not None and pointed != expected:
            raise ledger.lost(channel, last, f"version {expected}")
        reason: Step = "renewed" if pointed == version else "promoted"
        ledger.point(channel, record.document.version, reason, last, approval)
        if version in ledger.retired():  # retention passed by between the look and the step
            ledger.retirements.delete(version)

    def roll_back(self, name: str, channel: str = CHAMPION) -> Version:
        """Point a channel at the version that it pointed at before; returns that version.

        Raises
        ------
        RegistryError
            If there is none before, or no channel key is here.
        ConflictError
            If somebody else moved the channel.
        """
        expect_name(channel)
        ledger = self._known(name)
        last = ledger.signed_last(channel)
        before = ledger.before(channel, last)
        if before is None:
            raise RegistryError(f"{name} {channel}", "nothing before it", "an earlier version", "promote one by number")
        version = ledger.record(before).version
        ledger.point(channel, version, "rolled_back", last)
        return version

    def rotate(self, role: Role) -> str:
        """Give a role to a new key of this machine; returns its public half in hex.

        Raises
        ------
        RegistryError
            If no root key is here.
        IntegrityError
            If a document that the old keys vouch for is not to be trusted: remove it first.
        """
        return self.trust.rotate(role, self._filled())

    def agree(self, threshold: int) -> None:
        """Let the root keys at hand hold that role, so many of which must sign a root; raises as `Roots.agree` does."""
        self.trust.agree(threshold, self._filled())

    def _filled(self) -> dict[str, Filled]:
        self.trust.open()
        return {folder: item for name in self.names() for folder, item in self._ledger(name).filled().items()}

    def names(self) -> tuple[str, ...]:
        """Names of all models."""
        self.trust.open()
        parts = (item.split("/") for item in self._store.list("models"))
        return tuple(sorted({part[1] for part in parts if part[2:3] == ["versions"]}))

    def history(self, name: str) -> tuple[Version, ...]:
        """The versions of a name that can be loaded, oldest first."""
        ledger = self._known(name)
        return tuple(ledger.record(number).version for number in ledger.living())

    def channel_history(self, name: str, channel: str) -> tuple[ChannelEntry, ...]:
        """Every step of a channel, first to last; empty for a channel that never was."""
        expect_name(channel)
        return self._known(name).steps(channel)

    def channels(self, name: str) -> Mapping[str, int]:
        """Where each channel of a name points."""
        ledger = self._known(name)
        return {channel: entry.version for channel in ledger.channels() if (entry := ledger.last(channel))}

    def standings(self, name: str) -> tuple[Standing, ...]:
        """How every channel of a name stands, those that cannot be trusted included."""
        return standings(self._known(name))

    def before(self, name: str, channel: str = CHAMPION) -> int | None:
        """The version that a roll back of a channel leads to; None if there is none."""
        expect_name(channel)
        ledger = self._known(name)
        return ledger.before(channel, ledger.signed_last(channel))

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
        age = self._rules.max_age
        oldest = None if age is None else self._clock() - timedelta(seconds=age)
        return retention.doomed(self._known(name), self._rules.keep, oldest)

    def retire(self, name: str) -> tuple[int, ...]:
        """Give up what is doomed, unless a channel has come to need it; returns the versions given up."""
        return retention.retire(self._ledger(name), self.doomed(name), timestamp(self._clock()))

    def orphans(self, grace: timedelta = retention.GRACE) -> tuple[str, ...]:
        """Names of the objects that `collect_garbage` deletes; raises as it does."""
        return retention.orphans(self._store, map(self._ledger, self.names()), self._clock() - grace)

    def pinboard(self, name: str) -> Pinboard:
        """The rows on which candidates of a name are tried."""
        return Pinboard(self._store, self._ledger(name), self.trust)

    def luggage(self, name: str) -> Luggage:
        """What goes with a name besides its versions."""
        return Luggage(self._store, self._ledger(name), self.trust)

    def index(self, path: Path) -> Index:
        """What is written in this registry, as rows at a path; see `tocsin.registry.index`."""
        return Index(self._store, self._known, path)

    def verify(self, name: str) -> list[Problem]:
        """Hold every stored byte of a name against its hash; an empty list is a clean bill."""
        self.trust.open()
        ledger = self._ledger(name)
        known = ledger if ledger.heirlooms.numbers() else self._known(name)
        return verification.verify(known, self._objects, self.pinboard(name))

    def _serving(self, name: str) -> str:
        """The channel that serves where none is asked for.

        Whoever holds nothing but the train key can write a candidate and hide a champion, so that a machine which
        only reads follows no candidate.
        """
        pin = self.trust.memory.recall()
        if (pin and f"{name}/{CHAMPION}" in pin.channels) or CHAMPION in self._known(name).channels():
            return CHAMPION
        if self.trust.keyring.public("train") in self.trust.roots.last.roles["train"]:
            return CANDIDATE
        raise RegistryError(f"model {name}", "no champion yet", "a version that was promoted", _PROMOTE)

    def _record(self, ledger: Ledger, version: int | str) -> Signed[Record]:
        if isinstance(version, int):
            living = ledger.living()
            if version not in living:
                there = ", ".join(map(str, living[-20:]))
                hint = "retention keeps the last ones and those that a channel needs"
                raise RegistryError(f"model {ledger.name}", f"no version {version}", f"one of: {there}", hint)
            return ledger.signed_record(version)
        if version == ARCHIVED and (before := ledger.before(CHAMPION, ledger.signed_last(CHAMPION))):
            return ledger.signed_record(before)
        expect_name(version)
        entry = ledger.last(version)
        if entry is None:
            known = ledger.channels()
            got, wanted = f'no channel "{version}"', f"one of: {', '.join(known)}"
            raise RegistryError(f"model {ledger.name}", got, wanted, did_you_mean(version, known) or _PROMOTE)
        if ledger.stale(entry):
            observe.channel_stale(ledger.name, version, entry.expires)
        return ledger.follow(entry)

    def _ledger(self, name: str) -> Ledger:
        expect_name(name)
        return Ledger(self._store, name, self.trust)

    def _known(self, name: str) -> Ledger:
        self.trust.open()
        ledger = self._ledger(name)
        if not ledger.versions.numbers():
            known = self.names()
            wanted = f"one of: {', '.join(known[:50])}" if known else "a model; the registry is empty"
            only = "what other systems knew is listed and never loaded: " if ledger.heirlooms.numbers() else ""
            hint = did_you_mean(name, known) or f"{only}train one first"
            raise RegistryError("registry", f'no model "{name}"', wanted, hint)
        return ledger

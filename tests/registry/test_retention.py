"""What a registry gives up is what nobody needs, and never what somebody is about to need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.registry.worlds import Clock, add, machine

from tocsin import log
from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle
from tocsin.errors import RegistryError
from tocsin.records import Verdict
from tocsin.registry import CANDIDATE, CHAMPION, Registry
from tocsin.registry.retention import GRACE
from tocsin.storage import LocalStore

KEEP = 2
MAX_AGE = timedelta(days=10)
SHADOW = "shadow"


class Dated(LocalStore):
    """A local store in the time of a clock."""

    def __init__(self, folder: Path, clock: Callable[[], datetime]) -> None:
        super().__init__(folder)
        self._root = folder
        self._clock = clock

    def put(self, name: str, data: bytes) -> None:
        try:
            super().put(name, data)
        finally:
            if (self._root / name).exists():
                os.utime(self._root / name, (self._clock().timestamp(),) * 2)


class Raced(LocalStore):
    """A local store where somebody else does something around a put."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.before: tuple[str, Callable[[], object]] | None = None
        self.after: tuple[str, Callable[[], object]] | None = None

    def put(self, name: str, data: bytes) -> None:
        before, after = self.before, self.after
        if before and before[0] in name:
            self.before = None
            before[1]()
        super().put(name, data)
        if after and after[0] in name:
            self.after = None
            after[1]()


def test_versions_go_by_number_and_by_age(tmp_path: Path) -> None:
    clock = Clock()
    registry = machine(Dated(tmp_path / "registry", clock), tmp_path, clock=clock, keep=3, max_age="10d")
    for seed in range(4):
        add(registry, seed)
        clock.pass_(days=2)
    assert [version.version for version in registry.history(NAME)] == [2, 3, 4]
    registry.promote(NAME, 2)
    clock.pass_(days=9)
    assert registry.doomed(NAME) == (3,)
    counted = log.counters().get("tocsin_versions_retired_total", 0)
    assert registry.retire(NAME) == (3,)
    assert registry.doomed(NAME) == registry.retire(NAME) == ()
    assert log.counters()["tocsin_versions_retired_total"] == counted + 1
    assert [version.version for version in registry.history(NAME)] == [2, 4]


def test_what_goes_is_told_before_and_goes_after_the_grace(tmp_path: Path) -> None:
    clock = Clock()
    store = Dated(tmp_path / "registry", clock)
    registry = machine(store, tmp_path, clock=clock, keep=1)
    for seed in range(3):
        add(registry, seed)
    assert registry.orphans() == ()
    clock.pass_(hours=1.1)
    orphans = registry.orphans()
    assert len(orphans) == 3 * 2
    assert set(orphans) <= set(store.list("objects"))
    assert registry.collect_garbage() == len(orphans)
    assert registry.orphans() == ()
    assert set(orphans).isdisjoint(store.list("objects"))
    assert registry.verify(NAME) == []


@contextmanager
def race(tmp_path: Path) -> Iterator[tuple[Raced, Registry]]:
    """Three versions, of which the first is about to be given up; afterwards it must serve."""
    store = Raced(tmp_path / "registry")
    keeps_all = machine(store, tmp_path)
    for seed in range(3):
        add(keeps_all, seed)
    registry = machine(store, tmp_path, keep=1)
    assert registry.doomed(NAME) == (1, 2)
    yield store, registry
    assert registry.load(NAME, CHAMPION)[0].digest == example_bundle(0).digest
    assert [version.version for version in registry.history(NAME)] == [1, 3]
    assert store.list(f"models/{NAME}/retired") == (f"models/{NAME}/retired/000002.json",)


def promoted_elsewhere(store: Raced, tmp_path: Path) -> Callable[[], object]:
    return lambda: machine(LocalStore(tmp_path / "registry"), tmp_path).promote(NAME, 1)


def test_a_promotion_just_before_the_mark_wins(tmp_path: Path) -> None:
    with race(tmp_path) as (store, registry):
        store.before = ("retired/000001", promoted_elsewhere(store, tmp_path))
        assert registry.retire(NAME) == (2,)


def test_a_promotion_that_looked_before_the_mark_wins(tmp_path: Path) -> None:
    with race(tmp_path) as (store, registry):
        store.before = ("channels/champion", lambda: registry.retire(NAME))
        registry.promote(NAME, 1)


def test_a_version_with_a_mark_is_not_promoted(tmp_path: Path) -> None:
    with race(tmp_path) as (store, registry):
        refused: list[str] = []

        def too_late() -> None:
            with pytest.raises(RegistryError, match="no version 1") as error:
                promoted_elsewhere(store, tmp_path)()
            refused.append(str(error.value))

        store.after = ("retired/000001", too_late)
        assert registry.retire(NAME) == (1, 2)
        assert refused
        LocalStore(tmp_path / "registry").delete(f"models/{NAME}/retired/000001.json")
        registry.promote(NAME, 1)


class RetentionMachine(RuleBasedStateMachine):
    """Retention against a dict: which versions live, where the channels lead, which objects are left."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        folder = Path(self.folder.name)
        self.clock = Clock()
        self.store = Dated(folder / "registry", self.clock)
        self.registry = machine(self.store, folder, clock=self.clock, keep=KEEP, max_age=f"{MAX_AGE.days}d")
        self.added: dict[int, tuple[int, datetime, Verdict]] = {}
        self.retired: dict[int, datetime] = {}
        self.piles: dict[str, list[int]] = {CHAMPION: [], SHADOW: []}

    def teardown(self) -> None:
        self.folder.cleanup()

    def living(self) -> list[int]:
        return [number for number in self.added if number not in self.retired]

    def before(self, channel: str) -> list[int]:
        """Where roll backs lead, the next one last."""
        pile = self.piles[channel]
        return [number for number in pile[:-1] if number not in self.retired and number != pile[-1]]

    def needed(self) -> set[int]:
        served = {pile[-1] for pile in self.piles.values() if pile}
        return served | {max(self.added)} | {number for channel in self.piles for number in self.before(channel)[-1:]}

    def doomed(self) -> list[int]:
        oldest = self.clock() - MAX_AGE
        last = sorted(self.added)[-KEEP:]
        spent = (number for number in self.living() if number not in last or self.added[number][1] < oldest)
        return [number for number in spent if number not in self.needed()]

    def retire(self) -> None:
        for number in self.doomed():
            self.retired[number] = self.clock()

    @rule(seed=st.integers(0, 4), verdict=st.sampled_from([PASSED, PASSED, FAILED]))
    def add(self, seed: int, verdict: Verdict) -> None:
        number = add(self.registry, seed, verdict)
        assert number == len(self.added) + 1
        self.added[number] = (seed, self.clock(), verdict)
        self.retire()

    @rule(hours=st.sampled_from([0.2, 2.0, 100.0, 300.0]))
    def wait(self, hours: float) -> None:
        self.clock.pass_(hours=hours)

    @precondition(lambda self: self.added)
    @rule(data=st.data(), channel=st.sampled_from([CHAMPION, SHADOW]))
    def promote(self, data: st.DataObject, channel: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.added)))
        if number in self.retired:
            with pytest.raises(RegistryError, match="no version"):
                self.registry.promote(NAME, number, channel)
        elif self.added[number][2].passed:
            self.registry.promote(NAME, number, channel)
            if self.piles[channel][-1:] != [number]:
                self.piles[channel].append(number)

    @precondition(lambda self: self.added)
    @rule(channel=st.sampled_from([CHAMPION, SHADOW]))
    def roll_back(self, channel: str) -> None:
        before = self.before(channel)
        if not before:
            with pytest.raises(RegistryError, match="nothing before"):
                self.registry.roll_back(NAME, channel)
            return
        assert self.registry.roll_back(NAME, channel).version == before[-1]
        pile = self.piles[channel]
        pile.pop()
        while pile[-1] != before[-1]:
            pile.pop()

    @precondition(lambda self: self.added)
    @rule()
    def clean_up(self) -> None:
        assert list(self.registry.doomed(NAME)) == self.doomed()
        self.registry.retire(NAME)
        self.retire()
        orphans = self.registry.orphans()
        assert self.registry.collect_garbage() == len(orphans)
        oldest = self.clock() - GRACE
        gone = {number for number, marked in self.retired.items() if marked < oldest}
        ledger = {item for number in self.added if number not in gone for item in self.objects(number)}
        assert ledger <= set(self.store.list("objects"))
        young = {item for item in self.store.list("objects") if self.store.modified(item) >= oldest}
        assert set(self.store.list("objects")) <= ledger | young

    def objects(self, number: int) -> set[str]:
        """Names of the objects of a version, from its document on the disk."""
        signed = self.registry.index(Path(self.folder.name) / "index.db").listing(NAME).versions[number]
        return {item.name for item in signed.document.objects.values()}

    @precondition(lambda self: self.added)
    @invariant()
    def agrees(self) -> None:
        assert [version.version for version in self.registry.history(NAME)] == self.living()
        wanted = {channel: pile[-1] for channel, pile in self.piles.items() if pile}
        assert self.registry.channels(NAME) == {**wanted, CANDIDATE: max(self.added)}
        for channel, number in wanted.items():
            bundle, version = self.registry.load(NAME, channel)
            assert (version.version, bundle.digest) == (number, example_bundle(self.added[number][0]).digest)
            for before in self.before(channel)[-1:]:
                assert self.registry.load(NAME, before)[1].version == before
        assert self.registry.verify(NAME) == []


RetentionMachine.TestCase.settings = settings(
    max_examples=100 if os.environ.get("TOCSIN_SOAK") == "1" else 8, stateful_step_count=20, deadline=None
)
TestRetentionMachine = pytest.mark.soak(RetentionMachine.TestCase)

"""Case 4: a channel is rolled back, frozen, forked, replayed elsewhere and signed by the wrong role; nobody follows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.registry.worlds import BEGINNING, Clock, Forger, add, contents, forge_step, hand_over, machine, put, restore

from tocsin.checks.registry import NAME, PASSED, example_bundle
from tocsin.errors import GateRefused, RegistryError, TocsinError
from tocsin.model.bundle import MANIFEST, pack
from tocsin.model.documents import Shelf, sha256
from tocsin.registry import CHAMPION, Registry
from tocsin.registry.keys import ROLES, Role
from tocsin.registry.ledger import ChannelEntry
from tocsin.registry.root import Root
from tocsin.storage import LocalStore, Store

AUDIENCE = "north"
PICK = st.integers(0, 10**6)
EVIL = 1_000
"""Seeds from here on make the attacker's models."""


class Reader:
    """A machine that follows the champion, and what it must never be led back behind."""

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self._open = partial(machine, store, folder, clock=clock, audience=AUDIENCE)
        self.good: str | None = None
        """Digest of the model that it was served last."""
        self.seen = 0

    def follow_the_root(self) -> None:
        self._open().trust.open()

    def look(self, served: list[str], true_time: datetime) -> None:
        """Whatever lies there: what is served is the owners', and never from before what was followed already."""
        registry = self._open()
        try:
            bundle, _ = registry.load(NAME)
        except TocsinError:
            assert self.good is None, "whoever has served goes on to serve"
            return
        pin = registry.trust.memory.recall()
        assert pin is not None
        seen = pin.channels[f"{NAME}/{CHAMPION}"].number
        assert self.seen <= seen <= len(served)
        assert bundle.digest in {served[seen - 1], self.good}
        self.good, self.seen = bundle.digest, seen
        if self.clock.now == true_time:
            self._expect_a_mark_if_stale(registry, true_time)

    def _expect_a_mark_if_stale(self, registry: Registry, now: datetime) -> None:
        with suppress(TocsinError):
            for item in registry.standings(NAME):
                assert item.step is None or item.stale == (datetime.fromisoformat(item.step.expires) <= now)


class ReplayMachine(RuleBasedStateMachine):
    """Owners who publish, two who read, and an attacker with all old documents and every key but those that hold.

    The attacker can write to the store, has kept all that ever lay there, reads the store of another site that the
    same owners publish to with the same keys, and has the train key at once and the others when they are replaced.
    """

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.store = LocalStore(self.folder / "store")
        self.clock = Clock()
        self.owner = machine(self.store, self.folder / "owner", clock=self.clock, audience=AUDIENCE)
        self.watchful = Reader(self.store, self.folder / "watchful", Clock())
        self.sleepy = Reader(self.store, self.folder / "sleepy", Clock())
        self.versions = 0
        self.served: list[str] = []
        """Digest of the champion, by step."""
        self.kept: dict[str, set[bytes]] = {}
        self.states: list[dict[str, bytes]] = []
        self.stolen = 0

    @initialize()
    def begin(self) -> None:
        self.publish()
        self.deploy(0)
        for role in ROLES:
            hand_over(role, self.folder / "owner", self.folder / "owner-elsewhere")
        elsewhere = LocalStore(self.folder / "elsewhere")
        other = machine(elsewhere, self.folder / "owner-elsewhere", clock=self.clock, audience="south")
        for seed in (EVIL, EVIL + 1):
            other.promote(NAME, add(other, seed))
        self.elsewhere = contents(elsewhere)
        self.owner.promote("other", add(self.owner, EVIL + 2, name="other"))
        self.keep()

    def teardown(self) -> None:
        self.temporary.cleanup()

    def keep(self) -> None:
        """Whatever the owners write, the attacker keeps."""
        self.states.append(contents(self.store))
        for name, data in self.states[-1].items():
            self.kept.setdefault(name, set()).add(data)
        hand_over("train", self.folder / "owner", self.thief())

    def thief(self, pick: int | None = None) -> Path:
        """The folder of the keys that were stolen before some rotation, by default those of now."""
        return self.folder / f"thief-{self.stolen if pick is None else pick % (self.stolen + 1)}"

    @invariant()
    def watch(self) -> None:
        type(self).steps += 1
        if self.states:
            self.watchful.look(self.served, self.clock.now)

    @rule()
    def wake(self) -> None:
        self.sleepy.look(self.served, self.clock.now)

    @rule()
    def publish(self) -> None:
        self.repair()
        self.versions += 1
        assert add(self.owner, self.versions) == self.versions
        self.keep()

    @rule(pick=PICK)
    def deploy(self, pick: int) -> None:
        self.repair()
        living = self.owner.history(NAME)
        version = living[pick % len(living)]
        try:
            self.owner.promote(NAME, version.version)
        except GateRefused:  # the key that signed it was replaced, and it has never served
            self.owner.add_judgement(NAME, version.version, PASSED, {})
            self.owner.promote(NAME, version.version)
        self.served.append(version.digest)
        self.keep()

    @rule()
    def roll_back(self) -> None:
        self.repair()
        with suppress(RegistryError):
            self.served.append(self.owner.roll_back(NAME).digest)
        self.keep()

    @rule(role=st.sampled_from(ROLES))
    def rotate(self, role: Role) -> None:
        """A key is replaced, all readers hear of it, and then it is stolen."""
        self.repair()
        hand_over(role, self.folder / "owner", self.thief())
        self.stolen += 1
        self.owner.rotate(role)
        self.keep()
        self.watchful.follow_the_root()
        self.sleepy.follow_the_root()

    @rule()
    def repair(self) -> None:
        if self.states:
            restore(self.store, self.states[-1])

    @rule(days=st.floats(0.1, 60))
    def wait(self, days: float) -> None:
        for clock in (self.clock, self.watchful.clock, self.sleepy.clock):
            clock.pass_(days=days)

    @rule(works=st.booleans())
    def set_a_clock(self, works: bool) -> None:
        self.watchful.clock.now = self.clock.now if works else BEGINNING.replace(year=1970)

    @rule(pick=PICK)
    def put_a_whole_state_back(self, pick: int) -> None:
        restore(self.store, self.states[pick % len(self.states)])

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        if names := self.store.list(""):
            self.store.delete(names[pick % len(names)])

    @rule(pick=PICK, other=PICK)
    def put_an_old_document_somewhere(self, pick: int, other: int) -> None:
        names = sorted(self.kept)
        documents = [item for item in names if not item.startswith("objects/")]
        data = sorted(self.kept[documents[other % len(documents)]])
        put(self.store, names[pick % len(names)], data[other % len(data)])

    @rule()
    def put_the_state_of_another_site_there(self) -> None:
        restore(self.store, self.elsewhere)

    @rule(pick=PICK)
    def mix_in_documents_of_another_site(self, pick: int) -> None:
        names = sorted(self.elsewhere)
        for name in names[pick % len(names) :]:
            put(self.store, name, self.elsewhere[name])

    @rule()
    def put_the_channel_of_another_name_there(self) -> None:
        for name, data in self.states[-1].items():
            if name.startswith("models/other/"):
                put(self.store, name.replace("models/other/", f"models/{NAME}/"), data)

    @rule(ahead=st.integers(0, 1), pick=PICK, role=st.sampled_from(ROLES), audience=st.booleans())
    def forge_a_step(self, ahead: int, pick: int, role: Role, audience: bool) -> None:
        """At the last number or the next, with a stolen key or, where there is none of the role, with one made up."""
        version = 1 + pick % self.versions
        manifest = sha256(pack(example_bundle(version))[MANIFEST])
        entry = ChannelEntry(
            len(self.served) + ahead, version, manifest, AUDIENCE if audience else "south",
            "2026-03-01T12:00:00.000+00:00", "2999-01-01T00:00:00.000+00:00", "promoted", None, "",
        )  # fmt: skip
        forger = Forger(self.thief(pick) / "keys", role, self.owner.trust.roots.last.registry)
        forge_step(self.store, entry, forger)

    @rule(pick=PICK)
    def forge_a_root(self, pick: int) -> None:
        last, digest = self.owner.trust.roots.last, self.owner.trust.roots.digests[-1]
        thief = machine(self.store, self.thief(pick)).trust.keyring
        mine = {role: (thief.make(role),) for role in ROLES}
        root = replace(last, number=last.number + 1, roles=mine, previous=digest)
        shelf = Shelf(self.store, "root", Root, Forger(thief.folder, "root"))
        self.store.delete(shelf.name(root.number))
        shelf.create(root.number, root)

    @rule(pick=PICK)
    def publish_with_a_stolen_key(self, pick: int) -> None:
        with suppress(TocsinError):
            thief = machine(self.store, self.thief(pick), clock=self.clock, audience=AUDIENCE)
            thief.promote(NAME, add(thief, EVIL + 3))


@pytest.mark.soak
def test_nobody_is_led_back_or_astray(rounds: Callable[[int, int], int]) -> None:
    ReplayMachine.steps = 0
    examples = settings(max_examples=rounds(4, 160), stateful_step_count=40, deadline=None)
    run_state_machine_as_test(ReplayMachine, settings=examples)
    assert ReplayMachine.steps >= rounds(80, 5_000)

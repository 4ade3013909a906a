"""What somebody can do who can write to the store and has stolen a key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.registry.worlds import Clock, Forger, add, forge_step, hand_over, machine, restore

from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle, example_report
from tocsin.errors import GateRefused, IntegrityError, RegistryError, TocsinError
from tocsin.model.documents import Shelf
from tocsin.registry import CANDIDATE, CHAMPION, Registry, Version
from tocsin.registry.keys import Role
from tocsin.registry.ledger import Heirloom, Record
from tocsin.registry.root import Root, Roots
from tocsin.registry.seen import MAX_ALIKE, Seen
from tocsin.storage import LocalStore

EVIL = 666
"""Seed of the attacker's model."""


class Theft:
    """An honest machine with two versions, the first one champion; a reader; an attacker with stolen keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "store")
        self.clock = Clock()
        self.honest = machine(self.store, folder / "honest", clock=self.clock)
        for seed in range(2):
            add(self.honest, seed)
        self.honest.promote(NAME, 1)
        self.thief = folder / "thief"

    def reader(self, name: str = "reader") -> Registry:
        return machine(self.store, self.folder / name, clock=self.clock)

    def attacker(self) -> Registry:
        return machine(self.store, self.thief, clock=self.clock)

    @property
    def id(self) -> str:
        self.honest.trust.open()
        return self.honest.trust.roots.last.registry

    def forger(self) -> Forger:
        return Forger(self.thief / "keys", "train", self.id)


@pytest.fixture
def theft(tmp_path: Path) -> Theft:
    theft = Theft(tmp_path)
    hand_over("train", tmp_path / "honest", theft.thief)
    return theft


def version(theft: Theft, number: int) -> Version:
    return next(item for item in theft.attacker().history(NAME) if item.version == number)


def add_evil(theft: Theft) -> int:
    """With the train key the attacker adds a version like any trainer, and is so far no more than one."""
    return add(theft.attacker(), EVIL)


def promote_as_usual(theft: Theft) -> None:
    theft.attacker().promote(NAME, add_evil(theft))


def sign_a_step_with_the_train_key(theft: Theft) -> None:
    number = add_evil(theft)
    step, manifest = theft.honest.channel_history(NAME, CHAMPION)[-1], version(theft, number).manifest
    forge_step(theft.store, replace(step, number=2, version=number, manifest=manifest), theft.forger())


def replace_the_step(theft: Theft) -> None:
    number = add_evil(theft)
    (step,) = theft.honest.channel_history(NAME, CHAMPION)
    forge_step(theft.store, replace(step, version=number, manifest=version(theft, number).manifest), theft.forger())


def hide_the_champion_behind_the_candidate(theft: Theft) -> None:
    add_evil(theft)
    for name in theft.store.list(f"models/{NAME}/channels/{CHAMPION}"):
        theft.store.delete(name)


def pass_the_candidate_off_as_champion(theft: Theft) -> None:
    add_evil(theft)
    folder = f"models/{NAME}/channels"
    data = theft.store.get(f"{folder}/{CANDIDATE}/000003.json", 2**20)
    theft.store.put(f"{folder}/{CHAMPION}/000002.json", data)


def write_another_version_under_the_old_number(theft: Theft) -> None:
    number = add_evil(theft)
    folder = f"models/{NAME}/versions"
    shelf = Shelf(theft.store, folder, Record, theft.forger())
    record = shelf.read(number)
    theft.store.delete(shelf.name(1))
    shelf.create(1, replace(record, version=replace(record.version, version=1)))


def issue_a_root(theft: Theft) -> None:
    add_evil(theft)
    attacker = theft.attacker()
    attacker.trust.open()
    attacker.trust.keyring.make("channel")
    attacker.trust.rotate("channel", {})


def issue_a_root_of_his_own(theft: Theft) -> None:
    add_evil(theft)
    roots = Roots(theft.store, theft.honest.trust.keyring)
    roots.follow()
    keyring = theft.attacker().trust.keyring
    mine = {role: (keyring.make(role),) for role in roots.last.roles}
    root = replace(roots.last, number=2, roles=mine, previous=roots.digests[-1])
    Shelf(theft.store, "root", Root, Forger(theft.thief / "keys", "root")).create(2, root)


def begin_another_registry(theft: Theft) -> None:
    restore(theft.store, {})
    (theft.thief / "keys" / "train.key").unlink()
    attacker = machine(theft.store, theft.folder / "elsewhere", clock=theft.clock)
    attacker.promote(NAME, add(attacker, EVIL))


ATTACKS: tuple[Callable[[Theft], None], ...] = (
    promote_as_usual,
    sign_a_step_with_the_train_key,
    replace_the_step,
    hide_the_champion_behind_the_candidate,
    pass_the_candidate_off_as_champion,
    write_another_version_under_the_old_number,
    issue_a_root,
    issue_a_root_of_his_own,
    begin_another_registry,
)


@pytest.mark.parametrize("known", [True, False], ids=["a reader that was here before", "a reader that never was"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_stolen_train_key_deploys_nothing(attack: Callable[[Theft], None], known: bool, theft: Theft) -> None:
    if attack is begin_another_registry and not known:
        return  # who has never seen a registry cannot know which one is meant: `keys trust FILE` tells it
    reader = theft.reader()
    if known:
        reader.load(NAME)
    refused = ""
    try:
        attack(theft)
    except RegistryError as error:
        refused = str(error)
    assert refused == "" or "no key that may sign this" in refused or "no root key" in refused
    evil = example_bundle(EVIL).digest
    try:
        bundle, _ = theft.reader().load(NAME)
    except TocsinError:
        assert not known, "whoever served goes on to serve"
    else:
        assert bundle.digest == example_bundle(0).digest != evil


def test_a_forged_judgement_does_not_outweigh_that_of_the_gate(theft: Theft) -> None:
    theft.honest.add_judgement(NAME, 2, FAILED, example_report())
    theft.attacker().add_judgement(NAME, 2, PASSED, example_report())
    judged = theft.honest.judgements(NAME, 2)
    assert [(item.role, item.verdict.passed) for item in judged] == [
        ("train", True), ("channel", False), ("train", True)
    ]  # fmt: skip
    assert theft.honest.verdict(NAME, 2) == FAILED
    with pytest.raises(GateRefused, match="a verdict that failed"):
        theft.honest.promote(NAME, 2)
    theft.honest.add_judgement(NAME, 2, PASSED, example_report())
    theft.honest.promote(NAME, 2)


def test_a_mark_of_somebody_else_hides_no_version_from_a_roll_back(theft: Theft) -> None:
    theft.honest.promote(NAME, 2)
    theft.store.put(f"models/{NAME}/retired/000001.json", b"{}")
    assert theft.honest.roll_back(NAME).version == 1


@pytest.mark.parametrize("role", ["train", "channel"])
def test_a_key_that_was_replaced_signs_nothing_any_more_and_what_it_signed_stays_true(
    role: Role, theft: Theft, tmp_path: Path
) -> None:
    hand_over("channel", tmp_path / "honest", theft.thief)
    before = theft.reader().load(NAME)[1]
    theft.honest.rotate(role)
    assert theft.reader().load(NAME)[1] == theft.reader("another").load(NAME)[1] == before
    assert theft.honest.verify(NAME) == []
    with pytest.raises(RegistryError, match="no key that may sign this"):
        add_evil(theft) if role == "train" else theft.attacker().promote(NAME, 2)
    theft.honest.promote(NAME, add(theft.honest, 2))
    assert theft.reader().load(NAME)[1].version == 3


def test_a_step_by_a_replaced_channel_key_is_refused_even_in_place_of_an_old_one(theft: Theft, tmp_path: Path) -> None:
    hand_over("channel", tmp_path / "honest", theft.thief)
    (step,) = theft.honest.channel_history(NAME, CHAMPION)
    theft.honest.rotate("channel")
    forger = Forger(theft.thief / "keys", "channel", theft.id)
    forge_step(theft.store, replace(step, version=2, manifest=version(theft, 2).manifest), forger)
    with pytest.raises(IntegrityError, match="another document than a root has noted"):
        theft.reader().load(NAME)
    forge_step(theft.store, step, forger)
    forge_step(theft.store, replace(step, number=2), forger)
    with pytest.raises(IntegrityError, match=r"signed by \w{16} \(channel\)"):
        theft.reader("another").load(NAME)


def test_a_version_by_a_replaced_key_goes_live_only_if_somebody_else_vouches_for_it(theft: Theft) -> None:
    number = add_evil(theft)
    theft.honest.rotate("train")
    with pytest.raises(GateRefused, match="a key that was replaced since"):
        theft.honest.promote(NAME, number)
    theft.honest.promote(NAME, 1)
    theft.honest.add_judgement(NAME, 2, PASSED, example_report())
    theft.honest.promote(NAME, 2)


def test_a_thief_with_a_later_clock_makes_no_champion_stale(theft: Theft) -> None:
    theft.clock.pass_(days=30)
    far = machine(theft.store, theft.thief, clock=Clock(theft.clock.now.replace(year=2999)))
    add(far, EVIL)
    reader = theft.reader()
    reader.load(NAME, CANDIDATE)
    assert {item.channel: item.stale for item in reader.standings(NAME)} == {CANDIDATE: False, CHAMPION: False}


def test_rows_that_were_pinned_by_the_gate_do_not_give_way_to_those_of_a_trainer(theft: Theft) -> None:
    for seed in range(2):
        theft.honest.pinboard(NAME).keep(example_bundle(seed), "anchor")
    folder = f"models/{NAME}/pins"
    theft.store.delete(f"{folder}/000002.json")
    with pytest.raises(IntegrityError, match="step 1 as the last, wanted step 2"):
        theft.honest.pinboard(NAME).load()
    theft.store.delete(f"{folder}/000001.json")
    theft.attacker().pinboard(NAME).keep(example_bundle(EVIL), "anchor")
    with pytest.raises(IntegrityError, match="step 1 as the last, wanted step 2"):
        theft.honest.pinboard(NAME).load()
    with pytest.raises(RegistryError, match="no channel key to pin anew with"):
        theft.attacker().pinboard(NAME).keep(example_bundle(EVIL), "anchor")


def test_the_last_judgement_that_somebody_takes_away_is_missed_where_it_was_given(theft: Theft) -> None:
    failed = theft.honest.judgements(NAME, 2)[0]
    theft.honest.add_judgement(NAME, 2, FAILED, example_report(2))
    theft.store.delete(f"models/{NAME}/judgements/000002/000001.json")
    with pytest.raises(IntegrityError, match=r"(?s)@judgements/000002.*step 0 as the last"):
        theft.honest.promote(NAME, 2)
    assert any("judgements" in problem.where for problem in theft.honest.verify(NAME))
    assert theft.honest.channels(NAME)[CHAMPION] == 1
    assert theft.reader().judgements(NAME, 2) == (failed,)  # who never saw it cannot tell
    theft.honest.trust.accept()
    theft.honest.promote(NAME, 2)


def test_a_reader_misses_a_judgement_that_it_has_seen(theft: Theft) -> None:
    theft.honest.add_judgement(NAME, 2, PASSED, example_report(2))
    theft.honest.add_judgement(NAME, 2, FAILED, example_report(2))
    assert not theft.reader().verdict(NAME, 2).passed
    theft.store.delete(f"models/{NAME}/judgements/000002/000002.json")
    with pytest.raises(IntegrityError, match="step 1 as the last, wanted step 2"):
        theft.reader().verdict(NAME, 2)
    assert theft.reader("another").verdict(NAME, 2).passed


def test_a_judgement_that_is_missing_in_between_is_noticed_by_all(theft: Theft) -> None:
    for _ in range(2):
        theft.honest.add_judgement(NAME, 2, PASSED, example_report(2))
    theft.store.delete(f"models/{NAME}/judgements/000002/000001.json")
    with pytest.raises(IntegrityError, match="every number from 1 to the last"):
        theft.reader().verdict(NAME, 2)


def test_an_heirloom_that_somebody_takes_away_is_missed(theft: Theft) -> None:
    heirlooms = [Heirloom("Networking Tester", name, "1.0.8", "", "", {}, {}, "0" * 64) for name in ("gmm", "svm")]
    theft.honest.luggage(NAME).keep(heirlooms)
    theft.store.delete(f"models/{NAME}/heirlooms/000002.json")
    with pytest.raises(IntegrityError, match=r"(?s)@heirlooms.*step 1 as the last"):
        theft.honest.luggage(NAME).heirlooms()
    assert [item.name for item in theft.reader().luggage(NAME).heirlooms()] == ["gmm"]


def test_of_many_judged_versions_the_latest_are_remembered_and_every_channel_is(theft: Theft) -> None:
    memory, registry = theft.honest.trust.memory, theft.id
    for number in range(1, MAX_ALIKE + 3):
        memory.remember(registry, f"{NAME}/@judgements/{number:06d}", Seen(1, "0" * 64, ""), f"{NAME}/@judgements/")
    pin = memory.recall()
    assert pin is not None
    judged = [key for key in pin.channels if "@judgements" in key]
    assert (len(judged), judged[0]) == (MAX_ALIKE, f"{NAME}/@judgements/000003")
    assert f"{NAME}/{CHAMPION}" in pin.channels

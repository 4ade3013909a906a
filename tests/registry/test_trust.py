"""Which registry a machine trusts, who may sign there, and what it remembers of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.registry.worlds import add, contents, hand_over, machine, restore

from tocsin.checks.registry import NAME, PASSED, KilledError, example_bundle, example_report
from tocsin.errors import IntegrityError, RegistryError
from tocsin.model.documents import Sealed, Shelf, seal
from tocsin.registry import CANDIDATE, CHAMPION, Registry
from tocsin.registry.keys import Keyring, Role
from tocsin.registry.root import Root, Roots
from tocsin.storage import LocalStore

Open = Callable[..., Registry]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def open_as(store: LocalStore, tmp_path: Path) -> Open:
    """The registry as a machine of a name sees it."""
    return lambda name, **rules: machine(store, tmp_path / name, **rules)


@pytest.fixture
def owner(open_as: Open) -> Registry:
    """Two versions, the first one champion."""
    registry = open_as("owner")
    for seed in range(2):
        add(registry, seed)
    registry.promote(NAME, 1)
    return registry


@pytest.mark.usefixtures("owner")
def test_another_registry_in_the_same_place_is_refused_until_somebody_accepts_it(
    store: LocalStore, tmp_path: Path, open_as: Open
) -> None:
    open_as("reader").channels(NAME)
    other = LocalStore(tmp_path / "other")
    registry = machine(other, tmp_path / "stranger")
    registry.promote(NAME, add(registry, 7))
    restore(store, contents(other))
    with pytest.raises(IntegrityError, match="tocsin keys trust"):
        open_as("reader").channels(NAME)
    open_as("reader").trust.accept()
    assert open_as("reader").load(NAME)[0].digest == example_bundle(7).digest


@pytest.mark.usefixtures("owner")
def test_an_emptied_registry_is_no_new_one_until_somebody_says_so(store: LocalStore, open_as: Open) -> None:
    open_as("reader").channels(NAME)
    restore(store, {})
    for ask in (open_as("reader").names, open_as("owner").names):
        with pytest.raises(IntegrityError, match="the registry was emptied"):
            ask()
    with pytest.raises(IntegrityError, match="tocsin keys trust"):
        add(open_as("owner"), 5)
    open_as("owner").trust.accept()
    add(open_as("owner"), 5)
    assert open_as("owner").channels(NAME) == {CANDIDATE: 1}
    with pytest.raises(IntegrityError, match="tocsin keys trust"):
        open_as("reader").names()


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("left", ["registry.json", "models"])
def test_nothing_is_begun_on_what_is_left_of_a_registry(left: str, store: LocalStore, open_as: Open) -> None:
    restore(store, {name: data for name, data in contents(store).items() if name.startswith(left)})
    with pytest.raises(IntegrityError, match=r"root/000001\.json"):
        add(open_as("newcomer"), 5)


def test_a_registry_without_signatures_is_refused_and_left_as_it_is(store: LocalStore, open_as: Open) -> None:
    store.put("registry.json", seal({"format": 1}, "registry.json"))
    for step in (open_as("reader").names, lambda: add(open_as("owner"), 0)):
        with pytest.raises(RegistryError, match=r"format 1, wanted format 2\n  Hint: its versions carry no signatures"):
            step()
    assert store.list("") == ("registry.json",)


def test_a_registry_for_others_is_refused(open_as: Open) -> None:
    registry = open_as("owner", audience="north")
    registry.promote(NAME, add(registry, 0))
    assert open_as("reader", audience="north").load(NAME)[1].version == 1
    for audience in ("", "south"):
        with pytest.raises(IntegrityError, match=f'a registry for "north", wanted "{audience}"'):
            open_as("another", audience=audience).load(NAME)


def test_a_root_that_was_seen_stays(owner: Registry, store: LocalStore, open_as: Open) -> None:
    before = contents(store)
    owner.rotate("channel")
    open_as("reader").names()
    restore(store, before)
    for name in ("owner", "reader"):
        with pytest.raises(IntegrityError, match="root 1 as the last, wanted root 2, which was seen here"):
            open_as(name).names()
    assert open_as("stranger").names() == (NAME,)


def test_a_root_follows_another_by_the_keys_of_both(owner: Registry, tmp_path: Path, open_as: Open) -> None:
    for role in ("root", "train", "root", "channel"):
        owner.rotate(role)
    stranger = open_as("stranger")
    assert stranger.load(NAME)[1].version == 1
    assert [root.number for root in stranger.trust.roots.chain] == [1, 2, 3, 4, 5]
    hand_over("root", tmp_path / "owner", tmp_path / "before")
    owner.rotate("root")
    with pytest.raises(RegistryError, match="no root key of this registry"):
        open_as("before").rotate("train")


class Signers:
    """Sign a root together, and believe everything."""

    def __init__(self, *keyrings: Keyring) -> None:
        self._keyrings = keyrings

    def sign(self, document: object, body: bytes) -> dict[str, str]:
        return {
            key: signature
            for keyring in self._keyrings
            for key, signature in keyring.sign("root", [keyring.make("root")], body).items()
        }

    def check(self, document: object, sealed: Sealed) -> str:
        return ""


@pytest.mark.parametrize("who", ["first", "second", "first second"])
def test_a_root_needs_as_many_signatures_as_the_one_before_asks_for(
    who: str, owner: Registry, store: LocalStore, tmp_path: Path, open_as: Open
) -> None:
    keyrings = {"first": owner.trust.keyring, "second": Keyring(tmp_path / "second")}
    roots = Roots(store, owner.trust.keyring)
    roots.follow()
    both = {**roots.last.roles, "root": tuple(keyring.make("root") for keyring in keyrings.values())}
    root = replace(roots.last, number=2, roles=both, threshold=2, previous=roots.digests[-1])
    digest = Shelf(store, "root", Root, Signers(*keyrings.values())).create(2, root)
    present = Signers(*(keyrings[name] for name in who.split()))
    Shelf(store, "root", Root, present).create(3, replace(root, number=3, previous=digest))
    if who == "first second":
        assert open_as("reader").load(NAME)[1].version == 1
        with pytest.raises(RegistryError, match="1 root key of this registry, wanted 2"):
            open_as("owner").rotate("train")
    else:
        with pytest.raises(IntegrityError, match="too few signatures by root keys"):
            open_as("reader").names()


@pytest.fixture
def shared(owner: Registry, tmp_path: Path) -> Registry:
    """Its root is held by two keys, one of them on a stick, and both must sign."""
    Keyring(tmp_path / "stick").make("root")
    owner.trust.keyring.bring([tmp_path / "stick"])
    owner.agree(2)
    return owner


def test_where_two_root_keys_must_sign_one_alone_changes_nothing(
    shared: Registry, tmp_path: Path, open_as: Open
) -> None:
    assert len(shared.trust.roots.last.roles["root"]) == 2
    alone = open_as("owner")
    for change in (lambda: alone.rotate("channel"), lambda: alone.rotate("root"), lambda: alone.agree(1)):
        with pytest.raises(RegistryError, match="1 root key of this registry, wanted 2"):
            change()
    alone.trust.keyring.bring([tmp_path / "stick"])
    alone.rotate("channel")
    reader = open_as("reader")
    assert reader.load(NAME)[1].version == 1
    assert [root.threshold for root in reader.trust.roots.chain] == [1, 2, 2]


def test_a_root_key_of_two_is_replaced_and_the_other_stays(shared: Registry, tmp_path: Path, open_as: Open) -> None:
    mine, theirs = shared.trust.roots.last.roles["root"]
    renewed = shared.rotate("root")
    assert shared.trust.roots.last.roles["root"] == (renewed, theirs)
    assert shared.trust.keyring.public("root") == renewed != mine
    assert open_as("reader").names() == (NAME,)


def test_a_threshold_goes_down_again_with_the_keys_that_it_asks_for(
    shared: Registry, tmp_path: Path, open_as: Open
) -> None:
    shared.agree(1)
    assert len(shared.trust.roots.last.roles["root"]) == 2
    alone = open_as("owner")
    alone.agree(1)
    assert len(alone.trust.roots.last.roles["root"]) == 1, "who is not at hand holds the root no more"
    thief = open_as("thief")
    thief.trust.keyring.bring([tmp_path / "stick"])
    with pytest.raises(RegistryError, match="no root key of this registry"):
        thief.agree(1)


def test_what_older_keys_signed_stays_true_when_the_threshold_changes(shared: Registry, open_as: Open) -> None:
    shared.rotate("train")
    number = add(shared, 9)
    shared.agree(1)
    reader = open_as("reader")
    assert [reader.load(NAME, version)[1].version for version in (1, number)] == [1, number]
    assert shared.verify(NAME) == []


@pytest.mark.parametrize("threshold", [0, 2])
def test_no_threshold_is_set_that_nobody_could_meet(threshold: int, owner: Registry) -> None:
    with pytest.raises(RegistryError, match="1 at hand for a threshold of"):
        owner.agree(threshold)
    assert len(owner.trust.roots.chain) == 1


def test_a_folder_without_a_root_key_is_told_before_anything_changes(owner: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="keys new --role root --to"):
        owner.trust.keyring.bring([tmp_path / "empty"])


class DyingKeyring(Keyring):
    """Its process is killed before a new key takes the place of the old one."""

    def succeed(self, role: Role) -> None:
        raise KilledError


def test_a_rotation_that_was_killed_costs_nothing_and_is_ended_by_the_next(
    owner: Registry, store: LocalStore, open_as: Open
) -> None:
    before = owner.trust.keyring.public("train")
    owner.trust.roots = Roots(store, DyingKeyring(owner.trust.keyring.folder))
    with pytest.raises(KilledError):
        owner.rotate("train")
    again = open_as("owner")
    assert add(again, 5) == 3, "the new key signs already"
    assert again.trust.keyring.public("train") == before
    assert again.rotate("train") == again.trust.keyring.public("train") != before
    assert again.trust.roots.last.number == 2
    assert again.verify(NAME) == []


def test_who_takes_what_another_machine_has_seen_is_led_astray_by_no_first_look(
    owner: Registry, store: LocalStore, tmp_path: Path, open_as: Open
) -> None:
    before = contents(store)
    owner.promote(NAME, 2)
    owner.trust.memory.export(tmp_path / "trusted.json")
    restore(store, before)
    assert open_as("stranger").load(NAME)[1].version == 1, "who has never looked cannot know better"
    reader = open_as("reader")
    reader.trust.memory.take(tmp_path / "trusted.json")
    with pytest.raises(IntegrityError, match="step 1 as the last, wanted step 2, which was seen here"):
        reader.load(NAME)
    with pytest.raises(RegistryError, match="no such file"):
        reader.trust.memory.take(tmp_path / "nothing.json")
    with pytest.raises(RegistryError, match="nothing seen yet"):
        open_as("newcomer").trust.memory.export(tmp_path / "nothing.json")


def test_each_machine_can_do_what_its_key_is_for_and_no_more(owner: Registry, tmp_path: Path, open_as: Open) -> None:
    hand_over("train", tmp_path / "owner", tmp_path / "trainer")
    hand_over("channel", tmp_path / "owner", tmp_path / "gate")
    trainer, gate, pi = open_as("trainer"), open_as("gate"), open_as("pi")
    number = add(trainer, 3)
    for step in (lambda: trainer.promote(NAME, number), lambda: pi.promote(NAME, number), lambda: add(gate, 4)):
        with pytest.raises(RegistryError, match="no key that may sign this"):
            step()
    lacking: tuple[tuple[Registry, Role], ...] = ((trainer, "channel"), (gate, "train"), (pi, "train"))
    for machine_, role in lacking:
        with pytest.raises(RegistryError, match="no key that may sign this"):
            machine_.trust.expect(role)
    trainer.trust.expect("train")
    gate.trust.expect("channel")
    with pytest.raises(IntegrityError, match='a registry for "", wanted "south"'):
        open_as("trainer", audience="south").trust.expect("train")
    with pytest.raises(RegistryError, match="no root key of this registry"):
        gate.rotate("channel")
    gate.add_judgement(NAME, number, PASSED, example_report())
    gate.promote(NAME, number)
    assert pi.load(NAME)[1].version == number
    hand_over("train", tmp_path / "owner", tmp_path / "elsewhere")
    with pytest.raises(RegistryError, match="keys for train alone"):
        machine(LocalStore(tmp_path / "new"), tmp_path / "elsewhere").add(NAME, example_bundle(), {}, PASSED)


def test_without_a_champion_the_candidate_serves_only_where_it_could_have_been_made(open_as: Open) -> None:
    add(open_as("owner"), 0)
    assert open_as("owner").load(NAME)[1].version == 1
    with pytest.raises(RegistryError, match="no champion yet"):
        open_as("pi").load(NAME)
    assert open_as("pi").load(NAME, CANDIDATE)[1].version == 1


def test_what_cannot_be_remembered_stops_nothing(owner: Registry, tmp_path: Path, open_as: Open) -> None:
    open_as("reader").load(NAME)
    (memory,) = (tmp_path / "reader/trust").glob("*.json")
    memory.with_suffix(".lock").unlink()
    memory.with_suffix(".lock").mkdir()
    owner.promote(NAME, 2)
    assert open_as("reader").load(NAME)[1].version == 2


def test_a_damaged_memory_is_told_with_what_to_do(owner: Registry, tmp_path: Path, open_as: Open) -> None:
    (memory,) = (tmp_path / "owner/trust").glob("*.json")
    memory.write_bytes(memory.read_bytes().replace(b'"root":1', b'"root":2'))
    with pytest.raises(IntegrityError, match="bytes that have changed"):
        open_as("owner").names()
    memory.write_bytes(seal({"format": 1, "pin": {"registry": 1}}, "pin"))
    with pytest.raises(IntegrityError, match="values that do not fit"):
        open_as("owner").names()
    open_as("owner").trust.accept()
    assert open_as("owner").channels(NAME) == {CANDIDATE: 2, CHAMPION: 1}

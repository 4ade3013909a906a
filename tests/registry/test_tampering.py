"""Case 3: stored bytes are flipped, cut, swapped, added and linked; what served goes on to serve."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registry.worlds import LIMIT, add, contents, machine, put, restore

from tocsin.checks.registry import NAME, PASSED, example_bundle, example_report
from tocsin.errors import TocsinError
from tocsin.registry import CHAMPION, Registry
from tocsin.registry.ledger import Heirloom
from tocsin.storage import LocalStore

CHAMPION_DIGEST = example_bundle(0).digest


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A champion, a candidate, a judgement, two models of another system and a second root."""
    store = LocalStore(tmp_path / "store")
    registry = owner(store, tmp_path)
    for seed in range(2):
        add(registry, seed)
    registry.add_judgement(NAME, 1, PASSED, example_report(7))
    registry.promote(NAME, 1)
    heirlooms = [Heirloom("theirs", "forest", str(number), "", "", {"f1": 0.5}, {}, "ab" * 32) for number in range(2)]
    registry.luggage(NAME).keep(heirlooms)
    registry.rotate("train")
    reader(store, tmp_path).load(NAME)
    return store


def owner(store: LocalStore, tmp_path: Path) -> Registry:
    return machine(store, tmp_path / "owner")


def reader(store: LocalStore, tmp_path: Path) -> Registry:
    """A machine that has served the champion before."""
    return machine(store, tmp_path / "reader")


def serves(registry: Registry) -> bool:
    return registry.load(NAME)[0].digest == CHAMPION_DIGEST


def truths(registry: Registry) -> list[tuple[Callable[[], object], object]]:
    """What may be asked of the store, and the only answer beside an error."""
    return [
        (lambda: registry.load(NAME)[0].digest, CHAMPION_DIGEST),
        (lambda: registry.load(NAME, 2)[0].digest, example_bundle(1).digest),
        (lambda: registry.report(NAME, 1), example_report(0)),
        (lambda: registry.verdict(NAME, 1), PASSED),
    ]


def is_refused_or_true(step: Callable[[], object], truth: object) -> bool:
    try:
        return step() == truth
    except TocsinError:
        return True


def is_noticed(registry: Registry) -> bool:
    try:
        return registry.verify(NAME) != []
    except TocsinError:
        return True


@pytest.mark.soak
def test_a_flipped_bit_is_noticed_and_never_served(
    store: LocalStore, tmp_path: Path, seed: int, rounds: Callable[[int, int], int]
) -> None:
    moments = random.Random(seed)  # noqa: S311  # which bit is no secret
    names = store.list("")
    noticed = served = 0
    for flip in range(rounds(60, 1_000)):
        name = moments.choice(names)
        data = store.get(name, LIMIT)
        bit = moments.randrange(8 * len(data))
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        put(store, name, bytes(changed))
        served += serves(reader(store, tmp_path))
        noticed += is_noticed(owner(store, tmp_path))
        stranger = machine(store, tmp_path / f"stranger-{flip}")
        assert all(map(is_refused_or_true, *zip(*truths(stranger), strict=True))), (name, bit)
        put(store, name, data)
    assert (noticed, served) == (flip + 1, flip + 1)
    assert reader(store, tmp_path).verify(NAME) == []


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_noticed_and_never_served(left: float, store: LocalStore, tmp_path: Path) -> None:
    for name, data in contents(store).items():
        put(store, name, data[: int(left * len(data))])
        assert serves(reader(store, tmp_path))
        assert is_noticed(owner(store, tmp_path)), name
        put(store, name, data)


def test_files_that_were_swapped_are_noticed_and_never_served(store: LocalStore, tmp_path: Path) -> None:
    before = contents(store)
    names = sorted(before)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        put(store, name, before[other])
        put(store, other, before[name])
        assert serves(reader(store, tmp_path))
        assert is_noticed(owner(store, tmp_path)), name
        restore(store, before)


@pytest.mark.parametrize("place", ["root/stray", "objects/sha256/aa/stray", f"models/{NAME}/channels/champion/stray"])
def test_a_file_more_changes_nothing(place: str, store: LocalStore, tmp_path: Path) -> None:
    store.put(place, b"not ours")
    assert serves(machine(store, tmp_path / "stranger"))
    assert machine(store, tmp_path / "stranger").verify(NAME) == []


@pytest.mark.parametrize("number", ["000003", "000009"])
def test_a_step_more_that_nobody_signed_is_refused(number: str, store: LocalStore, tmp_path: Path) -> None:
    store.put(f"models/{NAME}/channels/{CHAMPION}/{number}.json", b"{}")
    assert serves(reader(store, tmp_path))
    assert is_noticed(owner(store, tmp_path))


def test_a_link_in_place_of_a_file_is_refused(store: LocalStore, tmp_path: Path) -> None:
    for name in store.list(""):
        path = tmp_path / "store" / name
        aside = tmp_path / "aside"
        path.rename(aside)
        path.symlink_to(aside)
        assert serves(reader(store, tmp_path))
        last = "/judgements/" in name or name.endswith("/heirlooms/000002.json")
        assert is_noticed(owner(store, tmp_path)) or last, "all but a last judgement or a last heirloom is missed"
        path.unlink()
        aside.rename(path)


def test_the_copy_of_the_last_good_model_is_held_against_its_hash_too(store: LocalStore, tmp_path: Path) -> None:
    copies = [path for path in (tmp_path / "reader/models/objects").rglob("*") if path.is_file()]
    before = contents(store)
    for path in copies:
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-3] + b"abc")
    restore(store, {})
    with pytest.raises(TocsinError, match="the registry was emptied"):
        reader(store, tmp_path).load(NAME)
    restore(store, before)
    assert serves(reader(store, tmp_path)), "as long as the registry can be read, the copies do not matter"

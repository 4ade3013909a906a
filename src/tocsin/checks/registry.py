"""What a registry must hold to on any store: each check is given a way to open a store and an empty folder.

A check raises AssertionError where a promise is broken. The stores that it opens on one folder must share what they
hold, as two processes would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tocsin.checks.part import require
from tocsin.config import RegistryConfig
from tocsin.errors import ConflictError, GateRefused, IntegrityError, NotStored, RegistryError, TocsinError
from tocsin.model.bundle import Bundle, pack
from tocsin.records import Judgement, Verdict
from tocsin.registry import CANDIDATE, CHAMPION, Machine, Registry
from tocsin.storage import Store

StoreFactory = Callable[[Path], Store]
Check = Callable[[StoreFactory, Path], None]

NAME = "edge-flows"
PASSED = Verdict(passed=True, judgements=(Judgement("recall", ">= 0.9", 0.95, passed=True, reason=""),))
FAILED = Verdict(passed=False, judgements=(Judgement("recall", ">= 0.9", 0.5, passed=False, reason="below"),))
_LIMIT = 2**20
_LONG_AFTER = timedelta(days=365)


def example_bundle(seed: int = 0) -> Bundle:
    """A small model that differs from those of other seeds."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {
        "weights": rng.normal(size=(4, 3)),
        "left": rng.integers(0, 9, 5).astype(np.int32),
    }
    return Bundle({"kind": "example", "seed": seed}, arrays, {"train_seconds": 0.5, "generated": True})


def example_report(seed: int = 0) -> dict[str, Any]:
    """A report with one figure that differs from those of other seeds."""
    return {"figures": {"recall": {"value": 0.95}, "rows": {"value": seed}}}


class DyingStore(Store):
    """A store whose process is killed around the k-th put.

    Parameters
    ----------
    store
        Where what is put before that goes.
    puts
        How many puts are done for good.
    """

    def __init__(self, store: Store, puts: int) -> None:
        self._store = store
        self._left = puts

    def get(self, name: str, limit_bytes: int) -> bytes:
        """As the store within."""
        return self._store.get(name, limit_bytes)

    def put(self, name: str, data: bytes) -> None:
        """As the store within, until the process is killed."""
        if self._left == 0:
            raise KilledError
        self._left -= 1
        self._store.put(name, data)

    def times(self, prefix: str) -> Mapping[str, datetime]:
        """As the store within."""
        return self._store.times(prefix)

    def delete(self, name: str) -> None:
        """As the store within."""
        self._store.delete(name)

    def modified(self, name: str) -> datetime:
        """As the store within."""
        return self._store.modified(name)


class KilledError(BaseException):
    """No `except Exception` survives a kill either."""


def opened(store: Store, folder: Path, *, keep: int = 5, clock: Callable[[], datetime] | None = None) -> Registry:
    """A registry on a store, as a machine sees it that keeps its keys and what it has seen below a folder."""
    machine, rules = Machine(folder / ".tocsin"), RegistryConfig(keep=keep)
    return Registry(store, machine, rules, clock=clock) if clock else Registry(store, machine, rules)


def _much_later() -> datetime:
    return datetime.now(UTC) + _LONG_AFTER


def _refused(step: Callable[[], object], wanted: type[TocsinError], failure: str) -> None:
    try:
        step()
    except wanted:
        return
    raise AssertionError(failure)


def _add(registry: Registry, seed: int, verdict: Verdict = PASSED) -> int:
    return registry.add(NAME, example_bundle(seed), example_report(seed), verdict).version


def _promote(registry: Registry, version: int) -> None:
    registry.promote(NAME, version)


def what_is_added_is_what_is_loaded(make: StoreFactory, folder: Path) -> None:
    """Bundle, report and verdict come back identical through another opening of the store."""
    added = opened(make(folder), folder).add(NAME, example_bundle(), example_report(), PASSED)
    registry = opened(make(folder), folder)
    bundle, version = registry.load(NAME, added.version)
    require(pack(bundle) == pack(example_bundle()), "the bundle changed on its way")
    require(version == added, "the version changed on its way")
    require(registry.report(NAME, 1) == example_report(), "the report changed on its way")
    require(registry.verdict(NAME, 1) == PASSED, "the verdict changed on its way")
    require(registry.verify(NAME) == [], "a new registry has problems")


def two_writers_get_two_versions(make: StoreFactory, folder: Path) -> None:
    """A writer that is overtaken between its look and its put takes the next number."""
    store = make(folder)
    first = opened(store, folder)
    _add(first, 0)

    class Overtaken(DyingStore):
        raced = False

        def put(self, name: str, data: bytes) -> None:
            """Let the other writer go first, once."""
            if "/versions/" in name and not self.raced:
                self.raced = True
                _add(first, 1)
            store.put(name, data)

    number = _add(opened(Overtaken(store, 0), folder), 2)
    require(number == 3, f"the overtaken writer got version {number}")
    digests = [version.digest for version in first.history(NAME)]
    require(digests == [example_bundle(seed).digest for seed in (0, 1, 2)], "a version was overwritten")
    require(first.channels(NAME) == {CANDIDATE: 3}, "the candidate is not the last version")


def a_kill_leaves_the_old_or_the_new(make: StoreFactory, folder: Path) -> None:
    """Whatever put an add and a promotion die at, a whole champion loads and the rest is collected."""
    for puts in range(20):
        killed = folder / f"killed-{puts}"
        store = make(killed)
        first = opened(store, killed)
        _promote(first, _add(first, 0))
        rows = killed / "rows.db"
        first.index(rows).listing(NAME)
        try:
            dying = opened(DyingStore(store, puts), killed)
            _promote(dying, _add(dying, 1))
            finished = True
        except KilledError:
            finished = False
        after = opened(store, killed, clock=_much_later)
        bundle, _ = after.load(NAME, CHAMPION)
        require(bundle.digest in {example_bundle(0).digest, example_bundle(1).digest}, "the champion is a mixture")
        after.collect_garbage()
        require(after.verify(NAME) == [], f"a kill at put {puts + 1} left problems: {after.verify(NAME)}")
        caught_up = after.index(rows).listing(NAME)
        after.index(rows).rebuild()
        require(after.index(rows).listing(NAME) == caught_up, f"after a kill at put {puts + 1} the index is another")
        _promote(after, _add(after, 2))
        require(after.load(NAME, CHAMPION)[0].digest == example_bundle(2).digest, "the registry is stuck after a kill")
        if finished:
            return
    raise AssertionError("an add and a promotion need more than 20 puts")


def an_altered_byte_is_refused(make: StoreFactory, folder: Path) -> None:
    """Every stored name is altered in turn: what needs it is refused, `verify` says so, the old version loads."""
    store = make(folder)
    registry = opened(store, folder)
    _promote(registry, _add(registry, 0))
    before = set(store.list(""))
    number = _add(registry, 1)
    for name in sorted(set(store.list("")) - before):
        data = store.get(name, _LIMIT)
        store.delete(name)
        store.put(name, data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        require(registry.verify(NAME) != [], f"verify did not see that {name} was altered")
        if "/channels/" not in name:
            _refused(lambda: (registry.load(NAME, number), registry.report(NAME, number)), IntegrityError, name)
        require(registry.load(NAME, CHAMPION)[0].digest == example_bundle(0).digest, "the old version was lost")
        store.delete(name)
        store.put(name, data)
    require(registry.verify(NAME) == [], "a repaired registry has problems")


def only_a_passing_verdict_goes_live(make: StoreFactory, folder: Path) -> None:
    """A failed verdict is kept, is refused by `promote`, and cannot be left out."""
    store = make(folder)
    registry = opened(store, folder)
    number = _add(registry, 0, FAILED)
    _refused(lambda: registry.promote(NAME, number), GateRefused, "a failed verdict went live")
    require(dict(registry.channels(NAME)) == {CANDIDATE: number}, "a refused promotion moved a channel")
    document = next(name for name in store.list("models") if "/versions/" in name)
    data = store.get(document, _LIMIT)
    store.delete(document)
    store.put(document, data.replace(b'"verdict":', b'"opinion":'))
    _refused(lambda: registry.promote(NAME, number), IntegrityError, "a version without a verdict was accepted")


def the_loser_of_a_promotion_is_told(make: StoreFactory, folder: Path) -> None:
    """A channel that moved meanwhile is left as it is."""
    registry = opened(make(folder), folder)
    first, second = _add(registry, 0), _add(registry, 1)
    registry.promote(NAME, first, expected=0)
    _refused(lambda: registry.promote(NAME, second, expected=0), ConflictError, "a stale promotion was accepted")
    registry.promote(NAME, second, expected=first)
    require(registry.channels(NAME)[CHAMPION] == second, "a fresh promotion did not move the channel")


def a_roll_back_goes_to_the_version_before(make: StoreFactory, folder: Path) -> None:
    """Step by step down the promotions, each a new step of the channel, until there is none before."""
    registry = opened(make(folder), folder)
    for seed in range(3):
        _promote(registry, _add(registry, seed))
    require(registry.roll_back(NAME).version == 2, "the first roll back did not lead to version 2")
    require(registry.roll_back(NAME).version == 1, "the second roll back did not lead to version 1")
    _refused(lambda: registry.roll_back(NAME), RegistryError, "a roll back led beyond the first version")
    numbers = [entry.number for entry in registry.channel_history(NAME, CHAMPION)]
    require(numbers == [1, 2, 3, 4, 5], f"the steps of the channel are numbered {numbers}")


def retention_keeps_the_last_and_what_a_channel_needs(make: StoreFactory, folder: Path) -> None:
    """Champion and its predecessor outlive any number of candidates; the objects of the others are collected."""
    registry = opened(make(folder), folder, keep=2, clock=_much_later)
    for seed in range(3):
        number = _add(registry, seed)
        if seed < 2:
            _promote(registry, number)
    for seed in range(3, 7):
        _add(registry, seed)
    kept = [version.version for version in registry.history(NAME)]
    require(kept == [1, 2, 6, 7], f"retention kept {kept}")
    _refused(lambda: registry.load(NAME, 4), RegistryError, "a retired version was loaded")
    later = opened(make(folder), folder, clock=lambda: _much_later() + _LONG_AFTER)
    later.collect_garbage()
    objects = len(make(folder).list("objects"))
    require(
        objects == len(kept) * 3, f"{objects} objects are left: manifest, arrays and report of {len(kept)} versions"
    )
    require(later.verify(NAME) == [], "collecting took something that is needed")
    require(later.roll_back(NAME).version == 1, "the predecessor is gone")


def a_store_creates_once_and_forgets(make: StoreFactory, folder: Path) -> None:
    """The five verbs that everything above rests on."""
    store = make(folder)
    store.put("a/b/one", b"1")
    _refused(lambda: make(folder).put("a/b/one", b"2"), ConflictError, "a name was overwritten")
    require(make(folder).get("a/b/one", 1) == b"1", "other bytes came back")
    _refused(lambda: store.get("a/b/one", 0), IntegrityError, "a limit was ignored")
    require(store.list("a") == ("a/b/one",) == store.list(""), "the name is not listed")
    store.delete("a/b/one")
    store.delete("a/b/one")
    _refused(lambda: store.get("a/b/one", 1), NotStored, "a deleted name was read")
    _refused(lambda: store.put("../outside", b""), RegistryError, "a name led outside")


CHECKS: tuple[Check, ...] = (
    a_store_creates_once_and_forgets,
    what_is_added_is_what_is_loaded,
    two_writers_get_two_versions,
    a_kill_leaves_the_old_or_the_new,
    an_altered_byte_is_refused,
    only_a_passing_verdict_goes_live,
    the_loser_of_a_promotion_is_told,
    a_roll_back_goes_to_the_version_before,
    retention_keeps_the_last_and_what_a_channel_needs,
)
"""All of them, the simplest first."""

"""A registry as it is seen from three sides: by those who may write to it, by who only reads, by who may not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tocsin.checks.registry import NAME, PASSED, example_bundle, example_report
from tocsin.config import RegistryConfig
from tocsin.model.documents import Sealed, Shelf
from tocsin.records import Verdict
from tocsin.registry import Machine, Registry
from tocsin.registry.keys import Keyring, Role
from tocsin.registry.ledger import ChannelEntry
from tocsin.storage import Store

LIMIT = 2**24
BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A time of day that only a test moves."""

    def __init__(self, now: datetime = BEGINNING) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


def machine(store: Store, folder: Path, *, clock: Callable[[], datetime] = lambda: BEGINNING, **rules: Any) -> Registry:
    """A registry as the machine sees it that keeps what is its own in a folder."""
    return Registry(store, Machine(folder), RegistryConfig(**rules), clock=clock)


def add(registry: Registry, seed: int, verdict: Verdict = PASSED, name: str = NAME) -> int:
    return registry.add(name, example_bundle(seed), example_report(seed), verdict).version


def hand_over(role: Role, folder: Path, to: Path) -> None:
    """Copy a private key from one machine to another, as a thief or an owner does."""
    (to / "keys").mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(folder / "keys" / f"{role}.key", to / "keys" / f"{role}.key")


def contents(store: Store) -> dict[str, bytes]:
    return {name: store.get(name, LIMIT) for name in store.list("")}


def put(store: Store, name: str, data: bytes) -> None:
    """Write as somebody does who may do with the bytes of a store what he likes."""
    store.delete(name)
    store.put(name, data)


def restore(store: Store, before: dict[str, bytes]) -> None:
    now = contents(store)
    for name in now.keys() - before.keys():
        store.delete(name)
    for name, data in before.items():
        if now.get(name) != data:
            put(store, name, data)


class Forger:
    """Signs whatever it is given with the key of one role that lies in a folder, and believes everything.

    Roots are signed as they are, all else together with the id of its registry.
    """

    def __init__(self, keys: Path, role: Role, registry: str | None = None) -> None:
        self._keyring = Keyring(keys)
        self._role = role
        self._before = f"tocsin registry {registry}\n".encode() if registry else b""

    def sign(self, document: object, body: bytes) -> dict[str, str]:
        return self._keyring.sign(self._role, [self._keyring.make(self._role)], self._before + body)

    def check(self, document: object, sealed: Sealed) -> str:
        return next(iter(sealed.signatures))


def forge_step(store: Store, entry: ChannelEntry, forger: Forger, channel: str = "champion") -> None:
    """Put a step there in the name of somebody else."""
    shelf = Shelf(store, f"models/{NAME}/channels/{channel}", ChannelEntry, forger)
    store.delete(shelf.name(entry.number))
    shelf.create(entry.number, entry)

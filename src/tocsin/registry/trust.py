"""Whom this machine believes about a registry, and what it may say there itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tocsin import observe
from tocsin.config import RegistryConfig
from tocsin.errors import ConflictError, IntegrityError, NotStored, RegistryError
from tocsin.model.documents import MAX_DOCUMENT_BYTES, seal, unseal
from tocsin.registry.keys import ROLES, Keyring, Role
from tocsin.registry.root import Filled, Roots
from tocsin.registry.seen import Memory, Pin
from tocsin.registry.signing import ByRole
from tocsin.storage import Store

FORMAT = 2
MARKER = "registry.json"

_UNSIGNED = "its versions carry no signatures: move it away and train again, or read it with the Tocsin that wrote it"
_EMPTIED = (
    "the registry was emptied or moved, or this is another place; if that was you, `tocsin keys trust` forgets it and "
    "`tocsin train` begins a new one"
)
_ANOTHER = "make sure that it is the one you want, for instance by its id on another machine; then `tocsin keys trust`"


@dataclass(frozen=True, slots=True)
class Machine:
    """What Tocsin keeps for itself on this machine, outside of every registry."""

    folder: Path
    """Last seen steps lie in `trust/` there, last good models in `models/`."""
    keys: Path | None = None
    """Folder of the private keys, by default `keys/` there."""
    place: str = ""
    """Where the registry is, as the config names it."""


class Trust:
    """The roots of a registry as this machine accepts them.

    Parameters
    ----------
    store, machine
        The registry, and where its roots are remembered.
    rules
        Whom the registry must be for, and for how long a step counts as fresh.
    clock
        The time of day.
    """

    def __init__(self, store: Store, machine: Machine, rules: RegistryConfig, clock: Callable[[], datetime]) -> None:
        self._store = store
        self.keyring = Keyring(machine.keys or machine.folder / "keys")
        self.memory = Memory(machine.folder / "trust", machine.place)
        self.roots = Roots(store, self.keyring)
        self.audience = rules.audience
        self.expires = timedelta(seconds=rules.expires)
        self.clock = clock

    def open(self) -> None:
        """Follow the roots to the last and remember it.

        Raises
        ------
        IntegrityError
            If it is not the registry that was seen here, or an older state of it.
        RegistryError
            If it is of another format or for others.
        """
        pin = self.memory.recall()  # before the look at the store, which can only be further by then
        if self._begun(pin):
            self._accept(pin)

    def begin(self) -> None:
        """Begin a registry where there is none; whatever keys it needs and this machine lacks are made.

        Raises
        ------
        IntegrityError
            If there are models and no root, or there was a registry when this machine last looked.
        RegistryError
            If this machine has other keys and no root key.
        """
        if self._begun(self.memory.recall()):
            return
        if self._store.list("models"):
            raise IntegrityError("root/000001.json", "nothing stored", "the root of the models that are there")
        here = [role for role in ROLES if self.keyring.public(role)]
        if here and "root" not in here:
            hint = "begin the registry where root.key is, then move each key to where it belongs: see docs/keys.md"
            raise RegistryError(str(self.keyring.folder), f"keys for {', '.join(here)} alone", "root.key", hint)
        try:
            self.roots.begin(self.audience, self.clock())
        except ConflictError:
            self.roots.follow()
            return
        with suppress(ConflictError):
            self._store.put(MARKER, seal({"format": FORMAT}, MARKER))
        self.memory.pin(self.roots.last.registry, 1, self.roots.digests[-1])
        observe.registry_begun(self.roots.last.registry)

    def expect(self, *roles: Role) -> None:
        """Find out, before there is anything to sign, whether this machine may sign by each of some roles.

        Where no registry has begun yet, whatever it lacks will be made.

        Raises
        ------
        RegistryError
            If a key is not here, or others may read it.
        IntegrityError
            If a file holds no key, or as `open` does.
        """
        pin = self.memory.recall()
        if self._begun(pin):
            self._accept(pin)
            for role in roles:
                self.signatory("", role).sign(None, b"")

    def signatory(self, folder: str, *roles: Role, ever: bool = False) -> ByRole:
        """Signs and checks the documents of a shelf."""
        return ByRole(self.roots, self.keyring, folder, roles, ever=ever)

    def rotate(self, role: Role, filled: Mapping[str, Filled]) -> str:
        """Give a role to a new key of this machine; returns its public half. Raises as `Roots.rotate` does."""
        public = self.roots.rotate(role, filled, self.clock())
        self.memory.pin(self.roots.last.registry, self.roots.last.number, self.roots.digests[-1])
        observe.key_rotated(role)
        return public

    def agree(self, threshold: int, filled: Mapping[str, Filled]) -> None:
        """Change who holds the root, and how many of them must sign. Raises as `Roots.agree` does."""
        self.roots.agree(threshold, filled, self.clock())
        self.memory.pin(self.roots.last.registry, self.roots.last.number, self.roots.digests[-1])

    def accept(self) -> None:
        """Take the registry as it is now, whatever was seen before."""
        self.memory.forget()
        self.open()

    def _begun(self, pin: Pin | None) -> bool:
        """Follow the roots; whether there are any. What was there once and is gone is no place for a new registry."""
        marked = self._check_format()
        self.roots.follow()
        if not self.roots.chain and (marked or pin is not None):
            observe.registry_refused("emptied")
            raise IntegrityError("root/000001.json", "nothing stored", "the root of the registry", _EMPTIED)
        return bool(self.roots.chain)

    def _accept(self, pin: Pin | None) -> None:
        last = self.roots.last
        if pin is not None:
            self._hold_against(pin)
        if last.audience != self.audience:
            observe.registry_refused("audience")
            hint = "the audience of a registry is for life: set registry.audience, or use another registry"
            raise IntegrityError("$.registry.audience", f'a registry for "{last.audience}"', f'"{self.audience}"', hint)
        if pin is None or pin.root != last.number:
            self.memory.pin(last.registry, last.number, self.roots.digests[-1])

    def _hold_against(self, pin: Pin) -> None:
        last, digests = self.roots.last, self.roots.digests
        if last.registry != pin.registry:
            observe.registry_refused("another")
            raise IntegrityError("registry", f"the registry {last.registry[:8]}", pin.registry[:8], _ANOTHER)
        if last.number < pin.root:
            observe.registry_refused("rolled_back")
            raise IntegrityError("root", f"root {last.number} as the last", f"root {pin.root}, which was seen here")
        if digests[pin.root - 1] != pin.digest:
            observe.registry_refused("equivocation")
            raise IntegrityError(f"root {pin.root}", "another one than was seen here", pin.digest[:12], _ANOTHER)

    def _check_format(self) -> bool:
        """Whether a registry was begun here; raises RegistryError unless it is of this format."""
        try:
            marker = unseal(self._store.get(MARKER, MAX_DOCUMENT_BYTES), MARKER, ("format",), FORMAT)
        except NotStored:
            return False
        if marker["format"] < FORMAT:
            raise RegistryError(MARKER, f"format {marker['format']}", f"format {FORMAT}", _UNSIGNED)
        return True

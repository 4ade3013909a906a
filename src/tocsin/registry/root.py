"""The root of a registry: who may sign what, from which document on.

``root/000001.json``, ``root/000002.json``, ... each signed by enough root keys of the one before and of itself, so
that who trusts one can follow to the last. An old document stays as true as it was: each root notes how far every
shelf was filled when it was issued, and up to there the keys of the root before it hold. No clock is asked.

Source: The Update Framework specification 1.0, section 5.3 (following root keys).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tocsin.errors import IntegrityError, LimitExceeded, NotStored, RegistryError
from tocsin.model.documents import Sealed, Shelf, timestamp
from tocsin.registry.keys import ROLES, Keyring, Role, key_id, signers
from tocsin.storage import Store

MAX_ROOTS = 1_000


@dataclass(frozen=True, slots=True)
class Filled:
    """How far a shelf was filled."""

    number: int
    digest: str
    """SHA-256 of the document of that number."""


@dataclass(frozen=True, slots=True)
class Root:
    """Which keys hold which role."""

    number: int
    registry: str
    """What tells this registry from all others, 32 random hex digits."""
    audience: str
    """Whom its versions are for."""
    roles: Mapping[Role, tuple[str, ...]]
    """Public keys in hex."""
    threshold: int
    """So many root keys must sign the next root."""
    issued: str
    """ISO 8601, UTC."""
    previous: str
    """SHA-256 of the root before; empty for the first."""
    filled: Mapping[str, Filled]
    """By folder: up to where the keys of the root before hold."""


class Roots:
    """The roots of one registry, first to last, each verified.

    Parameters
    ----------
    store
        Where they are kept.
    keyring
        Signs a new one.
    """

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._keyring = keyring
        self._shelf = Shelf(store, "root", Root, _Succession(keyring, self))
        self.chain: list[Root] = []
        self.digests: list[str] = []

    @property
    def last(self) -> Root:
        """The one that holds; raises RegistryError where no registry has begun."""
        if not self.chain:
            raise RegistryError("registry", "nothing there yet", "a registry", "train a model: the first one begins it")
        return self.chain[-1]

    def follow(self) -> None:
        """Read on from the last known root; raises IntegrityError if the next one may not follow it."""
        while len(self.chain) < MAX_ROOTS:
            try:
                signed = self._shelf.signed(len(self.chain) + 1)
            except NotStored:
                return
            self.chain.append(signed.document)
            self.digests.append(signed.digest)

    def begin(self, audience: str, now: datetime) -> None:
        """Issue the first root, by the keys here; raises ConflictError if somebody else did."""
        roles = {role: (self._keyring.make(role),) for role in ROLES}
        self._issue(Root(1, secrets.token_hex(16), audience, roles, 1, timestamp(now), "", {}))

    def rotate(self, role: Role, filled: Mapping[str, Filled], now: datetime) -> str:
        """Give a role to a new key of this machine in place of all others; returns its public half.

        The key is on the disk before the root that names it: a rotation that was killed is ended by the next one.

        Raises
        ------
        RegistryError
            If no root key is here.
        ConflictError
            If somebody else issued a root.
        LimitExceeded
            If there have been too many.
        """
        if len(self.chain) >= MAX_ROOTS:
            raise LimitExceeded("root", f"{len(self.chain)} roots", f"at most {MAX_ROOTS}", "begin another registry")
        public, last = self._keyring.successor(role), self.last
        if public not in last.roles[role]:
            issued, previous = timestamp(now), self.digests[-1]
            roles = {**last.roles, role: (public,)}
            self._issue(replace(
                last, number=last.number + 1, roles=roles, issued=issued, previous=previous, filled=filled
            ))  # fmt: skip
        self._keyring.succeed(role)
        return public

    def holders(self, role: Role, folder: str, number: int | None = None) -> frozenset[str]:
        """Public keys that may sign a document of a shelf: those of the last root issued before it was written.

        Without a number, those that hold the role or have ever held it.
        """
        if number is None:
            return frozenset(public for root in self.chain for public in root.roles[role])
        before = (root.roles[role] for root in reversed(self.chain) if _filled(root, folder) < number)
        return frozenset(next(before, ()))

    def witness(self, folder: str, number: int) -> str | None:
        """What the digest of a document must be, where a root has noted it."""
        noted = (root.filled[folder] for root in self.chain if folder in root.filled)
        return next((item.digest for item in noted if item.number == number), None)

    def role_of(self, key: str) -> Role | None:
        """The role that a key holds or has held, by its id."""
        return next((role for role in ROLES if key in map(key_id, self.holders(role, ""))), None)

    def _issue(self, root: Root) -> None:
        self.digests.append(self._shelf.create(root.number, root))
        self.chain.append(root)


class _Succession:
    """Signs roots, and lets one follow another only by enough keys of both."""

    def __init__(self, keyring: Keyring, roots: Roots) -> None:
        self._keyring = keyring
        self._roots = roots

    def sign(self, root: Root, body: bytes) -> Mapping[str, str]:
        wanted = self._voters(root)
        signatures = self._keyring.sign("root", {public for voter in wanted for public in voter.roles["root"]}, body)
        if not all(_enough(voter, body, signatures) for voter in wanted):
            hint = "do it where root.key is, or bring it into registry.keys for as long as this takes"
            raise RegistryError(str(self._keyring.folder), "no root key of this registry", "root.key", hint)
        return signatures

    def check(self, root: Root, sealed: Sealed) -> str:
        before = self._roots.chain[-1] if self._roots.chain else root
        follows = (root.number, root.registry, root.audience) == (sealed.number, before.registry, before.audience)
        complete = root.roles.keys() == set(ROLES) and root.threshold >= 1
        if not follows or not complete or root.previous != "".join(self._roots.digests[-1:]):
            raise IntegrityError(sealed.name, "a root that follows no other", "the one after the last trusted one")
        if not all(_enough(voter, sealed.body, sealed.signatures) for voter in self._voters(root)):
            wanted = "enough of its own and of the root before it"
            raise IntegrityError(sealed.name, "too few signatures by root keys", wanted)
        return next(signers(root.roles["root"], sealed.body, sealed.signatures))

    def _voters(self, root: Root) -> Sequence[Root]:
        """The roots whose keys must sign one: itself and the one before."""
        return (root, *self._roots.chain[-1:])


def _enough(voter: Root, body: bytes, signatures: Mapping[str, str]) -> bool:
    return len(set(signers(voter.roles["root"], body, signatures))) >= voter.threshold


def _filled(root: Root, folder: str) -> int:
    return root.filled[folder].number if folder in root.filled else 0

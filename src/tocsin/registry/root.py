"""The root of a registry: who may sign what, from which document on.

``root/000001.json``, ``root/000002.json``, ... each signed by enough root keys of the one before and of itself, so
that who trusts one can follow to the last. An old document stays as true as it was: each root notes how far every
shelf was filled when it was issued, and up to there the keys of the root before it hold. No clock is asked.

Source: The Update Framework specification 1.0, section 5.3 (following root keys).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin.errors import IntegrityError, LimitExceeded, NotStored, RegistryError
from tocsin.model.documents import Sealed, Shelf, timestamp
from tocsin.registry.keys import ROLES, Keyring, Role, key_id, signers
from tocsin.storage import Store

MAX_ROOTS = 1_000
_BRING = "do it where root.key is, and bring the root keys of others: `--with FOLDER`, once for each"


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
        keys, own = self.last.roles[role], self._keyring.public(role)
        if len(keys) > 1 and own not in keys and self._keyring.successor(role) not in keys:
            raise RegistryError(str(self._keyring.path(role)), "no key of this role", "one that is to be replaced")
        public = self._keyring.successor(role)
        if public not in keys:
            renewed = (public,) if len(keys) == 1 else tuple(public if key == own else key for key in keys)
            self._follow({**self.last.roles, role: renewed}, self.last.threshold, filled, now)
        self._keyring.succeed(role)
        return public

    def agree(self, threshold: int, filled: Mapping[str, Filled], now: datetime) -> None:
        """Let all root keys that are at hand hold that role, and no others; so many of them sign each root from now on.

        Raises
        ------
        RegistryError
            If fewer keys are at hand, or not enough of those that hold the role now.
        ConflictError
            If somebody else issued a root.
        LimitExceeded
            If there have been too many.
        """
        keys = self._keyring.roots()
        if not 1 <= threshold <= len(keys):
            wanted = f"{max(threshold, 1)} or more" if threshold > 0 else "a threshold of 1 or more"
            raise RegistryError("root keys", f"{len(keys)} at hand for a threshold of {threshold}", wanted, _BRING)
        if (set(keys), threshold) != (set(self.last.roles["root"]), self.last.threshold):
            self._follow({**self.last.roles, "root": keys}, threshold, filled, now)

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

    def _follow(
        self, roles: Mapping[Role, tuple[str, ...]], threshold: int, filled: Mapping[str, Filled], now: datetime
    ) -> None:
        if len(self.chain) >= MAX_ROOTS:
            raise LimitExceeded("root", f"{len(self.chain)} roots", f"at most {MAX_ROOTS}", "begin another registry")
        last, issued = self.last, timestamp(now)
        self._issue(Root(
            last.number + 1, last.registry, last.audience, roles, threshold, issued, self.digests[-1], filled
        ))  # fmt: skip

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
        for voter in wanted:
            if (signed := _signed(voter, body, signatures)) < voter.threshold:
                got = f"{signed or 'no'} root key{'s' if signed > 1 else ''} of this registry"
                raise RegistryError(str(self._keyring.folder), got, f"{voter.threshold} of them", _BRING)
        return signatures

    def check(self, root: Root, sealed: Sealed) -> str:
        before = self._roots.chain[-1] if self._roots.chain else root
        follows = (root.number, root.registry, root.audience) == (sealed.number, before.registry, before.audience)
        complete = root.roles.keys() == set(ROLES) and root.threshold >= 1
        if not follows or not complete or root.previous != "".join(self._roots.digests[-1:]):
            raise IntegrityError(sealed.name, "a root that follows no other", "the one after the last trusted one")
        if any(_signed(voter, sealed.body, sealed.signatures) < voter.threshold for voter in self._voters(root)):
            wanted = "enough of its own and of the root before it"
            raise IntegrityError(sealed.name, "too few signatures by root keys", wanted)
        return next(signers(root.roles["root"], sealed.body, sealed.signatures))

    def _voters(self, root: Root) -> Sequence[Root]:
        """The roots whose keys must sign one: itself and the one before."""
        return (root, *self._roots.chain[-1:])


def _signed(voter: Root, body: bytes, signatures: Mapping[str, str]) -> int:
    """How many of its root keys have signed."""
    return len(set(signers(voter.roles["root"], body, signatures)))


def _filled(root: Root, folder: str) -> int:
    return root.filled[folder].number if folder in root.filled else 0

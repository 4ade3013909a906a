"""Which role signs what, under the roots of a registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tocsin.errors import IntegrityError, RegistryError
from tocsin.model.documents import Sealed
from tocsin.registry.keys import Keyring, Role, signers
from tocsin.registry.root import Roots


class ByRole:
    """Signs the documents of one shelf by the first role that this machine can, and reads what any of them signed.

    What is signed begins with the registry's id, so that a document of another registry of the same keys is none.

    Parameters
    ----------
    roots, keyring
        Whose signatures count, and the keys here.
    folder
        The shelf.
    roles
        Who may sign, the weightiest first.
    ever
        Also count keys that a rotation has replaced since: for documents that are no succession.
    """

    def __init__(self, roots: Roots, keyring: Keyring, folder: str, roles: Iterable[Role], *, ever: bool = False):
        self._roots = roots
        self._keyring = keyring
        self._folder = folder
        self._roles = tuple(roles)
        self._ever = ever

    def sign(self, document: Any, body: bytes) -> Mapping[str, str]:
        """Signature by a key that holds a role now; raises RegistryError if none is here."""
        del document
        for role in self._roles:
            signatures = self._keyring.sign(role, self._roots.last.roles[role], self._whole(body))
            if signatures:
                return signatures
        wanted = " or ".join(f"{role}.key" for role in self._roles)
        hint = f"do it where {wanted} is; `tocsin keys show` says what this machine holds"
        raise RegistryError(str(self._keyring.folder), "no key that may sign this", wanted, hint)

    def check(self, document: Any, sealed: Sealed) -> str:
        """The id of the key that signed; raises IntegrityError unless it held the role."""
        del document
        if (self._roots.witness(self._folder, sealed.number) or sealed.digest) != sealed.digest:
            raise IntegrityError(sealed.name, "another document than a root has noted", "the one that was there then")
        for role in self._roles:
            holders = self._roots.holders(role, self._folder, None if self._ever else sealed.number)
            for key in signers(holders, self._whole(sealed.body), sealed.signatures):
                return key
        by = ", ".join(_named(self._roots, key) for key in sorted(sealed.signatures)[:4]) or "nobody"
        wanted = f"a signature by a key for {' or '.join(self._roles)}"
        hint = "it was not written by those who may: find out who can write to the registry"
        raise IntegrityError(sealed.name, f"a document signed by {by}", wanted, hint)

    def _whole(self, body: bytes) -> bytes:
        return f"tocsin registry {self._roots.last.registry}\n".encode() + body


def _named(roots: Roots, key: str) -> str:
    role = roots.role_of(key)
    return f"{key[:16]} ({role})" if role else f"{key[:16]} (unknown)"

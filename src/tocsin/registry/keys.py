"""Ed25519 keys (RFC 8032): the private ones of this machine, one file a role, and what a signature is worth.

``<folder>/root.key``      says which keys hold which role
``<folder>/train.key``     signs versions, and the steps of the candidate
``<folder>/channel.key``   signs the steps of every other channel, and the judgements of a gate
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tocsin.errors import IntegrityError, RegistryError
from tocsin.registry import private_files

Role = Literal["root", "train", "channel"]
ROLES: tuple[Role, ...] = get_args(Role)

_MAX_KEY_BYTES = 4_096
_READABLE_BY_OTHERS = 0o077


def key_id(public: str) -> str:
    """The name of a public key: the first 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def signers(publics: Iterable[str], data: bytes, signatures: Mapping[str, str]) -> Iterator[str]:
    """Ids of those among some public keys whose signature of the bytes is there and true."""
    for public in publics:
        signature = signatures.get(key_id(public), "")
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), data)
        except (InvalidSignature, ValueError):
            continue
        yield key_id(public)


class Keyring:
    """The private keys of this machine.

    Parameters
    ----------
    folder
        Where they lie, in PEM (PKCS 8), for their owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._brought: tuple[Path, ...] = ()

    def bring(self, folders: Iterable[Path]) -> None:
        """Let the root keys of other folders sign as well, such as those of sticks that their holders brought.

        Raises
        ------
        RegistryError
            If one of them holds no root key, or others may read it.
        """
        self._brought = tuple(folder / self.path("root").name for folder in folders)
        for path in self._brought:
            self._expect(path)

    def roots(self) -> tuple[str, ...]:
        """The public halves of all root keys that are at hand, the one of this machine first."""
        return tuple(dict.fromkeys(map(_public, filter(None, map(_read, (self.path("root"), *self._brought))))))

    def path(self, role: Role) -> Path:
        """The file of a key."""
        return self.folder / f"{role}.key"

    def public(self, role: Role) -> str | None:
        """The public half of a key in hex, None if it is not here.

        Raises
        ------
        IntegrityError
            If the file holds no Ed25519 key.
        RegistryError
            If it cannot be read, or others may read it.
        """
        key = _read(self.path(role))
        return _public(key) if key else None

    def make(self, role: Role) -> str:
        """The public half of a key that is made unless it is here; raises as `public` does."""
        private_files.create(self.path(role), _pem(Ed25519PrivateKey.generate()))
        return self._expect(self.path(role))

    def successor(self, role: Role) -> str:
        """The public half of the key that will take the place of a role's; made unless it is here."""
        private_files.create(self._next(role), _pem(Ed25519PrivateKey.generate()))
        return self._expect(self._next(role))

    def succeed(self, role: Role) -> None:
        """Let the successor take its place; the key before it is gone from this machine."""
        private_files.move(self._next(role), self.path(role))

    def sign(self, role: Role, publics: Iterable[str], data: bytes) -> dict[str, str]:
        """Signatures of the bytes by those keys of a role here that are among the public ones."""
        accepted = set(publics)
        brought = self._brought if role == "root" else ()
        here = filter(None, map(_read, (self.path(role), self._next(role), *brought)))
        return {key_id(_public(key)): key.sign(data).hex() for key in here if _public(key) in accepted}

    def _expect(self, path: Path) -> str:
        key = _read(path)
        if key is None:
            hint = f"`tocsin keys new --role {path.name.partition('.')[0]} --to {path.parent}` makes one"
            raise RegistryError(str(path), "no key", "an Ed25519 key in PEM", hint)
        return _public(key)

    def _next(self, role: Role) -> Path:
        return self.folder / f"{role}.next.key"


def _read(path: Path) -> Ed25519PrivateKey | None:
    text = private_files.read(path, _MAX_KEY_BYTES)
    if text is None:
        return None
    mode = path.stat().st_mode
    if mode & _READABLE_BY_OTHERS:
        got = f"a key that others may read (mode {mode & 0o777:04o})"
        raise RegistryError(str(path), got, "mode 0600", f"chmod 600 {path}; if others have read it, rotate it")
    try:
        key = load_pem_private_key(text, None)
    except (ValueError, TypeError) as error:
        raise IntegrityError(str(path), "no private key", "an Ed25519 key in PEM, without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError(str(path), "a key of another kind", "an Ed25519 key")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

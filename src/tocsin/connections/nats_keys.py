"""NKeys: who we are to a NATS server, proven by a signature and without telling a secret.

A file holds a seed, or a signed claim about a user (JWT) and the user's seed, as `nsc` writes them (`.creds`).

Source: NATS, "NKeys" and "Decentralized JWT Authentication"; RFC 4648 (base32), RFC 8032 (Ed25519).
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode, b64encode
from binascii import crc_hqx
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin.errors import ConfigError, Problem

MAX_FILE = 1 << 16
"""Characters."""
_SEED = re.compile(r"^(SU[A-Z2-7]{56})$", re.M)
_CLAIM = re.compile(r"^(eyJ[\w-]+\.[\w-]+\.[\w-]+)$", re.M)
_USER = 20 << 3
"""The kind of a public key, in its first byte: `U` in base32."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user's key, and what somebody else has signed about it."""

    key: Ed25519PrivateKey
    claim: str | None

    @classmethod
    def read(cls, path: str) -> Self:
        """What a file holds; it may begin with `~`.

        Raises
        ------
        ConfigError
            If it cannot be read, or holds no seed of a user. What it holds is in no message.
        """
        try:
            with Path(path).expanduser().open(encoding="utf-8") as file:
                text = file.read(MAX_FILE)
        except (OSError, ValueError, RuntimeError) as error:
            raise _refused(path, getattr(error, "strerror", None) or "no text") from None
        seed = _SEED.search(text)
        raw = b32decode(seed[1] + "=" * (-len(seed[1]) % 8)) if seed else b""
        if not raw or crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            raise _refused(path, "no seed of a user")
        claim = _CLAIM.search(text)
        return cls(Ed25519PrivateKey.from_private_bytes(raw[2:34]), claim[1] if claim else None)

    @property
    def public(self) -> str:
        """As a server's config names it, `U...`."""
        raw = bytes([_USER]) + self.key.public_key().public_bytes_raw()
        return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, nonce: str) -> bytes:
        """The answer to what a server asks everyone anew."""
        return b64encode(self.key.sign(nonce.encode()))


def _refused(path: str, got: str) -> ConfigError:
    wanted = "a file with the seed of a user, or the .creds of nsc"
    return ConfigError([Problem("$.credentials_file", f"{path}: {got}", wanted)])

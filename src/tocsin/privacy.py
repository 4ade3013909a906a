"""Who a row is about, hidden before anything is computed or stored.

Fields marked `identity` are replaced right behind the schema, so features, state, models, reports and logs only
ever see pseudonyms: HMAC-SHA-256 under a key of this site, cut to 128 bits. A table on this machine, readable by
its owner alone, leads back to the names for what stays here.

Sources: RFC 2104 (HMAC); Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address Anonymization, ICNP 2002 (`subnet`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

import numpy as np
import orjson

from tocsin import observe
from tocsin.errors import IntegrityError
from tocsin.records import Batch, Column
from tocsin.schema import Schema

Mode = Literal["pseudonym", "subnet", "plain"]

PSEUDONYM_BYTES = 16
KEY_BYTES = 32
NAMES_LIMIT = 1_000_000
"""Names kept in the table of one site; beyond it pseudonyms are still made, but lead back to nothing."""


class Privacy:
    """Replaces identities by pseudonyms, and leads back where that is allowed.

    Parameters
    ----------
    mode
        `pseudonym`; `subnet` keeps common prefixes of IP addresses common; `plain` changes nothing.
    key_file
        The site key, made on first use with mode 0600. The table of names lies beside it, as `names.jsonl`.
    """

    def __init__(self, mode: Mode, key_file: Path) -> None:
        self.mode = mode
        self._key = b"" if mode == "plain" else _site_key(key_file)
        self._table = key_file.with_name("names.jsonl")
        self._names = {} if mode == "plain" else dict(_read_names(self._table))
        self._pseudonym = lru_cache(maxsize=200_000)(self._make)

    def apply(self, schema: Schema, batch: Batch) -> Batch:
        """The batch with every identity field replaced; a missing value stays missing."""
        if self.mode == "plain" or not schema.identities:
            return batch
        before = len(self._names)
        replaced = batch.replace({name: self._column(batch[name]) for name in schema.identities})
        self._keep(list(self._names.items())[before:])
        return replaced

    def name(self, pseudonym: str) -> str:
        """The name behind a pseudonym, or the pseudonym itself where none is known."""
        return self._names.get(pseudonym, pseudonym)

    def pseudonym(self, name: str) -> str:
        """What stands for a name in the data."""
        return self._pseudonym(name) if name and self.mode != "plain" else name

    def forget(self, name: str) -> int:
        """Erase a name, or what a pseudonym stands for, from the table; how many entries went."""
        gone = [pseudonym for pseudonym, known in self._names.items() if name in (pseudonym, known)]
        for pseudonym in gone:
            del self._names[pseudonym]
        if gone:
            staging = self._table.with_suffix(".new")
            _append_names(staging, self._names.items())
            staging.replace(self._table)
        return len(gone)

    def _column(self, column: Column) -> Column:
        names, positions = np.unique(column.astype(str), return_inverse=True)
        pseudonyms = np.array([self._remember(name) if name else "" for name in names.tolist()], dtype=object)
        return np.asarray(pseudonyms[positions], dtype=object)

    def _remember(self, name: str) -> str:
        pseudonym = self._pseudonym(name)
        if pseudonym not in self._names:
            if len(self._names) < NAMES_LIMIT:
                self._names[pseudonym] = name
            else:
                observe.count("tocsin_names_not_kept_total")
        return pseudonym

    def _make(self, name: str) -> str:
        if self.mode == "subnet":
            try:
                return str(_prefix_preserving(ip_address(name), self._key))
            except ValueError:
                pass  # not an address: only a plain pseudonym hides it
        return hmac.digest(self._key, name.encode(), hashlib.sha256)[:PSEUDONYM_BYTES].hex()

    def _keep(self, fresh: list[tuple[str, str]]) -> None:
        if fresh:
            _append_names(self._table, fresh)


def _prefix_preserving(address: IPv4Address | IPv6Address, key: bytes) -> IPv4Address | IPv6Address:
    """Each bit is flipped or not by a keyed function of the bits before it, so equal prefixes stay equal."""
    width = address.max_prefixlen
    value, hidden = int(address), 0
    for bit in range(width):
        prefix = value >> (width - bit)
        flip = hmac.digest(key, f"{width}:{bit}:{prefix:x}".encode(), hashlib.sha256)[0] & 1
        hidden = hidden << 1 | ((value >> (width - 1 - bit)) & 1) ^ flip
    return type(address)(hidden)


def _site_key(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        hint = (
            "restore the site key from a backup; a new key makes every entity a stranger to the models of the old one"
        )
        raise IntegrityError(str(path), f"{len(key)} bytes", f"a site key of {KEY_BYTES}", hint)
    return key


def _read_names(path: Path) -> Iterable[tuple[str, str]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # cut short when the writer was killed: the name comes again with its next row
            yield entry["pseudonym"], entry["name"]


def _append_names(path: Path, names: Iterable[tuple[str, str]]) -> None:
    lines = (orjson.dumps({"pseudonym": pseudonym, "name": name}) + b"\n" for pseudonym, name in names)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
        file.write(b"\n")  # ends a line that a kill cut short
        file.writelines(lines)

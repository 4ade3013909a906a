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
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin import observe
from tocsin.errors import IntegrityError
from tocsin.records import Batch, Column
from tocsin.schema import Schema

Mode = Literal["pseudonym", "subnet", "plain"]

_APPEND = os.O_CREAT | os.O_APPEND | os.O_WRONLY
PSEUDONYM_BYTES = 16
KEY_BYTES = 32
NAMES_LIMIT = 1_000_000
"""Names kept in the table of one site; beyond it pseudonyms are still made, but lead back to nothing."""
_AT_HAND = 65_536
"""Names whose pseudonyms need not be made again, and pseudonyms that need not be looked for in the table."""
_LOOSE = 32_768
"""Lines of the table that are not sorted in yet."""
_LAST = np.iinfo(np.int64).max


class Privacy:
    """Replaces identities by pseudonyms, and leads back where that is allowed.

    Parameters
    ----------
    mode
        `pseudonym`; `subnet` keeps common prefixes of IP addresses common; `plain` changes nothing.
    key_file
        The site key, made on first use with mode 0600. The table of names lies beside it, as `names.jsonl`.

    Raises
    ------
    IntegrityError
        If the key is lost or damaged, or it or the table cannot be read.
    """

    def __init__(self, mode: Mode, key_file: Path) -> None:
        self.mode = mode
        self._table = key_file.with_name("names.jsonl")
        self._key = b"" if mode == "plain" else _site_key(key_file, self._table)
        self._names = _Names(None if mode == "plain" else self._table)
        self._pseudonym = lru_cache(maxsize=_AT_HAND)(self._make)

    def apply(self, schema: Schema, batch: Batch) -> Batch:
        """The batch with every identity field replaced; a missing value stays missing."""
        if self.mode == "plain" or not schema.identities:
            return batch
        return batch.replace({name: self._column(batch[name]) for name in schema.identities})

    def name(self, pseudonym: str) -> str:
        """The name behind a pseudonym, or the pseudonym itself where none is known."""
        return self._names.find(pseudonym) or pseudonym

    def pseudonym(self, name: str) -> str:
        """What stands for a name in the data."""
        return self._pseudonym(name) if name and self.mode != "plain" else name

    def forget(self, name: str) -> int:
        """Erase a name, or what a pseudonym stands for, from the table; how many entries went."""
        names = {pseudonym: known for _, pseudonym, known in _entries(self._table)}  # others may have written since
        kept = {pseudonym: known for pseudonym, known in names.items() if name not in (pseudonym, known)}
        with _access_to(self._table):
            _clear_unfinished(self._table)
            if len(kept) < len(names):
                _written(self._table, _lines(kept.items())).replace(self._table)
        self._names = _Names(self._table)
        return len(names) - len(kept)

    def _column(self, column: Column) -> Column:
        names, positions = np.unique(column.astype(str), return_inverse=True)
        known = names.tolist()
        pseudonyms = [self._pseudonym(name) if name else "" for name in known]
        self._names.keep(zip(pseudonyms, known, strict=True))
        return np.asarray(np.array(pseudonyms, dtype=object)[positions], dtype=object)

    def _make(self, name: str) -> str:
        if self.mode == "subnet":
            try:
                return str(_prefix_preserving(ip_address(name), self._key))
            except ValueError:
                pass  # not an address: only a plain pseudonym hides it
        return hmac.digest(self._key, name.encode(), hashlib.sha256)[:PSEUDONYM_BYTES].hex()


class _Names:
    """The table: names are on the disk, and here where the line of each begins, so that a million take 16 MB.

    Parameters
    ----------
    path
        Lines of JSON. Others may add to it meanwhile, or write it anew without a name. None: there is no table.

    Raises
    ------
    IntegrityError
        If it cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._met = {""}
        """Pseudonyms that were dealt with lately."""
        self._read()

    def __len__(self) -> int:
        return len(self._hashes) - 1 + len(self._loose)

    def keep(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Write down those pseudonyms and names that the table lacks; without room they are counted."""
        if self._path is None:
            return
        with self._lock:
            new = [pair for pair in pairs if pair[0] not in self._met]
            if not new:
                return
            starts = self._starts([pseudonym for pseudonym, _ in new])
            lacking = [pair for pair, start in zip(new, starts, strict=True) if start < 0]
            room = max(0, NAMES_LIMIT - len(self))
            if lacking[:room]:
                self._append(self._path, lacking[:room])
            for _ in lacking[room:]:
                observe.name_not_kept()
            if len(self._met) > _AT_HAND:
                self._met = {""}
            self._met.update(pseudonym for pseudonym, _ in new)

    def find(self, pseudonym: str) -> str | None:
        """The name; None if the table lacks it or cannot be read now."""
        with self._lock, suppress(IntegrityError):
            for _ in range(2):
                (start,) = self._starts([pseudonym])
                if start < 0 or self._path is None:
                    return None
                _, found, name = next(_entries(self._path, start), (start, "", ""))
                if found == pseudonym:
                    return name
                self._read()  # somebody wrote the table anew
        return None

    def _read(self) -> None:
        entries = () if self._path is None else _entries(self._path)
        lines = np.fromiter(((hash(pseudonym), start) for start, pseudonym, _ in entries), dtype=np.dtype("i8, i8"))
        hashes, places = np.unique(lines["f0"], return_index=True)
        self._hashes: NDArray[np.int64] = np.append(hashes, _LAST)
        self._begins: NDArray[np.int64] = np.append(lines["f1"][places], -1)
        self._loose: dict[int, int] = {}

    def _starts(self, pseudonyms: Sequence[str]) -> list[int]:
        """Where the line of each begins, -1 without one."""
        hashes = np.fromiter(map(hash, pseudonyms), np.int64, len(pseudonyms))
        places = np.searchsorted(self._hashes, hashes)
        starts = np.where(self._hashes[places] == hashes, self._begins[places], -1)
        return [self._loose.get(*line) for line in zip(hashes.tolist(), starts.tolist(), strict=True)]

    def _append(self, path: Path, pairs: Sequence[tuple[str, str]]) -> None:
        lines = list(_lines(pairs))
        with _access_to(path), os.fdopen(os.open(path, _APPEND, 0o600), "ab") as file:
            file.write(b"\n" + b"".join(lines))  # at once; what a kill cut short ends before it
            file.flush()
            start = file.tell() - sum(map(len, lines))
        for (pseudonym, _), line in zip(pairs, lines, strict=True):
            self._loose[hash(pseudonym)] = start
            start += len(line)
        if len(self._loose) > _LOOSE:
            self._sort_in()

    def _sort_in(self) -> None:
        hashes, begins = (np.fromiter(part, np.int64) for part in (self._loose, self._loose.values()))
        order = hashes.argsort()
        places = np.searchsorted(self._hashes, hashes[order])
        self._hashes = np.insert(self._hashes, places, hashes[order])
        self._begins = np.insert(self._begins, places, begins[order])
        self._loose = {}


def _prefix_preserving(address: IPv4Address | IPv6Address, key: bytes) -> IPv4Address | IPv6Address:
    """Each bit is flipped or not by a keyed function of the bits before it, so equal prefixes stay equal."""
    width = address.max_prefixlen
    value, hidden = int(address), 0
    for bit in range(width):
        prefix = value >> (width - bit)
        flip = hmac.digest(key, f"{width}:{bit}:{prefix:x}".encode(), hashlib.sha256)[0] & 1
        hidden = hidden << 1 | ((value >> (width - 1 - bit)) & 1) ^ flip
    return type(address)(hidden)


def _site_key(path: Path, table: Path) -> bytes:
    with _access_to(path):
        named = table.exists()  # looked at before the key: whoever makes both begins with the key
        if not path.exists():
            if named:
                hint = (
                    f"restore the site key from a backup; or remove {table.name} to begin anew: every entity becomes "
                    "a stranger to the models of the old key"
                )
                raise IntegrityError(str(path), "no file beside a table of names", "the key of these names", hint)
            _make_key(path)
        with path.open("rb") as file:
            key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        hint = (
            "restore the site key from a backup; a new key makes every entity a stranger to the models of the old one"
        )
        got = f"{len(key)} bytes" if len(key) < KEY_BYTES else f"more than {KEY_BYTES} bytes"
        raise IntegrityError(str(path), got, f"a site key of {KEY_BYTES}", hint)
    return key


def _make_key(path: Path) -> None:
    """The name holds all of the key or does not exist; of two that make it at once, the first one's key stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _written(path, [secrets.token_bytes(KEY_BYTES)])
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _written(path: Path, lines: Iterable[bytes]) -> Path:
    """A new file beside a path, for its owner alone, flushed to the disk."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary


def _clear_unfinished(path: Path) -> None:
    """Whoever was killed while it replaced a file left a copy of it, names included."""
    for stale in path.parent.glob(f".{path.name}-*"):
        stale.unlink(missing_ok=True)


@contextmanager
def _access_to(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "set privacy.key_file to a file in a folder that Tocsin may write"
        got = f"no access to it ({error.strerror})"
        raise IntegrityError(str(path), got, "a file that its owner may read and write", hint) from error


def _entries(path: Path, start: int = 0) -> Iterator[tuple[int, str, str]]:
    """Where each line of the table begins from a place on, its pseudonym and its name."""
    with _access_to(path), suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(start)
        for line in file:
            begin, start = start, start + len(line)
            try:
                entry = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # cut short when the writer was killed: the name comes again with its next row
            pair = (entry.get("pseudonym"), entry.get("name")) if isinstance(entry, dict) else (None, None)
            if isinstance(pair[0], str) and isinstance(pair[1], str):
                yield begin, pair[0], pair[1]


def _lines(names: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    return (orjson.dumps({"pseudonym": pseudonym, "name": name}) + b"\n" for pseudonym, name in names)

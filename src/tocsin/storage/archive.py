"""Files in one ZIP: written to the same bytes every time, read as if somebody hostile had made it.

Nothing is unpacked onto a disk. Before a byte of a file is read, all that the ZIP says of itself is held against
limits: how many files, how large, under which names, none a link, none twice, none inside another one.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO

from tocsin.errors import IntegrityError, NotStored, RegistryError
from tocsin.storage.base import MAX_SEGMENTS, Store

MAX_FILES = 2_000
MAX_NAME = 200
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{0,{MAX_SEGMENTS - 1}}}")
_LOCAL_HEADER = 30
"""Bytes before the name of a file in the ZIP, by its specification (APPNOTE 6.3, 4.3.7)."""
_END = struct.Struct("<4s8xI4xH")
"""Signature, bytes of the list of files, length of the comment: the last record (APPNOTE 6.3, 4.3.16)."""
_END_SIGNATURE, _LARGE_END = b"PK\x05\x06", b"PK\x06\x07"
_LARGE_LOCATOR = 16
"""Bytes of the record before it in ZIPs of more than 4 GiB, behind its signature (4.3.15)."""
_DIRECTORY_ENTRY = 46 + MAX_NAME + 64
"""Bytes that a file takes in the list, at most, with a little extra."""
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, OverflowError)
"""All that a broken ZIP makes the library raise; NotImplementedError is a RuntimeError."""


def packed(files: Mapping[str, bytes]) -> bytes:
    """Files in one ZIP, by name, without times and without compression: equal files, equal bytes."""
    raw = BytesIO()
    _pack(raw, files)
    return raw.getvalue()


def write_archive(file: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new ZIP, with the bytes of `packed`.

    Raises
    ------
    RegistryError
        If the file exists or cannot be written.
    """
    try:
        with file.open("xb") as raw:
            _pack(raw, files)
    except FileExistsError as error:
        hint = "give another name, or move the file away"
        raise RegistryError(str(file), "a file that exists already", "a new name", hint) from error
    except OSError as error:
        file.unlink(missing_ok=True)
        raise RegistryError(str(file), f"a refused write ({error.strerror})", "a folder with room") from error


class Archive:
    """The files of a ZIP.

    Parameters
    ----------
    data
        The ZIP.
    where
        What messages call it.
    limit_bytes
        The most that all its files may have together once they are unpacked.

    Raises
    ------
    IntegrityError
        If it is no ZIP, or one that could harm.
    """

    def __init__(self, data: bytes, where: str, limit_bytes: int) -> None:
        self._where = where
        self._expect_modest(data)
        try:
            self._archive = zipfile.ZipFile(BytesIO(data))
        except _BROKEN as error:
            raise IntegrityError(self._where, f"no whole ZIP ({error})", "one that was written to its end") from error
        self._entries = self._checked(limit_bytes)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all files, in order."""
        return tuple(sorted(self._entries))

    def read(self, name: str, limit_bytes: int) -> bytes:
        """The bytes of a file.

        Raises
        ------
        NotStored
            If there is none of that name.
        IntegrityError
            If it has more bytes than allowed or than it says, or is damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise NotStored(name, f"no such file in {self._where}")
        if entry.file_size > limit_bytes:
            raise IntegrityError(name, f"{entry.file_size} bytes", f"at most {limit_bytes}")
        try:
            with self._archive.open(entry) as packed:
                data = packed.read(entry.file_size + 1)
        except _BROKEN as error:
            raise IntegrityError(name, f"a damaged file ({error})", "the bytes as they were written") from error
        if len(data) != entry.file_size:
            raise IntegrityError(name, "more or fewer bytes than declared", f"{entry.file_size}")
        return data

    def _expect_modest(self, data: bytes) -> None:
        """Look at the end of the file, which says how long the list of files is, before the library reads that list."""
        tail = data[-(len(_LARGE_END) + _LARGE_LOCATOR + _END.size) :]
        signature, directory, comment = _END.unpack(tail[-_END.size :].rjust(_END.size, b"\0"))
        if signature != _END_SIGNATURE or comment or _LARGE_END in tail or directory > MAX_FILES * _DIRECTORY_ENTRY:
            wanted = f"a whole one of at most {MAX_FILES} files"
            raise IntegrityError(self._where, "no ZIP, or one with a long list of files", wanted)

    def _checked(self, limit_bytes: int) -> dict[str, zipfile.ZipInfo]:
        entries = self._archive.infolist()
        names = [entry.orig_filename for entry in entries]
        odd = next((name for name in names if len(name) > MAX_NAME or not _NAME.fullmatch(name)), None)
        for wrong, got, wanted in (
            (len(entries) > MAX_FILES, f"{len(entries)} files", f"at most {MAX_FILES}"),
            (odd is not None, f"a file named {str(odd)[:MAX_NAME]!r}", f"names like {_SEGMENT}, with / between them"),
            (len(set(names)) < len(names), "a name twice", "every name once"),
            (sum(entry.file_size for entry in entries) > limit_bytes, "too much", f"at most {limit_bytes} bytes"),
            (any(map(_strange, entries)), "links, encrypted or unusual files", "plain files"),
            (_overlap(entries), "files inside each other", "one file after the other"),
            (min((entry.header_offset for entry in entries), default=0) > 0, "bytes before the first file", "none"),
        ):
            if wrong:
                raise IntegrityError(self._where, got, wanted, "nothing of it was read")
        return dict(zip(names, entries, strict=True))


class ArchiveStore(Store):
    """A store that nobody can write to, in a ZIP."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def get(self, name: str, limit_bytes: int) -> bytes:
        """Read one file; see `Store.get`."""
        return self._archive.read(name, limit_bytes)

    def put(self, name: str, data: bytes) -> None:
        """Refuse; see `Store.put`."""
        raise _unwritable(name)

    def times(self, prefix: str) -> Mapping[str, datetime]:
        """Names below a folder; see `Store.times`."""
        there = (name for name in self._archive.names if not prefix or name.startswith(f"{prefix}/"))
        return {name: self.modified(name) for name in there}

    def delete(self, name: str) -> None:
        """Refuse; see `Store.delete`."""
        raise _unwritable(name)

    def modified(self, name: str) -> datetime:
        """A package has no times; see `Store.modified`."""
        return datetime(*_EPOCH, tzinfo=UTC)


def _pack(raw: IO[bytes], files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name])


def whole_file(file: Path, limit_bytes: int) -> bytes:
    """The bytes of a file that somebody else gave us.

    Raises
    ------
    IntegrityError
        If it is too large, or no plain file.
    RegistryError
        If it cannot be read.
    """
    try:
        # O_NONBLOCK: a pipe in place of the file must not hang the reader.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as raw:
            if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                raise IntegrityError(file.name, "something that is no plain file", "one")
            data = raw.read(limit_bytes + 1)
    except OSError as error:
        raise RegistryError(str(file), f"no file to read ({error.strerror})", "one that is there") from error
    if len(data) > limit_bytes:
        raise IntegrityError(file.name, f"more than {limit_bytes} bytes", f"at most {limit_bytes}")
    return data


def _strange(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind not in (0, stat.S_IFREG) or bool(entry.flag_bits & _ENCRYPTED) or entry.compress_type not in _PLAIN


def _overlap(entries: list[zipfile.ZipInfo]) -> bool:
    """Whether the bytes of one file begin before those of another end, as in a bomb that names the same bytes often."""
    spans = sorted(
        (entry.header_offset, entry.header_offset + _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size)
        for entry in entries
    )
    return any(end > begin for (_, end), (begin, _) in pairwise(spans))


def _unwritable(name: str) -> RegistryError:
    return RegistryError(name, "a package", "a registry", "nothing can be written to a package")

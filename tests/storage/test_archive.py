"""ZIPs: equal files make equal bytes, and whatever a hostile one says of itself is found before anything is read."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError, NotStored, RegistryError, TocsinError
from tocsin.storage.archive import MAX_FILES, Archive, ArchiveStore, packed, whole_file, write_archive

LIMIT = 1 << 20
FILES = {"registry.json": b"{}", "objects/sha256/ab/abcd": bytes(range(256)) * 20, "models/edge/versions/1.json": b"[]"}


def made(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    """A ZIP as somebody else may make it."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path


def opened(path: Path, limit: int) -> Archive:
    return Archive(whole_file(path, limit), path.name, limit)


def linked(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.zip", FILES)
    store = ArchiveStore(opened(tmp_path / "one.zip", LIMIT))
    assert {name: store.get(name, LIMIT) for name in store.list("")} == FILES
    assert store.list("models") == ("models/edge/versions/1.json",)
    with pytest.raises(NotStored):
        store.get("models/edge/versions/2.json", LIMIT)
    with pytest.raises(RegistryError):
        store.put("more", b"")
    with pytest.raises(IntegrityError):
        store.get("objects/sha256/ab/abcd", 10)


def test_equal_files_make_equal_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.zip", FILES)
    write_archive(tmp_path / "other.zip", dict(reversed(FILES.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes() == packed(FILES)
    with pytest.raises(RegistryError, match="exists already"):
        write_archive(tmp_path / "one.zip", FILES)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "a//b", "a/./b", ".hidden", "a\\b", "C:x", "a b", "é", "x" * 201, "d/"]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        opened(made(tmp_path / "odd.zip", (name, b"x")), LIMIT)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="too much"):
        opened(made(tmp_path / "bomb.zip", ("zeros", bytes(LIMIT + 1))), LIMIT)


def test_a_bomb_that_lies_is_refused_when_it_is_read(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path / "bomb.zip", ("zeros", bytes(LIMIT + 1))).read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    (tmp_path / "bomb.zip").write_bytes(data)
    archive = opened(tmp_path / "bomb.zip", LIMIT)
    with pytest.raises(IntegrityError):
        archive.read("zeros", LIMIT)


def test_links_doubles_secrets_and_crowds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="links"):
        opened(made(tmp_path / "link.zip", (linked("link"), b"/etc/passwd")), LIMIT)
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = made(tmp_path / "twice.zip", ("a", b"1"), ("a", b"2"))
    with pytest.raises(IntegrityError, match="twice"):
        opened(twice, LIMIT)
    crowd = made(tmp_path / "crowd.zip", *((f"f{number}", b"") for number in range(MAX_FILES + 1)))
    with pytest.raises(IntegrityError, match="files"):
        opened(crowd, LIMIT)
    other = made(tmp_path / "other.zip", ("a", b"1" * 100), packing=zipfile.ZIP_BZIP2)
    with pytest.raises(IntegrityError, match="unusual"):
        opened(other, LIMIT)


def test_files_inside_each_other_are_refused(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path / "overlap.zip", ("a", b"1" * 100), ("b", b"1" * 100)).read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    (tmp_path / "overlap.zip").write_bytes(data)
    with pytest.raises(IntegrityError, match="inside each other"):
        opened(tmp_path / "overlap.zip", LIMIT)


def test_something_before_the_first_file_is_refused(tmp_path: Path) -> None:
    data = made(tmp_path / "led.zip", ("a", b"1")).read_bytes()
    (tmp_path / "led.zip").write_bytes(b"#!/bin/sh\n" + data)
    with pytest.raises(IntegrityError, match="before the first file"):
        opened(tmp_path / "led.zip", LIMIT)


def test_a_long_list_of_files_is_not_even_looked_at(tmp_path: Path) -> None:
    data = made(tmp_path / "list.zip", *((f"f{number}", b"") for number in range(20_000))).read_bytes()
    (tmp_path / "list.zip").write_bytes(data)
    with pytest.raises(IntegrityError, match="a long list"):
        opened(tmp_path / "list.zip", 1 << 24)


def test_what_is_no_file_is_refused_and_hangs_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(RegistryError if path.name == "absent" else TocsinError):
            opened(path, LIMIT)


def test_any_flipped_bit_is_refused_or_changes_no_byte_of_a_file(tmp_path: Path, rng: np.random.Generator) -> None:
    write_archive(tmp_path / "one.zip", FILES)
    whole = (tmp_path / "one.zip").read_bytes()
    for at in rng.integers(0, len(whole) * 8, 1_000).tolist():
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        (tmp_path / "flipped.zip").write_bytes(data)
        try:
            archive = opened(tmp_path / "flipped.zip", LIMIT)
            found = {name: archive.read(name, LIMIT) for name in archive.names}
        except TocsinError:
            continue
        assert set(found.values()) <= set(FILES.values()), at


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_zip_or_refused(data: bytes) -> None:
    with pytest.raises(TocsinError):
        Archive(data, "any", LIMIT)

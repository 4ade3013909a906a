from __future__ import annotations

import os
import resource
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import ConflictError, IntegrityError, NotStored, RegistryError, TocsinError
from tocsin.storage import LocalStore

LIMIT = 2**20


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to write more, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_put_is_there_for_another_store_on_the_folder(tmp_path: Path) -> None:
    LocalStore(tmp_path / "a" / "b").put("models/edge/1.json", b"bytes")
    assert LocalStore(tmp_path / "a" / "b").get("models/edge/1.json", LIMIT) == b"bytes"


def test_a_name_is_created_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("name", b"first")
    with pytest.raises(ConflictError, match="read again"):
        store.put("name", b"second")
    assert store.get("name", LIMIT) == b"first"
    assert files_in(tmp_path) == ["name"]


def test_a_name_that_is_put_again_counts_as_modified_now(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("name", b"first")
    os.utime(tmp_path / "name", (0, 0))
    with pytest.raises(ConflictError):
        store.put("name", b"first")
    assert datetime.now(UTC) - store.modified("name") < timedelta(minutes=1)


def test_an_absent_name_is_not_stored_and_can_be_deleted(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.delete("absent")
    for ask in (lambda: store.get("absent", LIMIT), lambda: store.modified("absent")):
        with pytest.raises(NotStored, match="absent"):
            ask()


def test_a_deleted_name_can_be_created_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("folder/name", b"first")
    store.delete("folder/name")
    store.put("folder/name", b"second")
    assert store.get("folder/name", LIMIT) == b"second"


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("name", b"12345")
    assert store.get("name", 5) == b"12345"
    with pytest.raises(IntegrityError, match="more than 4 bytes"):
        store.get("name", 4)


def test_listing_gives_the_names_below_a_folder_in_order(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for name in ("b/2", "b/1", "b/c/3", "bb", "a"):
        store.put(name, b"")
    assert store.list("b") == ("b/1", "b/2", "b/c/3")
    assert store.list("") == ("a", "b/1", "b/2", "b/c/3", "bb")
    assert store.list("nowhere") == ()


def test_listing_leaves_out_what_tocsin_did_not_write(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("ours", b"")
    (tmp_path / "README").write_text("theirs")
    (tmp_path / ".hidden").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    assert store.list("") == ("ours",)


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "/etc/passwd", "..", "../up", "a/../b", "a//b", ".hidden", "a/", "A", "a b", "a\n", "ä", "a\0"),
        "a" * 129,
        "/".join("a" * 9),
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    store = LocalStore(tmp_path / "store")
    for ask in (lambda: store.put(name, b"x"), lambda: store.get(name, 1), lambda: store.delete(name)):
        with pytest.raises(RegistryError):
            ask()
    assert files_in(tmp_path) == []


@given(st.text(alphabet="./ab\\~\0A", max_size=12))
def test_a_random_name_is_refused_or_stays_inside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    outer = tmp_path_factory.mktemp("outer")
    try:
        LocalStore(outer / "store").put(name, b"x")
    except TocsinError:
        assert files_in(outer) == []
    else:
        assert files_in(outer) == [f"store/{name}"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "file").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)
    store = LocalStore(folder)
    for name in ("file", "folder/secret"):
        with pytest.raises(IntegrityError, match="link"):
            store.get(name, LIMIT)
    with pytest.raises(IntegrityError, match="link"):
        store.put("folder/new", b"x")
    assert files_in(outside) == ["secret"]


def test_a_planted_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IntegrityError, match="plain file"):
        LocalStore(tmp_path).get("pipe", LIMIT)


def test_files_are_read_only_and_not_for_everybody(tmp_path: Path) -> None:
    LocalStore(tmp_path / "store").put("a/name", b"")
    assert (tmp_path / "store/a/name").stat().st_mode & 0o777 == 0o440
    assert (tmp_path / "store/a").stat().st_mode & 0o007 == 0


def test_a_write_that_does_not_fit_leaves_nothing_and_says_what_still_holds(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("old", b"old")
    with no_file_above(4096), pytest.raises(RegistryError, match="still holds; free some space"):
        store.put("new", bytes(100_000))
    assert files_in(tmp_path) == ["old"]
    store.put("new", bytes(100_000))
    assert len(store.get("new", LIMIT)) == 100_000


def test_a_flush_that_fails_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_disk(_: int) -> None:
        raise OSError(5, "Input/output error")

    store = LocalStore(tmp_path)
    store.put("old", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken_disk)
        with pytest.raises(RegistryError, match="counts as lost"):
            store.put("new", b"new")
    assert files_in(tmp_path) == ["old"]


def test_a_put_is_flushed_before_it_has_a_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    flush, link = os.fsync, os.link

    def recorded_flush(descriptor: int) -> None:
        steps.append("flush folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        flush(descriptor)

    def recorded_link(source: Path, target: Path) -> None:
        steps.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", recorded_flush)
    monkeypatch.setattr(os, "link", recorded_link)
    LocalStore(tmp_path).put("name", b"bytes")
    assert steps == ["flush file", "link", "flush folder"]


def test_what_a_killed_put_left_is_ignored_and_cleared_when_it_is_old(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old, young = tmp_path / ".unfinished-old", tmp_path / ".unfinished-young"
    old.write_bytes(b"half")
    young.write_bytes(b"half")
    os.utime(old, (time.time() - 7_200,) * 2)
    assert store.list("") == ()
    store.put("name", b"")
    assert files_in(tmp_path) == [".unfinished-young", "name"]
    assert store.clear_unfinished(older_than_s=0) == 1

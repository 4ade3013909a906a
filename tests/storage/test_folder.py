from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import ConflictError, IntegrityError, NotStored, SourceLost
from tocsin.storage import open_bucket


def test_what_is_written_is_listed_and_read(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path / "here"))
    bucket.create("runs/b/report.json", b"{}")
    bucket.write("runs/a.csv", b"0123456789")
    assert [(entry.key, entry.size) for entry in bucket.list("runs/")] == [
        ("runs/a.csv", 10),
        ("runs/b/report.json", 2),
    ]
    assert bucket.read("runs/a.csv") == b"0123456789"
    assert bucket.read("runs/a.csv", start=2, length=3) == b"234"
    assert bucket.read("runs/a.csv", start=8, length=30) == b"89"
    assert bucket.read("runs/a.csv", start=30) == b""


def test_a_prefix_need_not_end_at_a_folder(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    for key in ("day-1/a", "day-2/a", "night/a", "day"):
        bucket.write(key, b"")
    assert [entry.key for entry in bucket.list("day-")] == ["day-1/a", "day-2/a"]
    assert [entry.key for entry in bucket.list("day")] == ["day", "day-1/a", "day-2/a"]


def test_an_object_is_created_once(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    bucket.create("a/b", b"1")
    with pytest.raises(ConflictError):
        bucket.create("a/b", b"2")
    assert bucket.read("a/b") == b"1"
    bucket.write("a/b", b"3")
    assert bucket.read("a/b") == b"3"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_what_was_written_meanwhile_is_told(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    bucket.write("grows.csv", b"one")
    (entry,) = bucket.list()
    assert bucket.read("grows.csv", etag=entry.etag) == b"one"
    bucket.write("grows.csv", b"two")
    with pytest.raises(ConflictError):
        bucket.read("grows.csv", etag=entry.etag)


def test_more_than_the_limit_is_not_read(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    bucket.write("large", b"x" * 100)
    assert len(bucket.read("large", limit=100)) == 100
    assert len(bucket.read("large", start=50, limit=50)) == 50
    with pytest.raises(IntegrityError):
        bucket.read("large", limit=99)


def test_what_is_gone_is_told_and_forgotten_twice(tmp_path: Path) -> None:
    bucket = open_bucket(str(tmp_path))
    bucket.write("a", b"")
    bucket.delete("a")
    bucket.delete("a")
    with pytest.raises(NotStored):
        bucket.read("a")
    assert list(open_bucket(str(tmp_path / "never")).list()) == []


@pytest.mark.parametrize("key", ["", "../outside", "a/../../outside", "/etc/passwd", "link/file", "a/..", "a\0b"])
def test_no_key_leads_outside(tmp_path: Path, key: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    inside.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    (inside / "link").symlink_to(outside)
    bucket = open_bucket(str(inside))
    for step in (lambda: bucket.read(key), lambda: bucket.write(key, b""), lambda: bucket.delete(key)):
        with pytest.raises(NotStored):
            step()
    assert (outside / "file").read_bytes() == b"secret"


def test_only_plain_files_are_objects(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"1")
    (tmp_path / ".hidden").write_bytes(b"2")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    bucket = open_bucket(str(tmp_path))
    assert [entry.key for entry in bucket.list()] == ["plain"]
    with pytest.raises(NotStored):
        bucket.read("pipe")


KEYS = st.lists(
    st.lists(st.sampled_from(["a", "b", "a-b", "a.b", "aa"]), min_size=1, max_size=3).map("/".join), max_size=8
)


@settings(max_examples=40, deadline=None)
@given(keys=KEYS, prefix=st.text("ab-./", max_size=5))
def test_a_listing_is_the_keys_that_begin_so(keys: list[str], prefix: str) -> None:
    with TemporaryDirectory() as folder:
        bucket, written = open_bucket(folder), {}
        for number, key in enumerate(keys):
            with suppress(SourceLost):  # a file where a folder would have to be
                bucket.write(key, bytes(number))
                written[key] = number
        found = {entry.key: entry.size for entry in bucket.list(prefix)}
        assert found == {key: size for key, size in written.items() if key.startswith(prefix)}
        assert list(found) == sorted(found)

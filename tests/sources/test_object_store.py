"""Objects of a bucket become rows, whatever becomes of the objects meanwhile."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.firebase import firebase_bucket
from tests.storage.servers import CloudServer, S3Server

from tocsin import log
from tocsin.checks.source import CHECKS
from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, DataError, LimitExceeded, SourceLost
from tocsin.records import FILE, Batch, Position
from tocsin.sources.base import Source
from tocsin.sources.base_globs import fits
from tocsin.sources.base_spool import spool
from tocsin.sources.object_store import RANGE, ObjectStore
from tocsin.storage import Bucket, Meter
from tocsin.storage.folder import FolderBucket

HOUR_S = 3_600.0


def put(url: str, key: str, data: bytes) -> None:
    """Write an object with the library of the cloud itself, on Google with that of Firebase."""
    name = url.split("/")[2]
    if url.startswith("s3:"):
        boto3.client("s3").put_object(Bucket=name, Key=key, Body=data)
        return
    firebase_bucket(url).blob(key).upload_from_string(data)


def rows(start: int, number: int, width: int = 1) -> bytes:
    return b"timestamp,text\n" + b"".join(b"%d,%s\n" % (at, b"x" * width) for at in range(start, start + number))


def write(path: Path, data: bytes, age_s: float = HOUR_S) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - age_s, time.time() - age_s))


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., ObjectStore]:
    def make(url: str | Path, **parameters: Any) -> ObjectStore:
        return ObjectStore(url=str(url), spool=str(tmp_path / "spool"), **parameters)

    return make


Made = Callable[..., ObjectStore]


def read(source: ObjectStore, resume: Position | None = None) -> list[Batch]:
    found = []
    with closing(source):
        source.open(resume)
        while not source.ended:
            if batch := source.read(1.0):
                found.append(batch)
                source.acknowledge(batch)
    return found


def times(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches if "timestamp" in batch for value in batch["timestamp"]]


def refused(batches: list[Batch]) -> list[tuple[str, str]]:
    return [(item.file.rpartition("/")[2], item.reason) for batch in batches for item in batch.rejected]


def test_objects_that_others_wrote_come_oldest_first(cloud: CloudServer, made: Made) -> None:
    url = cloud.bucket()
    put(url, "flows/2026/b.csv", rows(0, 3))
    put(url, "flows/2026/a.csv.gz", gzip.compress(rows(3, 3)))
    put(url, "flows/2026/c.jsonl", b'{"timestamp": 6, "bytes": {"in": 6}}\n')
    put(url, "flows/2026/empty.csv", b"")
    put(url, "other/d.csv", rows(9, 1))
    source = made(f"{url}/flows/**/*")
    batches = read(source)
    assert sorted(times(batches)) == list(range(7))
    assert [str(batch[FILE][0]) for batch in batches if batch[FILE][0].endswith("b.csv")] == [f"{url}/flows/2026/b.csv"]
    assert source.digests[f"{url}/flows/2026/b.csv"] == sha256(rows(0, 3)).hexdigest()
    assert dict(source.meter.requests) == {"list": 1, "get": 3}
    listed = list(source.pieces)
    assert [piece.name.rpartition("/")[2] for piece in listed] == [
        name.rpartition("/")[2] for name in dict.fromkeys(str(batch[FILE][0]) for batch in batches)
    ]
    assert (source.cost(listed).requests, source.cost(listed).transfer) == (4, sum(piece.size or 0 for piece in listed))


def test_a_long_object_comes_in_ranges(cloud: CloudServer, made: Made) -> None:
    url, number = cloud.bucket(), 200
    data = rows(0, number, 100_000)
    put(url, "flows.csv", data)
    source = made(f"{url}/flows.csv")
    batches = read(source)
    assert sum(batch.rows for batch in batches) == number
    assert source.meter.requests["get"] == -(-len(data) // RANGE) == 3
    assert source.digests == {f"{url}/flows.csv": sha256(data).hexdigest()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_of_sources_holds_over_the_wire(
    cloud: CloudServer, check: Callable[[type[Source], Path], None], tmp_path: Path
) -> None:
    url = cloud.bucket()
    for key, data in (("a.csv", rows(0, 3)), ("b.csv", b"timestamp,bytes\n1,1\n2\n3,3\n"), ("c.csv", b"\0")):
        put(url, key, data)

    def example(cls: type[ObjectStore], folder: Path) -> ObjectStore:
        return cls(url=f"{url}/*.csv", format=PartSpec("csv", {"rows": 2}), spool=str(folder / "spool"))

    check(type("ObjectStore", (ObjectStore,), {"example": classmethod(example)}), tmp_path)


def test_a_run_that_may_take_no_more_ends(s3: S3Server, made: Made) -> None:
    url = s3.bucket()
    for number in range(4):
        put(url, f"{number}.csv", rows(number, 1))
    for meter, limit in ((Meter(requests=3), "requests"), (Meter(transfer=50), "transfer")):
        source = made(f"{url}/*.csv")
        source.meter = meter
        with pytest.raises(LimitExceeded, match=rf"limits\.{limit}"):
            read(source)


def test_a_bucket_that_is_none_is_said(s3: S3Server, made: Made) -> None:
    with pytest.raises(SourceLost, match="bucket"):
        read(made("s3://no-such-bucket-anywhere/*.csv"))
    with pytest.raises(DataError, match="no object matching"):
        read(made(f"{s3.bucket()}/*.csv"))


class Changing(Bucket):
    """A folder in which something happens to an object just before one of its ranges is read."""

    def __init__(
        self,
        folder: Path,
        happens: Mapping[str, Callable[[int], None]],
        after: Mapping[str, Callable[[int], None]] | None = None,
    ) -> None:
        self._bucket = FolderBucket(folder)
        self.url = self._bucket.url
        self._happens = happens
        self._after = after or {}

    def list(self, prefix: str = "") -> Any:
        return self._bucket.list(prefix)

    def read(self, key: str, *, start: int = 0, **more: Any) -> bytes:
        if happens := self._happens.get(key):
            happens(start)
        read = self._bucket.read(key, start=start, **more)
        if after := self._after.get(key):
            after(start)
        return read

    def create(self, key: str, data: bytes) -> None: ...
    def write(self, key: str, data: bytes) -> None: ...
    def delete(self, key: str) -> None: ...


def test_what_becomes_of_one_object_never_stops_the_others(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, length, width = tmp_path / "flows", 200, 100_000
    for at, name in enumerate(("a", "changed", "gone", "lost", "broken", "z")):
        write(folder / f"{name}.csv", rows(500, length, width) if name == "changed" else rows(at, 1), HOUR_S - at)
    (folder / "broken.csv").write_bytes(b"\0")
    os.utime(folder / "broken.csv", (0, 0))

    def lose(_: int) -> None:
        raise SourceLost("bucket", "no answer in 5 tries", "an answer")

    def change(start: int) -> None:
        if start:
            write(folder / "changed.csv", rows(700, length, width))

    happens = {"changed.csv": change, "gone.csv": lambda _: (folder / "gone.csv").unlink(), "lost.csv": lose}
    monkeypatch.setattr("tocsin.sources.object_store.open_bucket", lambda *_, **__: Changing(folder, happens))
    before = log.counters().get('tocsin_objects_left_out_total{reason="changed"}', 0)
    batches = read(made(folder / "*.csv"))
    assert times(batches) == [0, 5]
    assert sorted(refused(batches)) == [("broken.csv", "nul_byte"), ("gone.csv", "gone"), ("lost.csv", "out_of_reach")]
    assert log.counters()['tocsin_objects_left_out_total{reason="changed"}'] == before + 1
    assert list((tmp_path / "spool").iterdir()) == []
    monkeypatch.undo()
    again = read(made(folder / "*.csv"))
    assert len(times(again)) == length + 3  # what was left out, and those that were out of reach


def test_what_is_written_while_its_last_range_is_read_is_left_for_the_next_time(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "flows" / "a.csv", rows(0, 3))
    bucket = Changing(tmp_path / "flows", {}, {"a.csv": lambda _: write(tmp_path / "flows" / "a.csv", rows(0, 4))})
    monkeypatch.setattr("tocsin.sources.object_store.open_bucket", lambda *_, **__: bucket)
    assert read(made(tmp_path / "flows" / "*.csv")) == []
    monkeypatch.undo()
    assert times(read(made(tmp_path / "flows" / "*.csv"))) == [0, 1, 2, 3]


def test_a_bucket_out_of_reach_is_not_tried_for_ever(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def lose(_: int) -> None:
        asked.append(1)
        raise SourceLost("bucket", "no answer in 5 tries", "an answer")

    for at in range(30):
        write(tmp_path / "flows" / f"{at}.csv", rows(at, 1))
    happens = {f"{at}.csv": lose for at in range(30)}
    bucket = Changing(tmp_path / "flows", happens)
    monkeypatch.setattr("tocsin.sources.object_store.open_bucket", lambda *_, **__: bucket)
    with pytest.raises(SourceLost):
        read(made(tmp_path / "flows" / "*.csv"))
    assert len(asked) == 10


def test_a_file_that_may_still_be_written_to_is_left_for_the_next_time(made: Made, tmp_path: Path) -> None:
    write(tmp_path / "flows" / "old.csv", rows(0, 2))
    (tmp_path / "flows" / "new.csv").write_bytes(rows(2, 1)[:-3])
    source = made(tmp_path / "flows" / "*.csv")
    assert times(read(source)) == [0, 1]
    now = time.time()
    source._now = lambda: now + 11
    write(tmp_path / "flows" / "new.csv", rows(2, 2), 0.0)
    assert times(read(source)) == [0, 1, 2, 3]


def test_a_changed_object_is_another_one_for_a_position(made: Made, tmp_path: Path) -> None:
    write(tmp_path / "flows" / "a.csv", rows(0, 3))
    source = made(tmp_path / "flows" / "*.csv")
    with closing(source):
        source.open()
        batch = source.read(1.0)
        assert batch is not None
        position = source.acknowledge(batch)
    assert times(read(source, position)) == []
    write(tmp_path / "flows" / "a.csv", rows(50, 3))
    assert times(read(source, position)) == [50, 51, 52]


def test_age_counts_from_when_an_object_was_written(made: Made, tmp_path: Path) -> None:
    for hours in (1, 30, 200):
        write(tmp_path / "flows" / f"{hours}.csv", rows(hours, 1), hours * HOUR_S)
    assert times(read(made(tmp_path / "flows" / "*.csv", max_age_hours=168))) == [30, 1]
    source = made(tmp_path / "flows" / "*.csv")
    source.since = time.time() - 24 * HOUR_S
    assert times(read(source)) == [1]
    with pytest.raises(DataError, match=r"written in the last 0\.5 h"):
        read(made(tmp_path / "flows" / "*.csv", max_age_hours=0.5))


def test_a_format_reads_what_no_ending_tells(made: Made, tmp_path: Path) -> None:
    write(tmp_path / "flows" / "a.log", rows(0, 2).replace(b",", b";"))
    write(tmp_path / "flows" / "b.parquet.tmp", b"PAR1")
    assert refused(read(made(tmp_path / "flows" / "*"))) == [
        ("a.log", "unknown_format"),
        ("b.parquet.tmp", "unknown_format"),
    ]
    delimited = made(tmp_path / "flows" / "*.log", format=PartSpec("csv", {"delimiter": ";"}))
    assert times(read(delimited)) == [0, 1]


def test_an_object_too_large_for_this_machine_is_refused(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "flows" / "a.csv", rows(0, 200))
    write(tmp_path / "flows" / "b.csv", rows(0, 2), 0.5 * HOUR_S)
    monkeypatch.setattr("tocsin.sources.object_store.MAX_OBJECT", 1_000)
    batches = read(made(tmp_path / "flows" / "*.csv"))
    assert refused(batches) == [("a.csv", "too_large")]
    assert times(batches) == [0, 1]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"url": "http://bucket/x"}, "s3://, gs:// or a path"),
        ({"url": "s3://key:secret@bucket/x"}, "credentials come from the environment"),
        ({"url": "s3:///x"}, "another form"),
        ({"url": "x", "max_age_hours": 0}, "greater than 0"),
        ({"url": "x", "format": {"type": "csv", "path": "y"}}, "the path in `url`"),
        ({"url": "x", "format": {"type": "prometheus", "queries": {"a": "b"}}}, "a source of files"),
        ({"url": "x", "format": {"type": "csv", "delimeter": ";"}}, "unknown key"),
    ],
)
def test_parameters_that_cannot_be_are_told(parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        build("sources", PartSpec("object_store", parameters))
    assert "secret" not in str(refusal.value)


def test_the_spool_is_private_and_forgets_what_died(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "spool"
    with spool(folder) as first:
        (first / "object").write_bytes(b"data")
        assert [path.stat().st_mode & 0o777 for path in (folder, first)] == [0o700, 0o700]
        dead, foreign = folder / f"{first.name}.dead", folder / "holiday"
        dead.mkdir()
        foreign.mkdir()
        (dead / "object").write_bytes(b"left behind")
        with spool(folder) as second:
            assert first != second
            assert (first / "object").exists()
            assert not dead.exists()
        assert not second.exists()
    assert list(folder.iterdir()) == [foreign]


STEP = st.sampled_from(["a", "b", ".c", "a.csv", "b.csv", "[x]"])
PATTERN = st.lists(st.sampled_from(["*", "**", "a", "?", "*.csv", "[ab]", "a*"]), min_size=1, max_size=5)


@given(key=st.lists(STEP, min_size=1, max_size=5), pattern=PATTERN)
def test_patterns_mean_what_they_mean_for_files(
    tmp_path_factory: pytest.TempPathFactory, key: list[str], pattern: list[str]
) -> None:
    root = tmp_path_factory.mktemp("keys")
    path = root.joinpath(*key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    meant = glob("/".join(pattern), root_dir=root, recursive=True)  # noqa: PTH207  # it is the judge
    assert fits("/".join(key), "/".join(pattern)) == ("/".join(key) in meant)

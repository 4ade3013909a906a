"""What both clouds promise, each against its own server, with its own library as the judge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import boto3
import numpy as np
import pytest
from google.cloud import storage as google_storage
from tests.storage.firebase import firebase_bucket
from tests.storage.servers import CloudServer, GcsServer, S3Server

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NotStored, RegistryError, SourceLost
from tocsin.storage import Bucket, Meter, Store, open_bucket, open_store
from tocsin.storage.bucket_store import BucketStore

LIMIT = 2**24


def judge(url: str) -> Callable[[str], bytes]:
    """Reads an object with the library of the cloud itself."""
    name = url.split("/")[2]
    if url.startswith("s3:"):
        client = boto3.client("s3")
        return lambda key: client.get_object(Bucket=name, Key=key)["Body"].read()
    bucket = google_storage.Client(project="tocsin").bucket(name)
    return lambda key: bucket.blob(key).download_as_bytes()


def test_the_other_library_reads_what_was_written(cloud: CloudServer, rng: np.random.Generator) -> None:
    url = cloud.bucket()
    bucket, read = open_bucket(f"{url}/deep/prefix/"), judge(url)
    for key, data in (("a", b""), ("b/c.json", b"{}\r\n--x\r\n"), ("d.npz", rng.bytes(300_001))):
        bucket.create(key, data)
        assert read(f"deep/prefix/{key}") == data
        assert bucket.read(key) == data
    bucket.write("a", b"anew")
    assert read("deep/prefix/a") == b"anew"


def test_what_others_wrote_is_read(s3: S3Server, gcs: GcsServer) -> None:
    s3_url, gcs_url = s3.bucket(), gcs.bucket()
    boto3.client("s3").put_object(Bucket=s3_url[5:], Key="day/1.csv", Body=b"a,b\n1,2\n")
    firebase_bucket(gcs_url).blob("day/1.csv").upload_from_string(b"a,b\n1,2\n")
    for url in (s3_url, gcs_url):
        (entry,) = open_bucket(url).list("day/")
        assert (entry.key, entry.size) == ("day/1.csv", 8)
        assert open_bucket(url).read("day/1.csv", start=4, length=3, etag=entry.etag) == b"1,2"


def test_an_object_is_created_by_one_of_two(cloud: CloudServer) -> None:
    url = cloud.bucket()
    open_bucket(url).create("name", b"first")
    with pytest.raises(ConflictError):
        open_bucket(url).create("name", b"second")
    assert open_bucket(url).read("name") == b"first"


def test_of_eight_writers_at_once_one_wins(cloud: CloudServer) -> None:
    url, gate = cloud.bucket(), threading.Barrier(8)

    def write(number: int) -> int | None:
        bucket = open_bucket(url)
        gate.wait()
        with suppress(ConflictError):
            bucket.create("name", bytes([number]) * 10_000)
            return number
        return None

    with ThreadPoolExecutor(8) as pool:
        (winner,) = (number for number in pool.map(write, range(8)) if number is not None)
    assert open_bucket(url).read("name") == bytes([winner]) * 10_000


def test_a_range_ends_where_the_object_does(cloud: CloudServer) -> None:
    bucket = open_bucket(cloud.bucket())
    bucket.write("digits", b"0123456789")
    assert bucket.read("digits", start=3) == b"3456789"
    assert bucket.read("digits", start=8, length=100) == b"89"
    assert bucket.read("digits", start=10, length=5) == b""
    assert bucket.read("digits", start=99) == b""
    assert bucket.read("digits", length=0) == b""


def test_what_was_written_meanwhile_is_told(cloud: CloudServer) -> None:
    bucket = open_bucket(cloud.bucket())
    bucket.write("grows.csv", b"one")
    (entry,) = bucket.list()
    assert bucket.read("grows.csv", start=1, length=2, etag=entry.etag) == b"ne"
    bucket.write("grows.csv", b"two")
    with pytest.raises(ConflictError):
        bucket.read("grows.csv", start=1, length=2, etag=entry.etag)


def test_a_prefix_need_not_end_at_a_folder(cloud: CloudServer) -> None:
    bucket = open_bucket(f"{cloud.bucket()}/logs")
    for key in ("day", "day-1/a", "day-2/a", "day/a", "dax", "night/a"):
        bucket.write(key, b"")
    assert [entry.key for entry in bucket.list("day-")] == ["day-1/a", "day-2/a"]
    assert [entry.key for entry in bucket.list("day")] == ["day", "day-1/a", "day-2/a", "day/a"]
    assert [entry.key for entry in bucket.list("day/")] == ["day/a"]
    assert [entry.key for entry in bucket.list("z")] == []


def test_pages_are_asked_for_as_they_are_needed(cloud: CloudServer) -> None:
    url = cloud.bucket()
    writer = open_bucket(url)
    for number in range(1_000):
        writer.write(f"x/{number:05d}", b"")
    for objects in (1_000, 1_001):
        meter, mark = Meter(), cloud.mark()
        found = [entry.key for entry in open_bucket(url, meter=meter).list("x/")]
        assert found == [f"x/{number:05d}" for number in range(objects)]
        assert meter.requests["list"] == len(cloud.since(mark)) == meter.requests.total() <= 2
        writer.write(f"x/{objects:05d}", b"")


def test_every_request_is_counted_and_none_is_hidden(cloud: CloudServer, rng: np.random.Generator) -> None:
    url, meter, mark = cloud.bucket(), Meter(), cloud.mark()
    bucket = open_bucket(url, meter=meter)
    bucket.create("a", rng.bytes(1_000))
    bucket.write("b", rng.bytes(9 * 2**20))
    bucket.read("a")
    bucket.read("b", start=5, length=100)
    list(bucket.list())
    bucket.delete("a")
    bucket.delete("a")
    assert meter.requests.total() == len(cloud.since(mark))
    assert (meter.requests["get"], meter.requests["list"], meter.requests["delete"]) == (2, 1, 2)
    assert (meter.sent_bytes, meter.received_bytes) == (1_000 + 9 * 2**20, 1_100)


def test_a_limit_ends_the_run_before_the_request(cloud: CloudServer) -> None:
    url = cloud.bucket()
    open_bucket(url).write("a", b"x" * 600)
    bucket, mark = open_bucket(url, meter=Meter(requests=2)), cloud.mark()
    for _ in range(2):
        bucket.read("a")
    with pytest.raises(LimitExceeded, match=r"limits\.requests"):
        bucket.read("a")
    assert len(cloud.since(mark)) == 2
    bucket = open_bucket(url, meter=Meter(transfer=1_000))
    bucket.read("a")
    with pytest.raises(LimitExceeded, match=r"limits\.transfer"):
        bucket.read("a")
    with pytest.raises(LimitExceeded, match=r"limits\.transfer"):
        bucket.write("b", b"x" * 600)


def test_more_than_the_limit_is_not_read(cloud: CloudServer) -> None:
    url, meter = cloud.bucket(), Meter()
    bucket = open_bucket(url, meter=meter)
    bucket.write("large", bytes(8 * 2**20))
    with pytest.raises(IntegrityError):
        bucket.read("large", limit=2**20)
    assert meter.received_bytes <= 4 * 2**20
    assert len(bucket.read("large", limit=8 * 2**20)) == 8 * 2**20


def test_a_bucket_that_is_not_there(cloud: CloudServer) -> None:
    url = f"{cloud.bucket()}-not"
    for step in (
        lambda: list(open_bucket(url).list()),
        lambda: open_bucket(url).read("a"),
        lambda: open_bucket(url).create("a", b""),
    ):
        with pytest.raises(SourceLost, match="create the bucket"):
            step()


def test_what_is_gone_is_told_and_forgotten_twice(cloud: CloudServer) -> None:
    bucket = open_bucket(cloud.bucket())
    bucket.write("a", b"")
    bucket.delete("a")
    bucket.delete("a")
    with pytest.raises(NotStored):
        bucket.read("a")


@pytest.mark.parametrize("key", ["", "../a", "a//b", "a/./b", "/a", "a/", "a\0b"])
def test_keys_are_plain(cloud: CloudServer, key: str) -> None:
    with pytest.raises(NotStored):
        open_bucket(cloud.bucket()).read(key)


def stored(cloud: CloudServer) -> tuple[Bucket, Store]:
    url = cloud.bucket()
    return open_bucket(f"{url}/registry"), open_store(f"{url}/registry")


def test_a_store_holds_closed_names_alone(cloud: CloudServer) -> None:
    bucket, store = stored(cloud)
    bucket.write("models/edge/1.json", b"{}")
    bucket.write("Some Thing.txt", b"")
    assert store.list("") == store.list("models") == ("models/edge/1.json",)
    for name in ("../a", "A", "a/../b", "a" * 129):
        with pytest.raises(RegistryError):
            store.put(name, b"")


def test_what_is_put_again_counts_as_modified_now(cloud: CloudServer) -> None:
    bucket, store = stored(cloud)
    data = b"weights"
    name = f"objects/sha256/{sha256(data).hexdigest()}"
    store.put(name, data)
    (before,) = bucket.list()
    with pytest.raises(ConflictError):
        store.put(name, data)
    assert list(bucket.list()) == [before]
    mark = cloud.mark()
    with pytest.raises(ConflictError):
        BucketStore(bucket, lambda: datetime.now(UTC) + timedelta(hours=2)).put(name, data)
    assert len(cloud.since(mark)) == 3
    assert store.get(name, LIMIT) == data
    assert store.modified(name) >= before.modified

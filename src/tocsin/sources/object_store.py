"""Files that lie in a bucket: on S3, Google Cloud Storage (Firebase Storage is one), or in a folder of this machine.

Source: RFC 9110, section 13 (`If-Match`) and section 14 (ranges): an object is read in pieces that all have one etag.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Annotated, Self, cast

from pydantic import Field

from tocsin import observe
from tocsin.component import PartSpec, Spec, build, part
from tocsin.errors import ConflictError, DataError, IntegrityError, LimitExceeded, NotStored, SourceLost
from tocsin.records import Batch, Position, Rejected
from tocsin.sources.base import Piece, last_row
from tocsin.sources.base_files import MAX_FILES, MAX_RAW, FileSource, format_of, legible
from tocsin.sources.base_globs import fits, fixed_beginning, split_pattern
from tocsin.sources.base_polls import no_row
from tocsin.sources.base_remote import Cost, RemoteSource
from tocsin.sources.base_spool import spool
from tocsin.storage import Bucket, Entry, elsewhere, open_bucket

RANGE = 8 << 20
"""Bytes of one request."""
PAGE = 1_000
"""Objects that one request lists."""
MAX_OBJECT = 1 << 30
"""Bytes of an object, as it lies in the bucket."""
SETTLED_S = 10.0
"""A file of this machine that was written to more recently may still be written to."""
_LOST_IN_A_ROW = 10
"""Objects that may be out of reach before the bucket is."""
_HOUR_S = 3_600.0
_SCHEMES = ("s3", "gs")


class ObjectStore(RemoteSource):
    """Read the objects of a bucket, oldest first, each as the file source of its format would.

    The bucket is listed once. An object is fetched whole before it is read, in ranges that must all have the etag of
    the listing: one that is written meanwhile is left for the next time, and so is a file of this machine that is
    younger than ten seconds. One that is gone, refused or broken never stops the others.

    Credentials come from the environment, as the clients of S3 and Google Cloud have them; no config names any.

    Parameters
    ----------
    url
        Objects as a pattern, `s3://bucket/flows/**/*.csv`, `gs://...` or a path of this machine; all below it where it
        ends in `/`.
    max_age_hours
        Only objects that were written less long ago.
    format
        The source of files that reads each of them, without a `path`: `{type: zeek}`. By default as each name's ending
        tells: `.csv`, `.jsonl`, `.ndjson`, `.json`, `.parquet`, packed with `.gz` or not.
    spool
        Folder for one object at a time, which is removed when it is read.
    """

    def __init__(
        self,
        *,
        url: str,
        max_age_hours: Annotated[float, Field(gt=0, le=100_000)] | None = None,
        format: Spec | None = None,
        spool: str = ".tocsin/spool",
    ) -> None:
        super().__init__()
        self.url = url
        self.max_age_hours = max_age_hours
        self.format = format
        self.spool = spool
        self._place, self._pattern = _place_and_pattern(url)
        if format is not None:
            _reader(format)
        self._readers: dict[str, FileSource] = {}
        self._etags: dict[str, str] = {}
        self._behind: dict[str, int] = {}
        self._batches: Generator[Batch, None, None] | None = None
        self._ended = False

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Two files that are settled, with a line a field short, and one that is none."""
        day = folder / "bucket" / "flows" / "2026-11-27"
        day.mkdir(parents=True, exist_ok=True)
        texts = {"a.csv": "timestamp,bytes\n1,10\n2\n3,30\n", "b.csv": "timestamp,bytes\n4,40\n", "c.csv": "\0"}
        for hour, (name, text) in enumerate(texts.items()):
            (day / name).write_text(text)
            os.utime(day / name, (_HOUR_S * hour, _HOUR_S * hour))
        return cls(
            url=str(folder / "bucket" / "flows" / "**" / "*.csv"),
            format=PartSpec("csv", {"rows": 2}),
            spool=str(folder / "spool"),
        )

    def open(self, resume: Position | None = None) -> None:
        """List the bucket.

        Raises
        ------
        DataError
            If no object fits.
        SourceLost
            If the bucket does not answer, or refuses.
        LimitExceeded
            If more than 100,000 objects fit, or the listing takes more requests than the run may make.
        """
        self.close()
        bucket = open_bucket(self._place, meter=self.meter)
        entries = self._chosen(bucket)
        if not entries:
            raise DataError("object_store", f"no object matching {self.url!r}", "an object", self._hint(bucket))
        self._readers, self._ended = {}, False
        self._etags = {_name(bucket, entry): entry.etag for entry in entries}
        self._behind = dict(resume.offsets) if resume else {}
        self._batches = self._read_all(bucket, entries)

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows of one object; never of two. An object that is fetched may outlast the time.

        Raises
        ------
        SourceLost
            If ten objects in a row are out of reach.
        LimitExceeded
            If it takes more requests or bytes than the run may take.
        """
        if self._batches is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        batch = next(self._batches, None)
        self._ended = batch is None
        return batch

    @property
    def ended(self) -> bool:
        """Whether the last object is read."""
        return self._ended

    def acknowledge(self, batch: Batch) -> Position:
        """The last row of this batch's object that is done with, refused rows included."""
        file, last = last_row(batch)
        version = self._version(file)
        self._behind[version] = max(last, self._behind.get(version, 0))
        return Position("object_store", dict(self._behind))

    def close(self) -> None:
        """Forget the objects, and remove what is on its way."""
        if self._batches is not None:
            self._batches.close()
        self._batches = None

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of the objects as they lie in the bucket."""
        return {file: digest for reader in self._readers.values() for file, digest in reader.digests.items()}

    @property
    def pieces(self) -> Iterator[Piece]:
        """The objects that would be read, oldest first."""
        bucket = open_bucket(self._place, meter=self.meter)
        for entry in self._chosen(bucket):
            yield Piece(_name(bucket, entry), entry.size, entry.modified)

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """A listing by the thousand, and a request for every 8 MiB of an object; nothing on this machine."""
        sizes = [piece.size or 0 for piece in pieces]
        if not elsewhere(self._place):
            return Cost(0, 0)
        return Cost(ceil(len(sizes) / PAGE) + sum(ceil(size / RANGE) for size in sizes), sum(sizes))

    def _version(self, file: str) -> str:
        """A name for these bytes of an object: others under the same key are another object."""
        return f"{file}#{self._etags[file]}"

    def _chosen(self, bucket: Bucket) -> list[Entry]:
        """Objects that fit and are neither too old nor too young, oldest first, each once."""
        now = self._now()
        oldest = max(now - self.max_age_hours * _HOUR_S if self.max_age_hours else 0.0, self.since or 0.0)
        found: dict[str, Entry] = {}
        for entry in bucket.list(fixed_beginning(self._pattern)):
            written = entry.modified.timestamp()
            if not entry.size or written < oldest or not fits(entry.key, self._pattern):
                continue
            if not elsewhere(self._place) and 0 <= now - written < SETTLED_S:
                observe.object_left_out(_name(bucket, entry), "not_settled")
                continue
            found[entry.key] = entry
            if len(found) > MAX_FILES:
                hint = "narrow the pattern, or set max_age_hours"
                raise LimitExceeded(self.url, f"more than {MAX_FILES:,} objects", f"at most {MAX_FILES:,}", hint)
        return sorted(found.values(), key=lambda entry: (entry.modified, entry.key))

    def _hint(self, bucket: Bucket) -> str:
        oldest = f", written in the last {self.max_age_hours:g} h" if self.max_age_hours else ""
        since = f", written since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M} UTC" if self.since else ""
        settled = "" if elsewhere(self._place) else f", untouched for {SETTLED_S:g} s"
        return f"looked below {bucket.url} for objects with a byte or more{settled}{oldest}{since}"

    def _read_all(self, bucket: Bucket, entries: Sequence[Entry]) -> Generator[Batch, None, None]:
        lost = 0
        for entry in entries:
            name = _name(bucket, entry)
            try:
                yield from self._read_object(bucket, entry, name)
                lost = 0
            except ConflictError:
                observe.object_left_out(name, "changed")
            except (NotStored, IntegrityError) as error:
                yield _refused(name, "gone" if isinstance(error, NotStored) else "corrupt", error.problem.got)
            except SourceLost as error:
                lost += 1
                if lost == _LOST_IN_A_ROW:
                    raise
                yield _refused(name, "out_of_reach", error.problem.got)

    def _read_object(self, bucket: Bucket, entry: Entry, name: str) -> Iterator[Batch]:
        kind = self.format.type if self.format else format_of(entry.key)
        if not kind:
            yield _refused(name, "unknown_format", "an ending that names none; give the source a `format`")
            return
        with spool(Path(self.spool)) as folder:
            room = min(MAX_OBJECT, shutil.disk_usage(folder).free // 2)
            if entry.size > room:
                yield _refused(name, "too_large", f"{entry.size:,} bytes, at most {room:,}")
                return
            _fetch(bucket, entry, folder / "object")
            reader = self._readers.setdefault(kind, _reader(self.format or PartSpec(kind)))
            yield from reader.read_file(name, str(folder / "object"), self._behind.get(self._version(name), 0))


def _place_and_pattern(url: str) -> tuple[str, str]:
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in _SCHEMES:
        raise ValueError(f"a url of the kind {scheme[:20]}://, wanted s3://, gs:// or a path")
    if separator and ("@" in rest.partition("/")[0] or "?" in rest.partition("/")[0] or not rest.partition("/")[0]):
        raise ValueError("a url of another form than s3://bucket/key; credentials come from the environment")
    return split_pattern(url)


def _reader(format: PartSpec) -> FileSource:
    if "path" in format.parameters:
        raise ValueError("a format with a path, wanted the path in `url`")
    kind = part("sources", format.type, "$.format.type")
    if not issubclass(kind, FileSource):
        raise ValueError(f"the format {format.type}, wanted a source of files such as csv")
    return cast(
        "FileSource", build("sources", PartSpec(format.type, {**format.parameters, "path": "object"}), "$.format")
    )


def _fetch(bucket: Bucket, entry: Entry, path: Path) -> None:
    """Bring an object here, whole and of one etag, or not at all."""
    with path.open("wb") as file:
        for start in range(0, entry.size, RANGE):
            wanted = min(RANGE, entry.size - start)
            piece = bucket.read(entry.key, start=start, length=wanted, etag=entry.etag)
            if len(piece) != wanted:
                raise ConflictError(entry.key, f"{len(piece)} bytes", f"{wanted}, as listed")
            file.write(piece)
    bucket.read(entry.key, length=0, etag=entry.etag)  # whoever writes to a file of this machine may have been faster


def _name(bucket: Bucket, entry: Entry) -> str:
    return legible(f"{bucket.url}/{entry.key}")


def _refused(name: str, reason: str, detail: str) -> Batch:
    return no_row(Rejected(name, 0, reason, detail[:MAX_RAW]))

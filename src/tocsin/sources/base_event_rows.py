"""Events in rows of a table, each row JSON lines with their checksum: what `sqlite_wal` reads with `message: event`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from tocsin.records import Batch, Rejected
from tocsin.sources.base_files import MAX_RAW
from tocsin.sources.base_json import JsonSource, Layouts, Object
from tocsin.sources.base_messages import PLACES
from tocsin.sources.base_text_files import Records

MAX_EVENT_ROW = 1 << 20
"""Bytes of a row."""


class EventReader(JsonSource):
    """Makes rows of events: `id * 100,000 + place` is the number of one."""

    def batches(self, file: str, rows: Iterable[tuple[int, Any, Any, Any]], behind: int) -> Iterator[Batch]:
        """The events of rows of the table: id, key, lines and checksum; those up to a number are left out."""
        yield from self._grouped(file, self._events(file, rows, behind))

    def _events(
        self, file: str, rows: Iterable[tuple[int, Any, Any, Any]], behind: int
    ) -> Iterator[Records | Rejected]:
        layouts = Layouts(self._named)
        for id, _, data, checksum in rows:
            first = id * PLACES + 1
            if not isinstance(data, bytes) or not data:
                yield Rejected(file, first, "not_an_event", f"{type(data).__name__} where bytes should be")
            elif checksum_of(data) != checksum and data != checksum:
                detail, begun = "neither BLAKE2b-256 of the row nor a copy of it", data[:MAX_RAW]
                yield Rejected(file, first, "bad_checksum", detail, begun.decode("utf-8", "backslashreplace"))
            elif len(lines := data.split(b"\n")) >= PLACES:
                yield Rejected(file, first, "too_many_rows", f"{len(lines):,} lines, at most {PLACES - 1:,}")
            else:
                done = max(behind - first + 1, 0)
                yield from self.lines_as_records(layouts, file, first + done, lines[done:], {})

    def _row(self, value: Object) -> Object:
        return value


def checksum_of(data: bytes) -> bytes:
    """BLAKE2b-256 (RFC 7693), as the event bus of AMOSKYS keeps it."""
    return blake2b(data, digest_size=32).digest()

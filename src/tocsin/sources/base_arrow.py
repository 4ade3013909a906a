"""Tables in the form of an Arrow IPC stream, as they come in messages; and what Polars makes of a column.

Source: Apache Arrow, "Arrow Columnar Format" (IPC streaming format) and Message.fbs; FlatBuffers, "Binary format".
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import polars as pl

from tocsin.records import Column
from tocsin.sources.base_files import MAX_COLUMNS, MAX_RAW, BrokenFile

BEGINNING = b"\xff\xff\xff\xff"
"""Of every such stream, and of no text in UTF-8."""
MAX_TEXT = 1 << 25
"""Bytes of all texts of a table: few bytes of a stream can stand for any number of texts."""
_DICTIONARY, _ROWS = 2, 3
"""Kinds of message that have a body."""
_WIDE = (pl.Int128, pl.UInt128, pl.Decimal)
"""Numeric types that numpy has no word for."""
_TEXTS = (pl.String, pl.Categorical, pl.Enum)
_INLINE = 12
"""Bytes of a text that need no buffer behind the views."""


def read_arrow(stream: bytes, most: int) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Columns, each (n,), and the names of those left out because their type cannot be used.

    Parameters
    ----------
    stream
        Its buffers are not compressed: so it holds no more than it seems to.
    most
        Rows that it may have.

    Raises
    ------
    BrokenFile
        If it cannot be read, or exceeds a limit.
    """
    said = list(_said(stream))
    rows = sum(piece for piece, _ in said)
    if rows > most:
        raise BrokenFile("too_many_rows", f"{rows:,} rows, at most {most:,}")
    try:
        frame = pl.read_ipc_stream(io.BytesIO(stream))
        if frame.width > MAX_COLUMNS:
            raise BrokenFile("too_many_columns", f"{frame.width:,} columns, at most {MAX_COLUMNS:,}")
        usable = [series for series in frame if is_usable(series.dtype)]
        texts = [series for series in usable if series.dtype in _TEXTS]
        longest = max((_INLINE, *(buffer for _, buffer in said)))  # no text is longer than the buffer that holds it
        if rows * len(texts) * longest > MAX_TEXT and (size := sum(map(_text_bytes, texts))) > MAX_TEXT:
            raise BrokenFile("too_long", f"texts of {size:,} bytes, at most {MAX_TEXT:,}")
        columns = {series.name: column_of(series) for series in usable}
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BrokenFile("corrupt", str(error)[:MAX_RAW]) from error
    if not frame.height or not columns:
        raise BrokenFile("empty", "no row" if columns else "no column of a type that can be read")
    return columns, tuple(name for name in frame.columns if name not in columns)


def is_usable(dtype: pl.DataType) -> bool:
    """Whether a column of this type can be one of a batch."""
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Date, pl.Datetime, *_TEXTS)


def column_of(series: pl.Series) -> Column:
    """Its values, (n,); a null becomes NaN, NaT or None."""
    return (series.cast(pl.Float64) if series.dtype in _WIDE else series).to_numpy()


def _text_bytes(series: pl.Series) -> int:
    return int(series.cast(pl.String).str.len_bytes().sum())


def _said(stream: bytes) -> Iterator[tuple[int, int]]:
    """The rows of each piece and the bytes of its longest buffer, as its head says.

    Looked at before anything is made of what follows.
    """
    place = 0
    try:
        while place < len(stream):
            beginning, size = struct.unpack_from("<4si", stream, place)
            if beginning != BEGINNING or size < 0:
                raise BrokenFile("corrupt", f"no message of Arrow at byte {place:,}")
            if size == 0:
                return
            head = memoryview(stream)[place + 8 : place + 8 + size]
            message = _Table(head, struct.unpack_from("<I", head)[0])
            kind, body_bytes = message.number(1, "<B"), message.number(3, "<q")
            if body_bytes < 0 or place + 8 + size + body_bytes > len(stream):
                raise BrokenFile("truncated", f"breaks off in the message at byte {place:,}")
            if kind in (_DICTIONARY, _ROWS):
                piece = message.table(2) if kind == _ROWS else message.table(2).table(1)
                if piece.has(3):
                    raise BrokenFile("compressed", "compressed buffers, wanted plain ones")
                yield max(piece.number(0, "<q"), 0), max((size for _, size in piece.pairs(2)), default=0)
            place += 8 + size + body_bytes
    except struct.error:
        raise BrokenFile("truncated", f"breaks off in the message at byte {place:,}") from None


class _Table:
    """A table of FlatBuffers: fields by number, each of them at a place that the table's own list tells."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data = data
        self._place = place
        self._fields = place - struct.unpack_from("<i", data, place)[0]

    def _offset(self, field: int) -> int:
        size = struct.unpack_from("<H", self._data, self._fields)[0]
        at = 4 + 2 * field
        return int(struct.unpack_from("<H", self._data, self._fields + at)[0]) if at < size else 0

    def has(self, field: int) -> bool:
        return self._offset(field) > 0

    def number(self, field: int, form: str) -> int:
        """0 where it is not written."""
        offset = self._offset(field)
        return int(struct.unpack_from(form, self._data, self._place + offset)[0]) if offset else 0

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The structs of two whole numbers in a vector, none where it is not written."""
        offset = self._offset(field)
        if not offset:
            return iter(())
        at = self._place + offset
        at += int(struct.unpack_from("<I", self._data, at)[0])
        end = at + 4 + 16 * int(struct.unpack_from("<I", self._data, at)[0])
        return struct.iter_unpack("<qq", self._data[at + 4 : end])

    def table(self, field: int) -> _Table:
        at = self._place + self._offset(field)
        return _Table(self._data, at + struct.unpack_from("<I", self._data, at)[0])

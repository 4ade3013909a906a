"""Typed rows as bytes and back, with the same bits: what a journal replays and a checkpoint holds back.

A header in JSON names every column with its type and length; numbers follow as they lie in memory, little-endian,
and text as a JSON array.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import orjson

from tocsin.errors import IntegrityError
from tocsin.records import Batch, Column

MAX_HEADER = 1 << 20
_LENGTH = struct.Struct("<I")
_TEXT = "text"
_NUMBERS = frozenset({"<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1", "<u2", "<u4", "<u8"})


def to_bytes(batch: Batch) -> bytes:
    """The columns of a batch; what was rejected is not among them."""
    columns = [(name, *_column(batch[name])) for name in batch]
    header = orjson.dumps([[name, kind, len(data)] for name, kind, data in columns])
    return b"".join([_LENGTH.pack(len(header)), header, *(data for _, _, data in columns)])


def from_bytes(data: bytes) -> Batch:
    """The batch that `to_bytes` wrote; raises IntegrityError if it did not."""
    try:
        (length,) = _LENGTH.unpack_from(data)
        if length > MAX_HEADER:
            raise ValueError(f"a header of {length} bytes")
        header = orjson.loads(data[_LENGTH.size : _LENGTH.size + length])
        place, columns = _LENGTH.size + length, {}
        for name, kind, size in header:
            columns[str(name)] = _restored(kind, data[place : place + size])
            place += size
        if place != len(data):
            raise ValueError(f"{len(data)} bytes where {place} were announced")
        return Batch(columns)
    except (ValueError, TypeError, struct.error) as error:
        raise IntegrityError("rows", str(error), "rows that Tocsin wrote") from error


def _column(column: Column) -> tuple[str, bytes]:
    if column.dtype == object:
        values: list[Any] = column.tolist()
        try:
            return _TEXT, orjson.dumps(values)
        except TypeError:  # half of a surrogate pair, which only the slower one can write
            return _TEXT, json.dumps(values).encode()
    return column.dtype.newbyteorder("<").str, column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes()


def _restored(kind: str, data: bytes) -> Column:
    if kind == _TEXT:
        values = json.loads(data)
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    if kind not in _NUMBERS:
        raise ValueError(f"a column of type {kind!r}")
    return np.frombuffer(data, dtype=kind)

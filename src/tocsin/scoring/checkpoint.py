"""Where a stream stands, as one file: what its features, its order and its policy remember, and how far it has read.

====================  =============================================================
magic                 12 bytes
lengths               of header, rows held back and keys, uint64 each
header                JSON: position, sequence, tally, model, policy, order
rows, keys            see `tocsin.journal.rows_as_bytes`, `tocsin.sources.base.Intake`
hash                  SHA-256 of all before it
state                 see `tocsin.kernel.checkpoint`, with a hash of its own
====================  =============================================================

It is written beside the old one and takes its name when all of it lies on the disk: killed at any moment, there is an
old one or a new one. Like the kernel's, its hash finds damage, not forgery.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from tocsin.errors import IntegrityError, NoRoom
from tocsin.journal.rows_as_bytes import from_bytes, to_bytes
from tocsin.journal.stored import position_of, position_text
from tocsin.kernel.checkpoint import read as read_state
from tocsin.kernel.checkpoint import replacing
from tocsin.kernel.checkpoint import write as write_state
from tocsin.observe import live
from tocsin.records import Batch, Position
from tocsin.scoring.isolation import Isolation
from tocsin.scoring.scorer import Scorer
from tocsin.storage.local import flush_folder

MAX_PART = 1 << 30
"""Bytes of header, rows or keys."""
_MAGIC = b"tocsin.strm1"
_LENGTHS = struct.Struct("<12sQQQ")
_HASH_BYTES = 32
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything but the model and the state of its features."""

    sequence: int
    """Of the last commit whose rows went in."""
    position: Position | None
    tally: Mapping[str, Any]
    model: str
    """Its digest."""
    version: int
    """Under which it is registered."""
    policy: Mapping[str, Any]
    order: Mapping[str, Any] | None
    held: Batch
    keys: bytes
    state_at: int
    """Where in the file the state of the features begins."""
    failing: int = 0
    """How many of the last rows could not be scored, one after the other."""


def write(path: Path, scorer: Scorer, about: Mapping[str, Any], position: Position | None, keys: bytes) -> int:
    """Write down where a stream stands; returns the size of the file in bytes.

    Parameters
    ----------
    path
        The file, which is replaced.
    scorer
        At rest.
    about
        `sequence`, `tally`, `model`, `version` and `failing` of a `Checkpoint`.
    position, keys
        Where the source goes on, and what its rows were known by.

    Raises
    ------
    NoRoom
        If there is none on the disk; the old one is still there.
    """
    order = scorer.order
    held = to_bytes(order.held) if order is not None else b""
    header = orjson.dumps(
        {
            **about,
            "position": None if position is None else position_text(position),
            "policy": scorer.policy.state(),
            "order": None if order is None else order.state(),
        }
    )
    parts = (_LENGTHS.pack(_MAGIC, len(header), len(held), len(keys)), header, held, keys)
    try:
        return _written(path, parts, scorer)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoRoom(str(path), f"no room to write it ({error})", "free space") from error


def _written(path: Path, parts: Sequence[bytes], scorer: Scorer) -> int:
    with replacing(path) as file:
        total = hashlib.sha256()
        for part in parts:
            total.update(part)
            file.write(part)
        file.write(total.digest())
        write_state(scorer.state, file)
        file.flush()
        os.fsync(file.fileno())
        size = file.tell()
    flush_folder(path.parent)
    return size


def read(path: Path) -> Checkpoint | None:
    """What a checkpoint says; None if there is none.

    Raises
    ------
    IntegrityError
        If it is damaged.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise _damaged(path, str(error)) from error


def recover(path: Path, scorer: Scorer, digest: str) -> Checkpoint | None:
    """Bring a scorer, whose model has this digest, to where a stream stood; None if nothing tells.

    What its features remember is of these features, of this kernel's arithmetic, and has a hash of its own: where it is
    refused, as after an upgrade, they begin anew, and rows held back, open episodes and keys are taken up all the same.
    """
    try:
        checkpoint = read(path)
        if checkpoint is None:
            return None
        _restore(checkpoint, scorer, same=checkpoint.model == digest)
    except IntegrityError as error:
        live.checkpoint_refused(error.problem.got)
        return None
    try:
        with path.open("rb") as file:
            file.seek(checkpoint.state_at)
            size = path.stat().st_size - checkpoint.state_at
            scorer.state = read_state(scorer.model.kernel, file, size, str(path))
    except IntegrityError as error:
        live.checkpoint_refused(error.problem.got)
    return checkpoint


def _restore(checkpoint: Checkpoint, scorer: Scorer, *, same: bool) -> None:
    """A budget controller is of its model."""
    scorer.policy.restore(checkpoint.policy if same else {**checkpoint.policy, "controller": None})
    if checkpoint.failing and same:
        scorer.isolation = Isolation(scorer.model.design.schema.time, checkpoint.failing)
    if scorer.order is not None and checkpoint.order is not None:
        scorer.order.restore(checkpoint.order, checkpoint.held)


def _read(file: BinaryIO, path: Path) -> Checkpoint:
    start = file.read(_LENGTHS.size)
    magic, *lengths = _LENGTHS.unpack(start)
    if magic != _MAGIC or max(lengths) > MAX_PART:
        raise _damaged(path, "another format")
    parts = [file.read(length) for length in lengths]
    if hashlib.sha256(b"".join([start, *parts])).digest() != file.read(_HASH_BYTES):
        raise _damaged(path, "a hash that does not fit")
    header, held, keys = parts
    values = orjson.loads(header)
    return Checkpoint(
        **values | {"position": position_of(values["position"])},
        held=from_bytes(held) if held else Batch({}),
        keys=keys,
        state_at=file.tell(),
    )


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(str(path), why, "a checkpoint that Tocsin wrote")

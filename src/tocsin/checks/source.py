"""What every source must hold to: each check is given a class and an empty folder, and raises AssertionError.

A source under test writes a small example of its own, with a broken row or file where its format allows one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from tocsin.checks.part import require
from tocsin.component import build
from tocsin.errors import TocsinError
from tocsin.records import FILE, ROW, Batch, Position
from tocsin.schema import Field, Schema
from tocsin.sources.base import Intake, Source

_PATIENCE = 100
"""Reads in a row that may give nothing, after which an example must have ended."""


@contextmanager
def _opened(source: Source, resume: Position | None = None) -> Iterator[Source]:
    source.open(resume)
    try:
        yield source
    finally:
        source.close()


def _read(source: Source) -> Iterator[Batch]:
    empty = 0
    while empty < _PATIENCE:
        if source.ended:
            return
        batch = source.read(0.1)
        empty = 0 if batch is not None else empty + 1
        if batch is not None:
            yield batch
    raise AssertionError(f"not ended after {_PATIENCE} reads that gave nothing")


def batches_of(source: Source, resume: Position | None = None) -> list[Batch]:
    """All that a source gives, opened and closed again."""
    with _opened(source, resume):
        return list(_read(source))


def _rows(batches: list[Batch]) -> list[dict[str, Any]]:
    """Rows as mappings; a missing number equals a missing number, an absent column an absent value."""
    return [
        {name: repr(value) for name, value in zip(batch, row, strict=True) if value is not None}
        for batch in batches
        for row in zip(*(column.tolist() for column in batch.values()), strict=True)
    ]


def _form(batches: list[Batch]) -> list[tuple[int, list[str]]]:
    return [(batch.rows, sorted(batch)) for batch in batches]


def _refused(batches: list[Batch]) -> list[tuple[str, int, str]]:
    return [(item.file, item.row, item.reason) for batch in batches for item in batch.rejected]


def _schema(batches: list[Batch]) -> Schema:
    names = {name for batch in batches for name in batch if not name.startswith("_")}
    return Schema(fields={name: Field(dtype="category", optional=True) for name in names})


def every_row_says_where_it_was_read(kind: type[Source], folder: Path) -> None:
    """`_file` is text, `_row` counts up from 1 within a file, and both are on every batch."""
    batches = batches_of(kind.example(folder))
    require(sum(batch.rows for batch in batches) > 0, "the example gives no row")
    last: dict[str, int] = {}
    for batch in batches:
        require(FILE in batch and ROW in batch, f"a batch without _file or _row: {batch!r}")
        require(batch[ROW].dtype == np.int64, f"_row is {batch[ROW].dtype}, wanted int64")
        require(len(set(batch[FILE].tolist())) <= 1, "a batch of two files")
        for file, row in zip(batch[FILE].tolist(), batch[ROW].tolist(), strict=True):
            require(isinstance(file, str) and row > last.get(file, 0), f"row {row} of {file!r} behind {last}")
            last[file] = row


def no_row_is_lost_uncounted(kind: type[Source], folder: Path) -> None:
    """Received = passed on + quarantined, with a schema that any text fits."""
    source = kind.example(folder)
    batches = batches_of(source)
    intake = Intake(source, _schema(batches))
    passed_on = sum(batch.rows for batch in intake)
    tally = intake.tally
    require(tally.passed_on == passed_on == sum(batch.rows for batch in batches), f"rows were lost: {tally}")
    require(tally.received == tally.passed_on + tally.quarantined, f"rows do not add up: {tally}")
    require(sum(tally.reasons.values()) == len(_refused(batches)), f"reasons do not add up: {tally}")
    require(all(reason.isidentifier() for reason in tally.reasons), f"reasons that are no words: {tally.reasons}")


def it_ends(kind: type[Source], folder: Path) -> None:
    """After the last row nothing more comes, however often it is asked."""
    with _opened(kind.example(folder)) as source:
        for _ in _read(source):
            pass
        require(source.read(0.0) is None and source.ended, "a source gave more after its end")


def it_resumes_behind_what_was_acknowledged(kind: type[Source], folder: Path) -> None:
    """Whichever batch was the last one acknowledged, the rows before and after it are all rows, once each."""
    example = kind.example(folder)
    for stop in range(1, len(batches_of(example)) + 1):
        source = kind(**example.parameters())
        whole = _rows(batches_of(source))
        before, position = [], None
        with _opened(source):
            for batch, _ in zip(_read(source), range(stop), strict=False):
                position = source.acknowledge(batch)
                before.append(batch)
        after = batches_of(source, position)
        require(_rows(before) + _rows(after) == whole, f"resuming at {position} loses or repeats rows")


def what_was_not_acknowledged_comes_again(kind: type[Source], folder: Path) -> None:
    """A source that is closed between read and acknowledge gives the batch once more."""
    source = kind.example(folder)
    with _opened(source):
        lost = next(_read(source))
    require(_rows([lost]) == _rows(batches_of(source)[:1]), "a batch that nobody acknowledged is gone")


def equal_parameters_read_equal_rows(kind: type[Source], folder: Path) -> None:
    """A second instance, built from the first one's spec, reads the same; what happens once, has the same form."""
    first = kind.example(folder)
    second = build("sources", first.spec())
    require(isinstance(second, Source) and second.parameters() == first.parameters(), "the spec gives another part")
    one, other = batches_of(first), batches_of(cast("Source", second))
    require(_form(one) == _form(other), "equal parameters, other columns or another number of rows")
    if kind.replayable:
        require(_rows(one) == _rows(other) and _refused(one) == _refused(other), "equal parameters, other rows")


def it_opens_and_closes_at_any_time(kind: type[Source], folder: Path) -> None:
    """Closing twice or unopened is harmless, reading while closed is an error, and a closed source opens again."""
    source = kind.example(folder)
    source.close()
    whole = batches_of(source)
    source.close()
    try:
        source.read(0.0)
    except TocsinError:
        pass
    else:
        raise AssertionError("a closed source could be read")
    require(_rows(batches_of(source)) == _rows(whole), "another opening, other rows")


CHECKS: tuple[Callable[[type[Source], Path], None], ...] = (
    every_row_says_where_it_was_read,
    no_row_is_lost_uncounted,
    it_ends,
    it_resumes_behind_what_was_acknowledged,
    what_was_not_acknowledged_comes_again,
    equal_parameters_read_equal_rows,
    it_opens_and_closes_at_any_time,
)

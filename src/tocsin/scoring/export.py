"""Scores as a CSV file, a line per row."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from tocsin.errors import DataError
from tocsin.evaluation.predictions import iso_times, safe_texts
from tocsin.records import GENERATED, origins
from tocsin.schema import Schema
from tocsin.scoring.scorer import Scored

COLUMNS = ("time", "entity", "score", "p_value", "flagged", "state", "origin", GENERATED)


class ScoresFile:
    """Written batch by batch beside its place, as `<name>.part`, and put there only when all went well and had rows.

    Entities are pseudonyms: a file is easily sent on. `tocsin_generated` is the same in every line, and true if any
    batch was generated.

    Parameters
    ----------
    path
        A name that is not taken; None takes everything and writes nothing.

    Raises
    ------
    DataError
        If there is something under that name, or under the name of its part.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._generated: set[bool] = set()
        if path is not None:
            self._part = path.with_name(f"{path.name}.part")
            _refuse_taken(path)

    def __enter__(self) -> Self:
        if self._path is not None:
            _refuse_taken(self._part, "left by a run that was killed: remove it")
            self._file = self._part.open("x", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(COLUMNS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is None or self._path is None:
            return
        try:
            with self._file as file:
                if kind is None:
                    file.flush()
                    if len(self._generated) > 1:
                        _mark_all(self._part)
                    os.fsync(file.fileno())
            if kind is None and self._generated:
                _refuse_taken(self._path)
                self._part.rename(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, scored: Scored, schema: Schema) -> None:
        """Append the rows of a scored batch."""
        if self._file is None:
            return
        self._generated.add(scored.generated)
        batch, scores = scored.batch, scored.scores
        blank = [""] * batch.rows
        columns: list[list[object]] = [
            list(iso_times(batch[schema.time])) if schema.time else list(blank),
            safe_texts(batch[schema.entity]) if schema.entity else list(blank),
            scores.score.tolist(),
            scores.p_value.tolist(),
            scores.flagged.astype(int).tolist(),
            scores.state.tolist(),
            safe_texts(origins(batch)),
            [str(scored.generated).lower()] * batch.rows,
        ]
        csv.writer(self._file).writerows(zip(*columns, strict=True))


def _mark_all(part: Path) -> None:
    """Say of the rows before the first generated ones that they are of the same run."""
    with part.open("rb") as lines, part.open("r+b") as shorter:
        for line in lines:  # a line is never written beyond where it was read
            shorter.write(line.removesuffix(b"false\r\n") + b"true\r\n" if line.endswith(b",false\r\n") else line)
        shorter.truncate()


def _refuse_taken(path: Path, hint: str = "choose another name; telemetry is never replaced in silence") -> None:
    if path.exists() or path.is_symlink():
        raise DataError(str(path), "a file that exists already", "a new name", hint)

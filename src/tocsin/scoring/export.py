"""Scores as a CSV file, a line per row."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from tocsin.evaluation.predictions import iso_times, safe_texts
from tocsin.records import FILE, GENERATED, ROW
from tocsin.schema import Schema
from tocsin.scoring.scorer import Scored

COLUMNS = ("time", "entity", "score", "p_value", "flagged", "state", "origin")


class ScoresFile:
    """Written batch by batch; with no path it takes everything and writes nothing.

    Entities are pseudonyms: a file is easily sent on.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else path.open("w", encoding="utf-8", newline="")
        self._writer = None if self._file is None else csv.writer(self._file)
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, scored: Scored, schema: Schema) -> None:
        """Append the rows of a scored batch."""
        if self._writer is None:
            return
        if not self._begun:
            self._writer.writerow([*COLUMNS, GENERATED] if scored.generated else COLUMNS)
            self._begun = True
        batch, scores = scored.batch, scored.scores
        blank = [""] * batch.rows
        columns: list[list[object]] = [
            list(iso_times(batch[schema.time])) if schema.time else list(blank),
            safe_texts(batch[schema.entity]) if schema.entity else list(blank),
            scores.score.tolist(),
            scores.p_value.tolist(),
            scores.flagged.astype(int).tolist(),
            scores.state.tolist(),
            safe_texts(batch[FILE] + ":" + batch[ROW].astype(str).astype(object)),
        ]
        if scored.generated:
            columns.append(["true"] * batch.rows)
        self._writer.writerows(zip(*columns, strict=True))

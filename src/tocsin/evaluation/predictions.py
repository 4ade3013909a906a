"""One line per scored row, as a CSV file that a spreadsheet can open without running anything from it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import visible
from tocsin.evaluation.evidence import Evidence
from tocsin.records import GENERATED, Column, Times

COLUMNS = (
    "time",
    "entity",
    "true_label",
    "predicted_label",
    "anomaly_score",
    "p_value",
    "state",
    "correct",
    "origin",
)
FORMULA_STARTS = ("=", "+", "-", "@")
"""A spreadsheet takes a text that begins so for a formula."""
CHUNK = 65_536


def write_predictions(evidence: Evidence, path: Path) -> None:
    """Write what the model said of every row.

    Labels are 1 anomaly, 0 normal, empty unknown; times are ISO 8601 in UTC; `correct` is empty where the label is.
    Generated data carries one more column, `tocsin_generated`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, GENERATED] if evidence.generated else COLUMNS)
        for start in range(0, len(evidence.origins), CHUNK):
            writer.writerows(_lines(evidence, slice(start, start + CHUNK)))


def _lines(evidence: Evidence, piece: slice) -> list[tuple[object, ...]]:
    scores, truth = evidence.scores, evidence.truth[piece]
    predicted = scores.flagged[piece].astype(np.int8)
    rows = len(truth)
    columns: list[list[object]] = [
        [""] * rows if evidence.times is None else list(iso_times(evidence.times[piece])),
        [""] * rows if evidence.entities is None else safe_texts(evidence.entities[piece]),
        ["" if label < 0 else label for label in truth.tolist()],
        predicted.tolist(),
        scores.score[piece].tolist(),
        scores.p_value[piece].tolist(),
        safe_texts(scores.state[piece]),
        [
            "" if label < 0 else "true" if right else "false"
            for label, right in zip(truth, truth == predicted, strict=True)
        ],
        safe_texts(evidence.origins[piece]),
    ]
    if evidence.generated:
        columns.append(["true"] * rows)
    return list(zip(*columns, strict=True))


def safe_texts(texts: Column) -> list[object]:
    """Texts that no spreadsheet takes for a formula and no terminal obeys."""
    shown = [visible(str(text)) for text in texts.tolist()]
    return [f"'{text}" if text.startswith(FORMULA_STARTS) else text for text in shown]


def iso_times(times: Times) -> list[str]:
    """UTC microseconds -> ISO 8601 with a Z; fractions of a second only where one of the times has them."""
    unit: Literal["us", "s"] = "us" if (times % 1_000_000).any() else "s"
    moments: NDArray[np.datetime64] = times.astype("datetime64[us]")
    return [f"{text}Z" for text in np.datetime_as_string(moments, unit=unit).tolist()]

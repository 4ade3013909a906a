from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tocsin.evaluation.evidence import Evidence
from tocsin.evaluation.predictions import COLUMNS, iso_times, write_predictions
from tocsin.records import GENERATED

Make = Callable[..., Evidence]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_row_is_written_with_what_was_said_and_what_is_true(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    write_predictions(evidence, tmp_path / "predictions.csv")
    rows = _read(tmp_path / "predictions.csv")
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 400
    assert rows[0]["time"] == "2023-11-14T22:13:20Z"
    assert [float(row["anomaly_score"]) for row in rows] == evidence.scores.score.tolist()
    for row in rows:
        assert row["correct"] == ("true" if row["true_label"] == row["predicted_label"] else "false")
    assert {row["true_label"] for row in rows} == {"0", "1"}
    assert (rows[7]["origin"], rows[7]["entity"], rows[7]["state"]) == ("flows.csv:9", "host-1", "ready")


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_text_that_a_spreadsheet_would_run_is_defused(make_evidence: Make, tmp_path: Path, start: str) -> None:
    entities = np.full(400, f"{start}cmd|'/c calc'!A0", dtype=object)
    write_predictions(make_evidence(entities=entities), tmp_path / "predictions.csv")
    assert _read(tmp_path / "predictions.csv")[0]["entity"] == f"'{start}cmd|'/c calc'!A0"


def test_control_characters_are_written_as_escapes(make_evidence: Make, tmp_path: Path) -> None:
    entities = np.full(400, "\t=1\x1b[2J\r\n\udcff", dtype=object)
    write_predictions(make_evidence(entities=entities), tmp_path / "predictions.csv")
    assert _read(tmp_path / "predictions.csv")[0]["entity"] == r"\t=1\x1b[2J\r\n\udcff"


def test_negative_scores_stay_numbers(make_evidence: Make, tmp_path: Path) -> None:
    evidence = make_evidence()
    scores = replace(evidence.scores, score=-evidence.scores.score)
    write_predictions(replace(evidence, scores=scores), tmp_path / "predictions.csv")
    assert [float(row["anomaly_score"]) for row in _read(tmp_path / "predictions.csv")] == scores.score.tolist()


def test_what_is_unknown_stays_empty(make_evidence: Make, tmp_path: Path) -> None:
    write_predictions(make_evidence(labels=None, times=None, entities=None), tmp_path / "predictions.csv")
    row = _read(tmp_path / "predictions.csv")[0]
    assert (row["time"], row["entity"], row["true_label"], row["correct"]) == ("", "", "", "")
    assert row["predicted_label"] in {"0", "1"}


def test_generated_data_says_so_in_every_line(make_evidence: Make, tmp_path: Path) -> None:
    write_predictions(make_evidence(generated=True), tmp_path / "predictions.csv")
    assert {row[GENERATED] for row in _read(tmp_path / "predictions.csv")} == {"true"}


def test_times_keep_their_microseconds() -> None:
    assert iso_times(np.array([1_500_000, -1])) == ["1970-01-01T00:00:01.500000Z", "1969-12-31T23:59:59.999999Z"]

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tocsin.errors import DataError
from tocsin.kernel.run import FeatureMatrix
from tocsin.records import FILE, GENERATED, ROW, Batch, Scores
from tocsin.schema import Schema
from tocsin.scoring.export import COLUMNS, ScoresFile
from tocsin.scoring.scorer import Scored

SCHEMA = Schema.model_validate({"entity": "host", "fields": {"host": {"dtype": "category"}}})


def scored(host: str = "a", *, generated: bool = False) -> Scored:
    batch = Batch(
        {"host": np.array([host] * 2, dtype=object), FILE: np.array(["f.csv"] * 2, dtype=object), ROW: np.arange(1, 3)}
    )
    state = np.array(["ready"] * 2, dtype=object)
    scores = Scores(np.array([1.0, -2.0]), np.array([0.5, 0.01]), np.array([False, True]), state)
    return Scored(batch, FeatureMatrix(np.zeros((2, 1)), np.ones(2, dtype=bool)), scores, (), generated)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with ScoresFile(path) as lines:
        lines.write(scored("=a\x1b"), SCHEMA)
        lines.write(scored(), SCHEMA)
        assert list(tmp_path.iterdir()) == [tmp_path / "scores.csv.part"]
    assert list(tmp_path.iterdir()) == [path]
    assert [row["entity"] for row in rows(path)] == [r"'=a\x1b"] * 2 + ["a"] * 2
    assert [row["origin"] for row in rows(path)[:2]] == ["f.csv:1", "f.csv:2"]


def test_without_a_row_there_is_no_file(tmp_path: Path) -> None:
    with ScoresFile(tmp_path / "scores.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ends", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_failed(ends: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(ends), ScoresFile(tmp_path / "scores.csv") as lines:  # noqa: PT012  # it fails after a write
        lines.write(scored(), SCHEMA)
        raise ends
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"), [("scores.csv", "never replaced in silence"), ("scores.csv.part", "a run that was killed")]
)
def test_a_name_that_is_taken_is_refused_and_the_file_untouched(name: str, why: str, tmp_path: Path) -> None:
    taken = tmp_path / name
    taken.write_text("telemetry", "utf-8")
    with pytest.raises(DataError, match=why), ScoresFile(tmp_path / "scores.csv") as lines:
        lines.write(scored(), SCHEMA)
    assert taken.read_text("utf-8") == "telemetry"
    assert list(tmp_path.iterdir()) == [taken]


def test_a_link_to_nowhere_and_a_name_taken_meanwhile_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with pytest.raises(DataError), ScoresFile(path) as lines:  # noqa: PT012  # refused at the end of the block
        lines.write(scored(), SCHEMA)
        path.write_text("telemetry", "utf-8")
    assert path.read_text("utf-8") == "telemetry"
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError):
        ScoresFile(tmp_path / "link.csv")


@pytest.mark.parametrize(
    ("batches", "said"), [([False], "false"), ([True], "true"), ([False, True, False], "true"), ([True, False], "true")]
)
def test_every_line_says_whether_the_run_was_generated(batches: list[bool], said: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with ScoresFile(path) as lines:
        for generated in batches:
            lines.write(scored("x,false", generated=generated), SCHEMA)
    assert tuple(rows(path)[0]) == COLUMNS
    assert [row[GENERATED] for row in rows(path)] == [said] * 2 * len(batches)
    assert {row["entity"] for row in rows(path)} == {"x,false"}


def test_without_a_name_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ScoresFile(None) as lines:
        lines.write(scored(), SCHEMA)
    assert list(tmp_path.iterdir()) == []

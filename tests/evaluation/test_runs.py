"""A run folder appears whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

from tocsin.evaluation.runs import appearing, new_run, runs, write_documents

MOMENT = datetime(2026, 1, 5, 12, 0, 0, 7_000, tzinfo=UTC)


def test_a_run_is_named_after_project_moment_and_model(tmp_path: Path) -> None:
    assert new_run(tmp_path, "edge", MOMENT, "0123456789").name == "edge-20260105T120000.007-01234567"


def test_two_runs_of_one_moment_have_two_folders(tmp_path: Path) -> None:
    for _ in range(3):
        with appearing(new_run(tmp_path, "edge", MOMENT, "0123456789")) as folder:
            write_documents(folder, {"report": {"a": 1}})
    assert len(runs(tmp_path, "edge")) == 3


def test_a_run_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), appearing(new_run(tmp_path, "edge", MOMENT, "0123456789")) as folder:
        write_documents(folder, {"report": {"a": 1}})
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_runs_of_another_project_are_not_counted(tmp_path: Path) -> None:
    for name in ("edge", "edge-two", "edge-2"):
        with appearing(new_run(tmp_path, name, MOMENT, "0123456789")):
            pass
    assert [folder.name.partition("-2026")[0] for folder in runs(tmp_path, "edge")] == ["edge"]
    assert runs(tmp_path / "nowhere", "edge") == []


def test_documents_are_json(tmp_path: Path) -> None:
    write_documents(tmp_path, {"inputs": {"test": None}})
    assert orjson.loads((tmp_path / "inputs.json").read_bytes()) == {"test": None}

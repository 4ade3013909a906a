"""`tocsin tune`, by its command line: what it says, what it writes, and what is left when it is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tocsin.config import load
from tocsin.system import Project

Run = Callable[..., CompletedProcess[str]]

CLIPPED = "preparation: {clip: 0.2}\nsplit: {train: 0.7, calibration: 0.25}\n"
SEARCH = "tune: {sampler: grid, folds: 2, search: {preparation.clip: [null, 0.2]}}\n"
LONG = "tune: {sampler: grid, folds: 1, search: {detector.min_scale: {low: 1, high: 60, step: 1}}}\n"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "tuning").glob("*.yaml"))
STUDY = Path(".tocsin", "tune.db")
SAID = re.compile(r"Trial finished\..*number=(\d+) value=(\S+)")


def tuned(tocsin: Run, *words: str | Path) -> dict[str, Any]:
    done = tocsin("tune", "--workers", "1", "--json", *words)
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def trials() -> dict[int, float]:
    with sqlite3.connect(STUDY) as study:
        rows = study.execute(
            "SELECT number, value FROM trials JOIN trial_values USING (trial_id) WHERE state = 'COMPLETE'"
        )
        return dict(rows.fetchall())


def test_a_gain_is_written_into_a_config_that_trains(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(more=CLIPPED + SEARCH)
    found = tuned(tocsin, "--write", "better.yaml")
    assert found["objective"] == "recall of injected anomalies at the budget"
    assert found["gained"]
    assert found["untouched"]["after"] > found["untouched"]["before"]
    assert found["config"] == {"preparation": {"clip": None}}
    assert yaml.safe_load(Path("better.yaml").read_text("utf-8"))["preparation"] == {"clip": None}
    assert load(Path("better.yaml")).detector == load(Path("tocsin.yaml")).detector
    assert tocsin("-c", "better.yaml", "check").returncode == 0
    again = tocsin("tune", "--write", "better.yaml")
    assert (again.returncode, "better.yaml exists already" in again.stderr) == (2, True)


def test_no_gain_is_said_and_nothing_is_written(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(more=CLIPPED.replace("clip: 0.2", "clip: 90") + SEARCH)
    done = tocsin("tune", "--workers", "1", "--write", "better.yaml")
    assert done.returncode == 0
    assert "No gain: leave the config as it is." in done.stdout
    assert not Path("better.yaml").exists()


def test_a_finished_search_is_told_again_and_goes_on_when_more_is_asked(
    configure: Callable[..., Path], tocsin: Run
) -> None:
    drawn = "tune: {trials: 3, folds: 1, search: {detector.min_scale: {low: 0.1, high: 9, log: true}}}\n"
    configure(more=drawn)
    first = tuned(tocsin)
    known = trials()
    assert tuned(tocsin)["values"] == first["values"]
    configure(more=drawn.replace("trials: 3", "trials: 5"))
    assert tuned(tocsin)["trials"] == 5
    assert known.items() <= trials().items()


@pytest.mark.parametrize(
    ("change", "what"),
    [(("budget: 1%", "budget: 2%"), "config"), (("data/*.csv", "data/rows*.csv"), "")],
)
def test_a_study_of_another_config_is_not_gone_on_with(
    change: tuple[str, str], what: str, configure: Callable[..., Path], tocsin: Run
) -> None:
    configure(more=SEARCH)
    tuned(tocsin)
    configure(change, more=SEARCH)
    done = tocsin("tune", "--workers", "1")
    assert done.returncode == (1 if what else 0)
    if what:
        assert f"got a study of another {what}, wanted one that can be gone on with" in done.stderr
        assert "Hint: tocsin tune --anew puts it aside and begins again" in done.stderr
        tuned(tocsin, "--anew")
        assert STUDY.with_suffix(".db.aside").exists()


def test_a_study_of_other_rows_is_not_gone_on_with(
    site: Path, configure: Callable[..., Path], lines: list[str], tocsin: Run
) -> None:
    configure(more=SEARCH)
    tuned(tocsin)
    (site / "data" / "rows.csv").write_text("\n".join(lines[:-100]) + "\n", "utf-8")
    done = tocsin("tune", "--workers", "1")
    assert (done.returncode, "a study of another history" in done.stderr) == (1, True)


def test_a_study_of_another_version_is_refused_with_the_next_step(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(more=SEARCH)
    tuned(tocsin)
    with sqlite3.connect(STUDY) as study:
        (text,) = study.execute("SELECT value_json FROM study_user_attributes WHERE key = 'tocsin'").fetchone()
        older = json.dumps(json.loads(text) | {"version of Tocsin": "0.0.1"})
        study.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'tocsin'", (older,))
    done = tocsin("tune", "--workers", "1")
    assert done.returncode == 1
    assert "got a study of another version of Tocsin" in done.stderr
    with sqlite3.connect(STUDY) as study:
        study.execute("UPDATE alembic_version SET version_num = 'v9.9.9.z'")
        study.execute("UPDATE version_info SET schema_version = 99, library_version = '99.0.0'")
    done = tocsin("tune", "--workers", "1")
    assert done.returncode == 1
    assert "cannot read or write as a study" in done.stderr
    STUDY.write_bytes(b"no database at all")
    done = tocsin("tune", "--workers", "1")
    assert (done.returncode, "tocsin tune --anew" in done.stderr) == (1, True)
    tuned(tocsin, "--anew")


def test_two_searches_at_once_are_one_too_many(configure: Callable[..., Path], tocsin: Run) -> None:
    import fcntl

    configure(more=SEARCH)
    tuned(tocsin)
    with STUDY.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = tocsin("tune", "--workers", "1")
    assert (done.returncode, "a study that another process is at" in done.stderr) == (1, True)


def test_without_a_search_the_config_is_at_fault(site: Path, tocsin: Run) -> None:
    done = tocsin("tune")
    assert done.returncode == 2
    assert "Hint: for example tune: {search: {detector.trees: [50, 100, 200]}}" in done.stderr


def test_killed_three_times_a_search_has_lost_no_finished_trial(configure: Callable[..., Path]) -> None:
    configure(more=LONG)
    said: dict[int, float] = {}
    for lines_before_the_kill in (1, 7, 4):
        said |= killed_after(lines_before_the_kill)
        there = trials()
        assert {number: there.get(number) for number in said} == pytest.approx(said, rel=1e-12)
    killed_after(None)
    assert set(trials()) == set(range(60))
    assert {number: trials()[number] for number in said} == pytest.approx(said, rel=1e-12)


def killed_after(trials: int | None) -> dict[int, float]:
    """What a search of two workers said it had finished when it was killed behind so many trials, or had ended."""
    words = [sys.executable, "-c", "from tocsin.cli import main; main()", "tune", "--workers", "2", "--json"]
    found: dict[int, float] = {}
    with subprocess.Popen(
        words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as search:
        assert search.stderr is not None
        for line in search.stderr:  # it ends when the last process does that writes there: no worker is left behind
            if match := SAID.search(line):
                found[int(match[1])] = float(match[2])
            if trials is not None and len(found) == trials:
                search.send_signal(signal.SIGKILL)
    assert search.returncode == (0 if trials is None else -signal.SIGKILL)
    return found


def test_columns_that_a_training_set_aside_stay_aside_in_the_model(configure: Callable[..., Path], tocsin: Run) -> None:
    twice = "columns: [bytes, packets], derive: [{type: log_scale, columns: [packets]}], keep: auto"
    configure(("columns: [bytes, packets]", twice))
    trained = json.loads(tocsin("train", "--no-plots", "--json").stdout)
    config = load(Path("tocsin.yaml"))
    model, version = Project(config).model()
    assert version.digest == trained["model"]
    assert set(model.program.outputs) | set(model.design.features.aside) == {"bytes", "packets", "log_packets"}
    assert not set(model.program.outputs) & set(model.design.features.aside)
    again = json.loads(tocsin("train", "--no-plots", "--json").stdout)
    assert again["model"] == trained["model"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_founding_grid_runs(example: Path, folder: Path, tocsin: Run) -> None:
    text = example.read_text("utf-8").replace("days: 7", "days: 2").replace("folds: 3", "folds: 1")
    (folder / "tocsin.yaml").write_text(text.replace("step: 25", "step: 75"), "utf-8")
    found = tuned(tocsin)
    assert found["generated"]
    assert found["trials"] == {"mnemosyne": 18, "helios": 9}[example.stem]
    assert found["refused"] == 0


def test_a_study_that_is_damaged_within_is_refused(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(more=CLIPPED + SEARCH)
    tuned(tocsin)
    with sqlite3.connect(STUDY) as study:
        study.execute("UPDATE trial_params SET param_value = 77")
    done = tocsin("tune", "--workers", "1")
    assert done.returncode == 1
    assert "cannot read or write as a study" in done.stderr
    assert "--anew" in done.stderr

"""Metrics that nobody has named, from the command line: found in training, and asked for by name ever after."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tocsin.annotations import read_windows

Call = Callable[..., CompletedProcess[str]]

CONFIG = """\
version: 1
name: metrics
preset: hosts/metrics
source: {type: csv, path: train.csv}
alerts: {budget: 1%}
gate: {roc_auc: null}
sinks: [{type: jsonl, path: alerts.jsonl}]
"""


@pytest.fixture
def folder(folder: Path, rng: np.random.Generator) -> Path:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    write(folder / "train.csv", rng.normal(50, 5, (1_500, 2)))
    return folder


def write(path: Path, values: np.ndarray, names: tuple[str, ...] = ("cpu", "if/0 octets")) -> None:
    start = np.datetime64("2026-01-05T00:00:00")
    lines = [",".join(["time", *names])]
    lines += [f"{start + 60 * row}Z,{','.join(f'{value:.3f}' for value in line)}" for row, line in enumerate(values)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def test_columns_are_found_trained_on_and_scored(folder: Path, tocsin: Call, rng: np.random.Generator) -> None:
    assert tocsin("check").returncode == 0
    assert tocsin("data", "validate").returncode == 0
    done = tocsin("train", "--promote", "--no-plots", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    values = rng.normal(50, 5, (200, 2))
    values[150:160, 1] = 500.0
    write(folder / "new.csv", values)
    assert tocsin("score", "new.csv").returncode == 0
    alerts = [json.loads(line) for line in (folder / "alerts.jsonl").read_text().splitlines()]
    assert any(reason["feature"].startswith("if/0 octets") for alert in alerts for reason in alert["reasons"])


def test_a_column_under_another_name_is_missed_and_nothing_is_filled_in(
    folder: Path, tocsin: Call, rng: np.random.Generator
) -> None:
    tocsin("train", "--promote", "--no-plots")
    write(folder / "renamed.csv", rng.normal(50, 5, (50, 2)), ("cpu", "if/0_octets"))
    done = tocsin("score", "renamed.csv")
    assert done.returncode == 1
    assert "no column 'if/0 octets'" in done.stderr


def test_a_real_router_scored_by_the_model_of_another_experiment(data: Path, folder: Path, tocsin: Call) -> None:
    """The other router lacks 416 of the 875 columns: all rows are set aside for a reason, none is filled in."""
    first, other = (data / "cisco_telemetry" / f"{name}_first.csv.gz" for name in ("leaf1bgpclear", "leaf5portflap"))
    text = (
        CONFIG.replace("train.csv", str(first)).replace("hosts/metrics", "hosts/routers")
        + "schema: {leave_out: [column_1]}\ndetector: {trees: 20}\n"
    )
    (folder / "tocsin.yaml").write_text(text, "utf-8")
    done = tocsin("train", "--promote", "--no-plots", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    done = tocsin("score", other, "--json")
    assert done.returncode == 1
    assert "no column" in json.loads(done.stdout)["error"]["got"]


def test_windows_may_be_written_in_any_zone_that_says_so(tmp_path: Path) -> None:
    """A list made eight hours to the east means the same moments once its zone is told."""
    path = tmp_path / "incidents.csv"
    path.write_text("start,end\n2022-08-22 11:53:54,2022-08-22 11:57:54\n", "utf-8")
    (here,) = read_windows(path, None, "Asia/Shanghai")
    path.write_text("start,end\n2022-08-22T03:53:54Z,2022-08-22T03:57:54Z\n", "utf-8")
    assert read_windows(path, None) == (here,)


def test_columns_are_not_found_in_telemetry_that_comes_but_once(folder: Path, tocsin: Call) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG.replace("{type: csv, path: train.csv}", "{type: host}"), "utf-8")
    done = tocsin("train", "--no-plots")
    assert done.returncode == 2
    assert "$.schema.others" in done.stderr

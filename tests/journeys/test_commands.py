"""The same options on every command, and exit codes that mean one thing each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


def test_shared_options_mean_the_same_before_and_after_the_verb(site: Path, tocsin: Run) -> None:
    config = (site / "tocsin.yaml").rename(site / "other.yaml")
    before = tocsin("--json", "-c", config, "--log-level", "error", "train", "--no-plots")
    after = tocsin("train", "--no-plots", "--log-level", "error", "-c", config, "--json")
    learnt = [json.loads(done.stdout) for done in (before, after)]
    assert learnt[0]["model"] == learnt[1]["model"]
    assert [done.stderr for done in (before, after)] == ["", ""]
    between = tocsin("models", "--json", "list", f"--config={config}")
    assert len(json.loads(between.stdout)["versions"]) == 2


@pytest.mark.parametrize("words", [["-v"], ["--verbose"], ["--log-level", "debug"], ["--log-level=info"]])
def test_log_lines_go_beside_the_results(words: list[str], site: Path, tocsin: Run) -> None:
    done = tocsin(*words, "train", "--no-plots")
    assert "Model registered." in done.stderr
    assert "Model registered." not in done.stdout


def test_the_config_says_how_log_lines_look(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(more="logging: {format: json}\n")
    lines = [json.loads(line) for line in tocsin("train", "--no-plots").stderr.splitlines()]
    assert "Model registered." in {line["event"] for line in lines}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("train --help", 0),
        ("", 2),
        ("trian", 2),
        ("train --promot", 2),
        ("score", 1),
        ("--log-level loud train", 2),
        ("data generate made.csv --days -1", 2),
        ("models promote first", 2),
        ("check-part engines isolation_forest", 2),
        ("init --preset flowz -c new.yaml", 2),
        ("init", 2),
        ("new detector MyDetector", 2),
        ("models list", 1),
        ("models promote 1", 1),
        ("score data/rows.csv", 1),
        ("check", 0),
        ("check --connect", 0),
        ("data validate", 0),
        ("data list", 0),
        ("status", 0),
        ("check-part detectors robust_zscore", 0),
    ],
)
def test_an_exit_code_tells_what_happened(words: str, code: int, site: Path, tocsin: Run) -> None:
    done = tocsin(*words.split())
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout or done.stderr


def test_a_first_config_trains_on_generated_telemetry(folder: Path, tocsin: Run) -> None:
    assert tocsin("init", "--preset", "services", "--path", "made.csv").returncode == 0
    made = tocsin("data", "generate", "made.csv", "--kind", "services", "--days", "14", "--anomaly-rate", "0")
    assert "tocsin_generated" in made.stdout
    assert tocsin("check", "--connect").returncode == 0
    assert tocsin("data", "validate", "--json").returncode == 0
    trained = tocsin("train", "--no-plots")
    assert trained.stdout.startswith("Made from generated data.")
    assert json.loads(tocsin("score", "made.csv", "--json").stdout)["generated"] is True
    again = tocsin("data", "generate", "made.csv")
    assert again.returncode == 1
    assert "telemetry is never replaced in silence" in again.stderr


def test_data_list_and_validate_count_what_there_is(site: Path, tocsin: Run, lines: list[str]) -> None:
    (site / "data" / "more.csv").write_text(f"{lines[0]}\n2026-04-01,203.0.113.1,-5,1,normal\n", "utf-8")
    files = json.loads(tocsin("data", "list", "--json").stdout)["files"]
    assert {Path(name).name: found["bytes"] for name, found in files.items()} == {
        path.name: path.stat().st_size for path in (site / "data").iterdir()
    }
    validated = tocsin("data", "validate")
    assert validated.returncode == 1
    assert "1,201 rows received: 1,200 used, 1 quarantined, 0 duplicates, 0 left out" in validated.stdout
    assert "1 out_of_range" in validated.stdout


def test_a_plot_and_a_page_are_drawn_unless_told_otherwise(site: Path, tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    assert list((site / "runs").rglob("*.png")) == []
    assert tocsin("train").returncode == 0
    drawn = {path.stem for path in (site / "runs").rglob("*.png")}
    assert {"roc_curve", "calibration", "detection_delay", "score_distribution"} < drawn
    (page,) = (site / "runs").rglob("report.html")
    assert "ROC" in page.read_text("utf-8")


def test_python_does_what_the_command_line_does(site: Path, tocsin: Run) -> None:
    from tocsin import load

    learnt = load("tocsin.yaml").train()
    assert learnt.verdict.passed
    assert learnt.version.digest == json.loads(tocsin("train", "--no-plots", "--json").stdout)["model"]

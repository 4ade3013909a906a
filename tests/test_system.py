"""The whole way, wired: what stations owe to each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest

import tocsin
from tocsin.component import PartSpec
from tocsin.errors import ConfigError, DataError, DeliveryError, RegistryError
from tocsin.evaluation.runs import runs
from tocsin.records import Alert
from tocsin.sinks.console import Console
from tocsin.system import Project

CONFIG = """\
version: 1
name: hosts
schema:
  time: t
  entity: host
  fields:
    t: {{dtype: time}}
    host: {{dtype: address, identity: true}}
    load: {{dtype: float}}
    queue: {{dtype: float}}
source: {{type: csv, path: "history.csv"}}
detector: {{type: robust_zscore}}
logging: {{level: error}}
sinks: [{{type: jsonl, path: alerts.jsonl}}]
{more}
"""


def telemetry(path: Path, rng: np.random.Generator, *, days: float = 20, hosts: int = 20, spikes: int = 0) -> None:
    """A row per host and quarter of an hour; the last rows spike."""
    steps = int(days * 96)
    load, queue = rng.normal(50, 5, (steps, hosts)), rng.normal(5, 1, (steps, hosts))
    if spikes:
        load[-spikes:, 0] += 1_000
    lines = ["t,host,load,queue"]
    for step in range(steps):
        at = 1_767_571_200 + 900 * step
        lines += [f"{at},10.9.8.{host},{load[step, host]:.3f},{queue[step, host]:.3f}" for host in range(hosts)]
    path.write_text("\n".join(lines) + "\n")


def project(folder: Path, more: str = "") -> Project:
    (folder / "tocsin.yaml").write_text(CONFIG.format(more=more))
    return tocsin.load(folder / "tocsin.yaml")


def test_a_budget_is_for_all_entities_also_where_the_split_is_by_entity(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    telemetry(tmp_path / "history.csv", rng)
    made = project(tmp_path, "split: {by: entity}\nalerts: {budget: 3/day}")
    outcome = made.train()
    assert outcome.report.promise["asked"] == pytest.approx(3)
    telemetry(tmp_path / "later.csv", rng)
    alerts = sum(len(scored.alerts) for scored in made.score(str(tmp_path / "later.csv")))
    assert alerts / 20 < 6


def test_judging_rows_that_the_model_learnt_from_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    made = project(tmp_path)
    assert not any("learnt from" in note for note in made.train().report.notes)
    again = made.evaluate(data=str(tmp_path / "history.csv"))
    assert "learnt from" in again.report.notes[0]


def test_an_array_of_labels_is_not_put_beside_other_rows(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    rows = len((tmp_path / "history.csv").read_text().splitlines()) - 1
    (tmp_path / "labels.txt").write_text("0\n" * rows)
    made = project(tmp_path, "labels: {array: labels.txt}")
    made.train()
    with pytest.raises(ConfigError, match="belongs to the rows of the config"):
        made.evaluate(data=str(tmp_path / "history.csv"))


def test_the_run_folder_holds_config_inputs_report_and_model(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", "alerts-are-secret")
    telemetry(tmp_path / "history.csv", rng, days=4)
    outcome = project(tmp_path, 'registry: {path: "${WHERE}"}').train()
    names = {path.name for path in outcome.folder.iterdir()}
    assert names == {"tocsin.yaml", "inputs.json", "report.json", "verdict.json", "model"}
    assert "alerts-are-secret" not in (outcome.folder / "tocsin.yaml").read_text()
    inputs = orjson.loads((outcome.folder / "inputs.json").read_bytes())
    assert list(inputs["training"]["digests"].values()) == [str(tmp_path / "history.csv")]
    assert inputs["training"]["received"] == inputs["training"]["passed_on"]


def test_a_registry_that_refuses_leaves_no_run(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    (tmp_path / "registry").write_text("a file where a folder is wanted")
    with pytest.raises((RegistryError, OSError)):
        project(tmp_path).train()
    assert runs(tmp_path / "runs", "hosts") == []
    assert not list((tmp_path / "runs").iterdir())


def test_scoring_and_judging_ring_the_same_alerts(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=8)
    telemetry(tmp_path / "test.csv", rng, days=8, spikes=3)
    made = project(tmp_path, "test: {path: test.csv}")
    judged = {alert.id for alert in made.train().evidence.alerts}
    scored = {alert.id for piece in made.score(str(tmp_path / "test.csv")) for alert in piece.alerts}
    assert judged == scored != set()
    shown = [orjson.loads(line) for line in (tmp_path / "alerts.jsonl").read_bytes().splitlines()]
    assert any(alert["entity"] == "10.9.8.0" for alert in shown)
    assert all(alert["model"].startswith("hosts 1 (") for alert in shown)


def test_a_sink_that_fails_does_not_keep_alerts_from_the_others(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Console, alerts: Sequence[Alert]) -> None:
        raise DeliveryError("sink console", "a closed pipe")

    monkeypatch.setattr(Console, "write", refuse)
    telemetry(tmp_path / "history.csv", rng, days=4)
    telemetry(tmp_path / "test.csv", rng, days=4, spikes=3)
    made = project(tmp_path)
    made.train()
    both = made.config.model_copy(
        update={"sinks": (PartSpec("console"), PartSpec("jsonl", {"path": str(tmp_path / "all.jsonl")}))}
    )
    with pytest.raises(DeliveryError, match="closed pipe"):
        list(Project(both).score(str(tmp_path / "test.csv")))
    assert (tmp_path / "all.jsonl").read_bytes()


def test_a_default_path_of_a_sink_lies_beside_the_config(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    telemetry(tmp_path / "history.csv", rng, days=4, spikes=3)
    made = project(tmp_path)
    made.train()
    plain = Project(made.config)
    plain.config = made.config.model_copy(update={"sinks": (PartSpec("jsonl"),), "name": "hosts"})
    list(plain.score(str(tmp_path / "history.csv")))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_quarantine_holds_what_the_last_command_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    with (tmp_path / "history.csv").open("a") as file:
        file.write("1767571200,10.9.8.1,much,5\n")
    made = project(tmp_path)
    for _ in range(2):
        made.train()
    (line,) = (tmp_path / "quarantine.jsonl").read_bytes().splitlines()
    assert orjson.loads(line)["reason"] == "not_a_number"


def test_what_was_lost_on_the_way_stands_in_the_report(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    with (tmp_path / "history.csv").open("a") as file:
        file.write("1767571200,10.9.8.1,much,5\n")
    assert any("1 of 7681 rows received were quarantined" in note for note in project(tmp_path).train().report.notes)


def test_labels_that_call_everything_an_anomaly_are_the_reason_named(tmp_path: Path, rng: np.random.Generator) -> None:
    telemetry(tmp_path / "history.csv", rng, days=4)
    with pytest.raises(DataError, match=r"look at labels\.normal"):
        project(tmp_path, "labels: {column: host, normal: [nobody]}").train()

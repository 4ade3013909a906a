"""The workflow that `deploy/github` ships: every step is run in its order, each job in a clean clone of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import yaml
from tests.storage.servers import S3Server

from tocsin import load
from tocsin.storage import open_bucket

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "deploy" / "github" / "tocsin.yml"
EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}")
LONGEST_STEP_S = 120
CONFIG = """\
version: 1
name: small
schema:
  time: time
  entity: host
  fields:
    time: {{dtype: time}}
    host: {{dtype: address, identity: true}}
    bytes: {{dtype: float, unit: bytes, minimum: 0}}
source: {{type: object_store, url: "{bucket}/flows/*.csv"}}
features: {{columns: [bytes]}}
detector: {{type: robust_zscore}}
alerts: {{budget: 1%}}
registry: {{path: "{bucket}/registry"}}
"""


@pytest.fixture
def workflow() -> dict[Any, Any]:
    parsed: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    return parsed


class Runner:
    """Does what GitHub's runner does: a fresh checkout for each job, steps in a shell that stops at the first error.

    Parameters
    ----------
    repository
        What is cloned.
    folder
        Where the machines of the jobs live.
    values
        What expressions stand for; one that nobody knows is an error.
    """

    def __init__(self, repository: Path, folder: Path, values: Mapping[str, str]) -> None:
        self.repository, self.folder, self.values = repository, folder, values
        self.results: dict[str, str] = {}
        self.ran: list[str] = []
        self.said = ""

    def run(self, workflow: dict[Any, Any]) -> None:
        for name, job in workflow["jobs"].items():
            needs = job.get("needs", [])
            needed = [self.results[need] for need in ([needs] if isinstance(needs, str) else needs)]
            due = "failure" in needed if job.get("if") == "failure()" else set(needed) <= {"success"}
            self.results[name] = self._job(name, job, workflow.get("env", {})) if due else "skipped"

    def _job(self, name: str, job: dict[str, Any], declared: Mapping[str, str]) -> str:
        workspace = self.folder / name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                subprocess.run(["git", "clone", "--quiet", self.repository, workspace], check=True)
        workspace.mkdir(exist_ok=True)
        result = "success"
        for step in job["steps"]:
            if "run" in step and result == "success":
                environment = {**declared, **job.get("env", {}), **step.get("env", {})}
                done = self._step(step["run"], workspace, environment)
                self.said += done.stdout
                self.ran.append(f"{name}/{step['name']}")
                result = "failure" if done.returncode else "success"
        return result

    def _step(self, script: str, workspace: Path, declared: Mapping[str, str]) -> CompletedProcess[str]:
        assert not EXPRESSION.search(script), "what comes from outside belongs into the environment, not into a script"
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "PIP_NO_INDEX": "1",  # all that is installed is here already
            "PYTHONPATH": str(workspace / "src"),
            **{name: EXPRESSION.sub(lambda match: self.values[match[1]], text) for name, text in declared.items()},
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=LONGEST_STEP_S,
        )  # fmt: skip


@pytest.fixture
def notices() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An Apprise URL, and what was sent there."""
    received: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_address[1]}", received
        server.shutdown()


@pytest.fixture
def repository(s3: S3Server, folder: Path, rng: np.random.Generator, need: Callable[[bool, str], None]) -> Path:
    """A clone of this repository with a config, whose operator has promoted a first version on a machine of his own."""
    need(shutil.which("git") is not None and (ROOT / ".git").exists(), "this is no clone, or there is no git")
    clone = folder / "repository"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    url = s3.bucket()
    rows = (
        f"2026-03-{2 + row // 1_440:02}T{row // 60 % 24:02}:{row % 60:02}:00Z,203.0.113.{row % 5},{size:.1f}"
        for row, size in enumerate(rng.normal(1_000, 50, 2_000))
    )
    open_bucket(f"{url}/flows").create("rows.csv", "\n".join(["time,host,bytes", *rows]).encode())
    (clone / "tocsin.yaml").write_text(CONFIG.format(bucket=url), "utf-8")
    project = load(str(clone / "tocsin.yaml"))
    project.train()
    project.promote(1)
    project.registry.trust.open()
    project.registry.trust.memory.export(clone / "trust.json")
    (clone / ".tocsin").rename(folder / "operator")
    shutil.rmtree(clone / "runs")
    commit(clone)
    return clone


def commit(clone: Path) -> None:
    git = ["git", "-C", str(clone), "-c", "user.name=operator", "-c", "user.email=operator@example.org"]
    subprocess.run([*git, "add", "--all", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "Watch this site."], check=True)


@pytest.fixture
def runner(repository: Path, folder: Path, s3: S3Server, notices: tuple[str, list[Any]]) -> Runner:
    operator = folder / "operator"
    values = {
        "secrets.AWS_ACCESS_KEY_ID": s3.environment["AWS_ACCESS_KEY_ID"],
        "secrets.AWS_SECRET_ACCESS_KEY": s3.environment["AWS_SECRET_ACCESS_KEY"],
        "secrets.TOCSIN_SITE_KEY": b64encode((operator / "site.key").read_bytes()).decode(),
        "secrets.TOCSIN_TRAIN_KEY": (operator / "keys" / "train.key").read_text("ascii").strip(),
        "secrets.TOCSIN_CHANNEL_KEY": (operator / "keys" / "channel.key").read_text("ascii").strip(),
        "secrets.TOCSIN_NOTIFY_URLS": notices[0],
        "vars.AWS_REGION": "us-east-1",
        "vars.AWS_ENDPOINT_URL": s3.url,
        "inputs.max_age_hours": "",
        "github.server_url": "https://github.example",
        "github.repository": "site/edge",
        "github.run_id": "42",
    }
    return Runner(repository, folder, values)


def test_a_week_trains_judges_publishes_and_bothers_nobody(
    runner: Runner, workflow: dict[Any, Any], notices: tuple[str, list[Any]], folder: Path
) -> None:
    runner.run(workflow)
    assert runner.results == {"train": "success", "publish": "success", "notice": "skipped"}, runner.said
    assert runner.ran == [
        "train/Install", "train/Keys", "train/Check", "train/Data", "train/Train",
        "publish/Install", "publish/Keys", "publish/Gate", "publish/Publish",
    ]  # fmt: skip
    (folder / "operator").rename(runner.repository / ".tocsin")
    registry = load(str(runner.repository / "tocsin.yaml")).registry
    assert registry.channels("small") == {"candidate": 2, "champion": 2}
    assert notices[1] == []
    keys = [folder / job / ".tocsin" / "keys" for job in ("train", "publish")]
    assert [sorted(path.name for path in folder.iterdir()) for folder in keys] == [["train.key"], ["channel.key"]]
    assert {path.stat().st_mode & 0o777 for folder in keys for path in folder.iterdir()} == {0o600}


def test_a_model_that_is_refused_is_not_published_and_somebody_hears_of_it(
    runner: Runner, workflow: dict[Any, Any], notices: tuple[str, list[Any]]
) -> None:
    path = runner.repository / "tocsin.yaml"
    path.write_text(path.read_text("utf-8") + "gate: {anomaly_rate: '>= 0.9'}\n", "utf-8")
    commit(runner.repository)
    runner.run(workflow)
    assert runner.results == {"train": "failure", "publish": "skipped", "notice": "success"}, runner.said
    (notice,) = notices[1]
    assert notice["title"] == "Tocsin did not train or publish"
    assert notice["message"] == "What went wrong: https://github.example/site/edge/actions/runs/42"
    secrets = [value for name, value in runner.values.items() if name.startswith("secrets.") and value]
    assert [secret for secret in secrets if secret in runner.said or secret in str(notice)] == []


def test_the_workflow_may_do_no_more_than_it_must(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"] == {"group": "tocsin", "cancel-in-progress": False}
    triggers = workflow[True]  # YAML 1.1 reads the key `on` so
    assert set(triggers) == {"schedule", "push", "workflow_dispatch"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        assert "permissions" not in job
    text = WORKFLOW.read_text("utf-8")
    holders = {name: job for name, job in workflow["jobs"].items() if "CHANNEL_KEY" in str(job)}
    assert {name: job.get("environment") for name, job in holders.items()} == {"publish": "production"}
    assert set(re.findall(r"uses: (\S+)", text)) == {
        "actions/checkout@v5", "actions/setup-python@v6", "actions/upload-artifact@v4",
    }  # fmt: skip
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
    assert os.access(WORKFLOW, os.R_OK)

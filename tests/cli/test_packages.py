"""Models on their way: to another registry in one file, from other systems as what is known of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]
CONFIG = """\
version: 1
name: carried
preset: services
source: {type: synthetic, kind: services, days: 9, anomaly_rate: 0.05, attacks_from_day: 7}
labels: {column: label}
alerts: {budget: 2%}
"""
OLDER = {
    "models": [
        {
            "model_name": "qos_anomaly_gmm",
            "versions": [
                {
                    "version": "1.0.8",
                    "description": "End to end",
                    "model_path": "C:\\Users\\me\\data\\gmm.joblib",
                    "scaler_path": "../../etc/gmm_scaler.joblib",
                    "creation_date": "2025-05-18T03:55:54",
                    "metadata": {"evaluation_metrics": {"accuracy": 0.98, "f1_score": 0.857, "odd": "text"}},
                },
            ],
        }
    ]
}


def document(done: CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def trained(folder: Path, tocsin: Run) -> Path:
    """A project with one version."""
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    assert tocsin("train", "--no-plots").returncode in (0, 1)
    return folder


def elsewhere(folder: Path) -> Path:
    """The config of another machine, with a registry of its own."""
    other = folder / "elsewhere"
    other.mkdir()
    (other / "tocsin.yaml").write_text(CONFIG, "utf-8")
    return other / "tocsin.yaml"


def test_a_version_goes_to_another_machine_and_is_judged_there(trained: Path, tocsin: Run) -> None:
    digest = document(tocsin("models", "show", "1", "--json"))["version"]["digest"]
    assert tocsin("models", "export", "1").returncode == 0
    other = elsewhere(trained)
    done = tocsin("-c", other, "models", "import", "carried-1.zip")
    assert (done.returncode, "tocsin gate 1" in done.stdout) == (0, True), done.stderr
    shown = document(tocsin("-c", other, "models", "show", "1", "--json"))
    assert (shown["version"]["digest"], shown["version"]["passed"]) == (digest, False)
    assert tocsin("-c", other, "models", "promote", "1").returncode == 1
    assert tocsin("-c", other, "gate", "1").returncode in (0, 1)
    assert len(document(tocsin("-c", other, "models", "show", "1", "--json"))["judgements"]) == 2
    again = tocsin("-c", other, "models", "import", "carried-1.zip")
    assert (again.returncode, "as version 1" in again.stderr) == (1, True)
    assert tocsin("models", "export", "1").returncode == 1  # the file exists


def test_the_analyzers_package_checks_itself_and_comes_back(trained: Path, tocsin: Run) -> None:
    assert tocsin("models", "export", "candidate", "--format", "analyzer").returncode == 0
    with zipfile.ZipFile("model_1_deployment.zip") as package:
        package.extractall("unpacked")
    manifest = json.loads(Path("unpacked/deployment_manifest.json").read_bytes())
    names = {path.name for path in Path("unpacked").iterdir()}
    assert names == manifest["file_integrity"].keys() | {"deployment_manifest.json"}
    assert {"model.zip", "metadata.json", "validate_model.py", "requirements.txt", "README.md"} <= names
    assert manifest.keys() >= {
        "model_version", "deployment_timestamp", "package_format_version", "model_info", "training_info",
        "evaluation_info", "deployment_info", "files", "inference_config", "model_artifacts", "quality_assessment",
    }  # fmt: skip
    command = [sys.executable, "unpacked/validate_model.py"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    with Path("unpacked/model.zip").open("ab") as model:
        model.write(b"x")
    broken = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (broken.returncode, broken.stdout) == (1, "model.zip: other bytes than were packed\n")
    done = tocsin("-c", elsewhere(trained), "models", "import", "model_1_deployment.zip")
    assert (done.returncode, "unjudged" in done.stdout) == (0, True), done.stderr


def test_a_registry_of_networking_tester_is_known_and_none_of_its_files_is_read(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    (folder / "model_registry.json").write_text(json.dumps(OLDER), "utf-8")
    done = tocsin("models", "import", "model_registry.json")
    assert done.returncode == 0, done.stderr
    for word in ("qos_anomaly_gmm 1.0.8", "0.857", "gmm.joblib", "runs code"):
        assert word in done.stdout
    assert "Users" not in done.stdout
    assert "etc/" not in done.stdout
    listed = document(tocsin("models", "list", "--json"))
    assert [item["version"] for item in listed["heirlooms"]] == ["1.0.8"]
    assert listed["versions"] == []
    assert "qos_anomaly_gmm 1.0.8" in tocsin("models", "list").stdout
    again = tocsin("models", "import", "model_registry.json")
    assert (again.returncode, "Nothing in it is new" in again.stdout) == (0, True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 1),
        ("{}", 1),
        ('{"models": {}}', 1),
        ('{"models": [7, {"model_name": "a"}, {"model_name": "b", "versions": [{}, 3]}]}', 1),
        ('{"models": [{"model_name": "a", "versions": [{"version": "1"}, {"version": "1"}]}]}', 1),
        ('{"models": [{"model_name": "a", "model_id": 3, "versions": [{"version": 2, "metrics": {"f1": 1e308}}]}]}', 0),
        ('{"models": []}', 0),
    ],
)
def test_an_odd_registry_is_refused_or_read_as_far_as_it_goes(text: str, code: int, folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    (folder / "model_registry.json").write_text(text, "utf-8")
    done = tocsin("models", "import", "model_registry.json")
    assert done.returncode == code, done.stderr
    assert done.stdout or "wanted" in done.stderr


def deployment(files: Mapping[str, bytes], **changes: object) -> None:
    """A package as AnalyzerMCPServer makes it."""
    manifest = {
        "model_version": "20250623_101112",
        "file_integrity": {name: sha256(data).hexdigest() for name, data in files.items()},
        "model_info": {"model_type": "isolation_forest", "created_at": "2025-06-23T10:11:12"},
        "evaluation_info": {"basic_metrics": {"p90_precision": 0.9, "worst": {"recall": 0.1}}},
        **changes,
    }
    with zipfile.ZipFile("deployment.zip", "w") as package:
        for name, data in files.items():
            package.writestr(name, data)
        package.writestr("deployment_manifest.json", json.dumps(manifest))


def test_the_analyzers_joblib_is_refused_and_its_figures_are_kept(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    deployment({"model.joblib": b"\x80\x04.", "scaler.joblib": b"\x80\x04.", "README.md": b"#"})
    found = document(tocsin("models", "import", "deployment.zip", "--json"))
    (heirloom,) = found["heirlooms"]
    assert (heirloom["name"], heirloom["version"]) == ("isolation_forest", "20250623_101112")
    assert heirloom["figures"] == {"p90_precision": 0.9, "worst.recall": 0.1}
    assert set(heirloom["refused"]) == {"model.joblib", "scaler.joblib"}
    assert not list((folder / "registry").rglob("versions/*"))


def test_a_package_whose_hashes_do_not_hold_is_refused(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    broken: list[dict[str, object]] = [{"file_integrity": {}}, {"file_integrity": 7}]
    broken.append({"model_version": None, "model_info": {}})
    for changes in broken:
        deployment({"model.joblib": b"\x80\x04."}, **changes)
        done = tocsin("models", "import", "deployment.zip")
        assert (done.returncode, "wanted" in done.stderr) == (1, True)
        assert not (folder / "registry").exists()


def test_a_zip_of_something_else_and_no_zip_are_refused(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(CONFIG, "utf-8")
    with zipfile.ZipFile("other.zip", "w") as other:
        other.writestr("readme.txt", "hello")
    (folder / "noise.zip").write_bytes(b"\x80\x04noise")
    os.mkfifo(folder / "pipe.zip")
    for name in ("other.zip", "noise.zip", "absent.zip", "pipe.zip", folder):
        done = tocsin("models", "import", name)
        assert (done.returncode, "wanted" in done.stderr) == (1, True)

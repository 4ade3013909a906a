"""A real MLflow on SQLite is told of trainings and promotions; Tocsin never needs it to answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mlflow import MlflowClient

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]
TRACKED = "tracking: {uri: 'sqlite:///mlflow.db', experiment: nightly}\n"
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's words to its own authors


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database that has been through MLflow's migrations once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
        client_of(path).search_experiments()
        yield path


def client_of(path: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}")


@pytest.fixture
def mlflow(site: Path, empty_database: Path, configure: Configure) -> MlflowClient:
    """The MLflow of the site's config, looked at by its own client."""
    shutil.copy(empty_database, site / "mlflow.db")
    configure(more=TRACKED)
    return client_of(site / "mlflow.db")


def aliases(mlflow: MlflowClient) -> dict[str, int]:
    model: Any = mlflow.get_registered_model("small")
    return {alias: int(version) for alias, version in model.aliases.items()}


def test_a_training_is_a_run_and_its_version_a_version(mlflow: MlflowClient, site: Path, tocsin: Run) -> None:
    assert tocsin("train", "--promote").returncode == 0
    experiment: Any = mlflow.get_experiment_by_name("nightly")
    (run,) = mlflow.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["detector.type"] == "robust_zscore"
    assert 0 < run.data.metrics["recall"] <= 1
    (folder,) = (site / "runs").iterdir()
    (version,) = mlflow.search_model_versions("name = 'small'")
    assert version.source == folder.resolve().as_uri()
    assert run.data.tags.items() >= {("tocsin.generated", "false"), ("tocsin.passed", "true"), *version.tags.items()}
    assert version.tags["tocsin.version"] == "1"
    assert len(version.tags["tocsin.digest"]) == 64
    assert aliases(mlflow) == {"candidate": 1, "champion": 1}


def test_what_is_uploaded_is_no_code_and_names_nobody(mlflow: MlflowClient, site: Path, tocsin: Run) -> None:
    tocsin("train")
    uploaded = [path for path in (site / "mlartifacts").rglob("*") if path.is_file()]
    assert {"report.json", "verdict.json", "report.html", "roc_curve.png"} <= {path.name for path in uploaded}
    assert {path.suffix for path in uploaded} == {".json", ".html", ".png"}
    written = [*uploaded, site / "mlflow.db"]
    assert [path for path in written if b"203.0.113." in path.read_bytes()] == []


def test_an_alias_follows_its_channel(mlflow: MlflowClient, tocsin: Run) -> None:
    for words in ("train --no-plots --promote", "train --no-plots", "models promote 2"):
        assert tocsin(*words.split()).returncode == 0
    assert aliases(mlflow) == {"candidate": 2, "champion": 2}
    assert tocsin("models", "rollback").returncode == 0
    assert aliases(mlflow)["champion"] == 1


def test_a_refused_training_is_told_as_failed(mlflow: MlflowClient, configure: Configure, tocsin: Run) -> None:
    configure(more=TRACKED + "gate: {recall: '< 0.5'}\n")
    assert tocsin("train", "--no-plots").returncode == 1
    experiment: Any = mlflow.get_experiment_by_name("nightly")
    assert [run.info.status for run in mlflow.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert aliases(mlflow) == {"candidate": 1}


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "mlruns", "sqlite:///data/rows.csv/mlflow.db", "no://where"])
def test_an_mlflow_that_does_not_answer_fails_nothing(
    uri: str, configure: Configure, tocsin: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    configure(more=f"tracking: {{uri: '{uri}'}}\n")
    done = tocsin("train", "--no-plots", "--promote")
    assert done.returncode == 0
    assert done.stderr.count("Tracking failed, all else is done.") == 2
    assert "Version 1 of small" in done.stdout


def test_without_the_package_a_training_says_so_and_goes_on(configure: Configure, in_child: Run) -> None:
    configure(more=TRACKED)
    done = in_child("train", "--no-plots", before="import sys\nsys.modules['mlflow'] = None")
    assert done.returncode == 0, done.stderr
    assert "no package 'mlflow' in this environment" in done.stderr

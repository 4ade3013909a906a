"""An MLflow is told of trainings and of the channels that move; nothing is ever read back into a model.

Whatever becomes of it fails no training: a tracking server is a notebook, not the registry.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tocsin import observe
from tocsin.component import optional_packages
from tocsin.config import Config
from tocsin.errors import SourceLost, TocsinError
from tocsin.evaluation.report import Report
from tocsin.log import hidden
from tocsin.records import Verdict
from tocsin.registry import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTEFACTS = ("report.json", "verdict.json", "report.html", "*.png")
"""What of a run folder goes there: neither the model nor anything that names files or machines."""
PARAMETERS = ("detector", "threshold", "features", "preparation", "split", "alerts", "limits")
MAX_PARAMETERS, MAX_VALUE = 100, 500
MAX_ARTEFACTS = 50
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
"""Of MLflow itself, where the environment does not say otherwise."""
_VERSION = "tocsin.version"
_DATABASE = "sqlite:///"


class Trained(Protocol):
    """What a training has come to: an outcome."""

    @property
    def report(self) -> Report:
        """The figures."""

    @property
    def verdict(self) -> Verdict:
        """Whether it passed."""

    @property
    def version(self) -> Version:
        """The model."""

    @property
    def folder(self) -> Path:
        """Of the run."""


class Tracker:
    """The MLflow of a config; without one, nothing is done.

    Parameters
    ----------
    config
        `tracking` names the server or the database; a database file is relative to the config's folder.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def ask(self) -> str:
        """What stands behind the config's `tracking`; raises SourceLost if it does not answer."""
        if (file := self._file) is not None and not file.exists() and file.parent.is_dir():
            return "a database that the first training makes"
        found: list[int] = []
        if reason := self._attempt(lambda client: found.append(len(client.search_experiments(max_results=1_000)))):
            hint = "is it up, and the address right? A training does without"
            raise SourceLost("$.tracking.uri", f"no MLflow that answers ({reason})", "one that does", hint)
        return f"MLflow, {found[0]} experiments"

    def training(self, outcome: Trained, channels: Callable[[], Mapping[str, int]]) -> None:
        """Log a training with its figures and pictures; register its version, with the channels that point at it."""

        def tell(client: MlflowClient) -> None:
            from mlflow.entities import Metric, Param

            version, verdict, folder = outcome.version, outcome.verdict, outcome.folder
            stamp = int(datetime.fromisoformat(version.created).timestamp() * 1_000)
            tags = {_VERSION: str(version.version), "tocsin.digest": version.digest}
            more = {"tocsin.generated": str(version.generated).lower(), "tocsin.passed": str(verdict.passed).lower()}
            commit = {"mlflow.source.git.commit": known} if (known := _commit(self._config.folder)) else {}
            run = client.create_run(self._experiment(client), stamp, {**tags, **more, **commit}, folder.name).info
            figures = outcome.report.figures.items()
            metrics = [Metric(name, value, stamp, 0) for name, value in figures if isfinite(value)]
            client.log_batch(run.run_id, metrics, [Param(*pair) for pair in _parameters(self._config)])
            for path in _artefacts(folder):
                client.log_artifact(run.run_id, str(path))
            client.set_terminated(run.run_id, "FINISHED" if verdict.passed else "FAILED", stamp)
            # A server takes no path of another machine: there, the version stands for what was uploaded.
            source = run.artifact_uri if self._uri.startswith("http") else folder.resolve().as_uri()
            pointing = [channel for channel, number in channels().items() if number == version.version]
            self._register(client, source, run.run_id, tags, pointing)

        self._tell("training", tell)

    def moved(self, channel: str, version: int) -> None:
        """A channel points at another version now: the alias of that name follows, if the version is known there."""

        def tell(client: MlflowClient) -> None:
            name = self._config.name
            for entry in client.search_model_versions(f"name = '{name}' and tag.`{_VERSION}` = '{version}'")[:1]:
                client.set_registered_model_alias(name, channel, entry.version)

        self._tell("alias", tell)

    def _register(
        self, client: MlflowClient, source: str, run: str, tags: dict[str, str], channels: Iterable[str]
    ) -> None:
        name = self._config.name
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        entry = client.create_model_version(name, source, run, tags)
        for channel in channels:
            client.set_registered_model_alias(name, channel, entry.version)

    def _experiment(self, client: MlflowClient) -> str:
        tracking = self._config.tracking
        name = (tracking.experiment if tracking else None) or self._config.name
        if (found := client.get_experiment_by_name(name)) is not None:
            return str(found.experiment_id)
        artefacts = (file.parent / "mlartifacts").as_uri() if (file := self._file) else None
        return str(client.create_experiment(name, artefacts))

    @property
    def _uri(self) -> str:
        uri = self._config.tracking.uri if self._config.tracking else ""
        return f"{_DATABASE}{file}" if (file := self._file) else uri

    @property
    def _file(self) -> Path | None:
        """The database, where it is a file of this machine."""
        uri = self._config.tracking.uri if self._config.tracking else ""
        return self._config.resolve(uri.removeprefix(_DATABASE)).resolve() if uri.startswith(_DATABASE) else None

    def _tell(self, step: str, tell: Callable[[MlflowClient], None]) -> None:
        if self._config.tracking is not None and (reason := self._attempt(tell)):
            observe.tracking_failed(step, reason)

    def _attempt(self, work: Callable[[MlflowClient], None]) -> str:
        """Why some work could not be done; empty if it could."""
        for setting, value in _SETTINGS.items():
            os.environ.setdefault(setting, value)
        try:
            with warnings.catch_warnings(), optional_packages("$.tracking"):
                warnings.simplefilter("ignore")  # MLflow's words to its own authors
                from mlflow import MlflowClient

                work(MlflowClient(self._uri, self._uri))
        except Exception as error:  # noqa: BLE001  # MLflow raises what its server, its database or its client raise
            return error.problem.got if isinstance(error, TocsinError) else type(error).__name__
        return ""


def _parameters(config: Config) -> Iterator[tuple[str, str]]:
    """The parts of a config that decide what is learnt, flat."""
    found = config.model_dump(mode="json", by_alias=True, include=set(PARAMETERS))
    for name, value in islice(_flat(found, ""), MAX_PARAMETERS):
        yield name, hidden(str(value))[:MAX_VALUE]


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield from _flat(dict(enumerate(value)), path)
    elif value is not None:
        yield path, value


def _artefacts(folder: Path) -> list[Path]:
    return [path for pattern in ARTEFACTS for path in sorted(folder.rglob(pattern))][:MAX_ARTEFACTS]


def _commit(folder: Path) -> str:
    """The commit that a folder stands at, as far as two small files tell it."""
    for place in (folder.resolve(), *folder.resolve().parents):
        with suppress(OSError, UnicodeDecodeError):
            head = (place / ".git" / "HEAD").read_text("ascii").strip()
            return (place / ".git" / head.removeprefix("ref: ")).read_text("ascii").strip() if " " in head else head
    return ""

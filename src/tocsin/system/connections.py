"""Whether what a config names is there and answers: each thing on its own, within a time, and nothing is written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial as bound
from pathlib import Path
from typing import Literal, cast

from tocsin.component import PartSpec, expect_package, part_spec
from tocsin.config import Config, LabelsConfig
from tocsin.errors import Problem, TocsinError
from tocsin.model.design import problems_in
from tocsin.sinks.base import Sink
from tocsin.sources.base import Tally
from tocsin.storage import elsewhere
from tocsin.system.project import Project
from tocsin.training.history import local_part

ANSWER_WITHIN_S = 30.0
NEEDED_TO_LEARN = {"xgboost": "xgboost", "lstm_autoencoder": "torch"}
"""Packages that a detector loads when it is fitted; a model of it serves without them."""


_Answer = tuple[str, list[Problem]]
"""What was found, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that the project stands on."""

    name: str
    """Its place in the config, without the `$.`."""
    status: Literal["valid", "partial", "invalid"]
    """As it should be; of some use; of none."""
    found: str
    problems: tuple[Problem, ...] = ()


def dependencies(project: Project, within_s: float = ANSWER_WITHIN_S) -> Iterator[Dependency]:
    """Look at everything that a config names, one after the other.

    Sources are read to their first rows, the registry to its channels; of what could be written it is told only
    whether that may be tried.

    Parameters
    ----------
    project
        Whose config it is; nothing is made for it.
    within_s
        What has not answered by then counts as out of reach.
    """
    for name, look in _looks(project):
        yield _told(name, look, project.config, within_s)


def _looks(project: Project) -> Iterator[tuple[str, Callable[[], _Answer]]]:
    config = project.config
    yield "packages", bound(_packages, config)
    if config.source is not None:
        yield "source", bound(_first_rows, project, config.source, config.labels)
    if config.test is not None:
        yield "test", bound(_first_rows, project, config.test, config.test_labels or config.labels)
    yield "registry", bound(_registry, project)
    for number, sink in enumerate(config.sinks):
        yield f"sinks[{number}]", bound(_sink, config, sink)


def lacking(config: Config) -> list[Problem]:
    """Packages that a training with this config would miss."""
    wanted = {"$.detector": config.detector, **_members("$.detector", config.detector)}
    packages = {place: NEEDED_TO_LEARN[spec.type] for place, spec in wanted.items() if spec.type in NEEDED_TO_LEARN}
    if config.tracking is not None:
        packages["$.tracking"] = "mlflow"
    if config.tune is not None:
        packages["$.tune"] = "optuna"
    problems = (problems_in(bound(expect_package, place, package)) for place, package in packages.items())
    return [problem for found in problems for problem in found]


def _members(place: str, spec: PartSpec) -> dict[str, PartSpec]:
    """The detectors inside a detector."""
    inside = spec.parameters.get("of", ())
    return {f"{place}.of[{at}]": cast("PartSpec", part_spec(member)) for at, member in enumerate(inside)}


def _packages(config: Config) -> _Answer:
    problems = lacking(config)
    return "all that a training needs are installed" if not problems else "some are missing", problems


def _first_rows(project: Project, spec: PartSpec, labels: LabelsConfig | None) -> _Answer:
    tally = Tally()
    next(project.reader.batches(spec, labels, tally, keep_refused=False), None)
    found = f"{spec.type}, {tally.passed_on:,} of {tally.received:,} first rows can be used"
    if tally.passed_on or not tally.received:
        return found, []
    reasons = ", ".join(f"{number} {reason}" for reason, number in tally.reasons.items())
    return found, [Problem("$.source", f"no row that can be used ({reasons})", "rows that fit the schema")]


def _registry(project: Project) -> _Answer:
    registry, config = project.registry, project.config
    if config.name not in registry.names():
        found = "reachable, no model of this name yet"
    else:
        channels = ", ".join(f"{channel} {version}" for channel, version in registry.channels(config.name).items())
        found = f"readable, {len(registry.history(config.name))} versions, {channels}"
    if elsewhere(config.registry.path):
        return found, []
    return found, _writable("$.registry.path", config.resolve(config.registry.path))


def _sink(config: Config, spec: PartSpec) -> _Answer:
    sink = cast("Sink", local_part("sinks", spec, config))
    path = sink.parameters().get("path")
    if isinstance(path, str) and not Path(path).exists():
        return f"{spec.type}, made with the first alert", _writable("$.sinks", Path(path).parent)
    sink.open()
    sink.close()
    return f"{spec.type}, ready", []


def _writable(place: str, folder: Path) -> list[Problem]:
    """Whether a folder, or the nearest above it that exists, takes new files."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    return [Problem(place, f"{there}, which takes no new file", "a folder that can be written")]


def _told(name: str, look: Callable[[], _Answer], config: Config, within_s: float) -> Dependency:
    """What a look finds, or that it found nothing in time."""
    answer: Future[_Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(look())
        except BaseException as error:  # noqa: BLE001  # it is raised again where the answer is awaited
            answer.set_exception(error)

    # A daemon: whoever waits in vain for a server must not be waited for.
    threading.Thread(target=work, daemon=True, name=f"check {name}").start()
    found, problems = "does not answer as it should", list[Problem]()
    try:
        found, problems = answer.result(within_s)
    except TocsinError:
        problems = problems_in(answer.result, f"$.{name}")
    except TimeoutError:
        got, hint = f"nothing in {within_s:g} s", "is it up, and the address right?"
        problems = [Problem(f"$.{name}", got, "an answer", hint)]
    except OSError as error:
        problems = [Problem(f"$.{name}", error.strerror or str(error), "something that can be read and written")]
    return Dependency(name, "invalid" if problems else "valid", found, tuple(map(config.located, problems)))

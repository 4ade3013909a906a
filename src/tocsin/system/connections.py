"""Whether what a config names is there and answers: each thing on its own, within a time, and nothing is written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial as bound
from pathlib import Path
from typing import Literal, cast

from tocsin.component import Part, PartSpec, expect_package, part, part_spec
from tocsin.config import Config, LabelsConfig
from tocsin.errors import ConflictError, NotStored, Problem, RegistryError, TocsinError
from tocsin.model.design import problems_in
from tocsin.model.documents import MAX_DOCUMENT_BYTES
from tocsin.registry.keys import ROLES
from tocsin.registry.trust import MARKER
from tocsin.sinks.base import Sink
from tocsin.sources.base import Tally
from tocsin.storage import elsewhere, open_store
from tocsin.system.project import Project
from tocsin.training.history import local_part
from tocsin.training.tracking import Tracker

ANSWER_WITHIN_S = 30.0
CREDENTIALS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
"""Where those of a scheme may come from."""
NEEDED_TO_LEARN = {"xgboost": "xgboost", "lstm_autoencoder": "torch"}
"""Packages that a detector loads when it is fitted; a model of it serves without them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, and what is wrong with it."""

    found: str
    problems: list[Problem] = field(default_factory=list)
    of_use: bool = False
    """Whether it serves all the same."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """One thing that the project stands on."""

    name: str
    """Its place in the config, without the `$.`."""
    status: Literal["valid", "partial", "invalid"]
    """As it should be; of some use; of none."""
    found: str
    problems: tuple[Problem, ...] = ()


Look = Callable[[], Answer]


def dependencies(
    project: Project, within_s: float = ANSWER_WITHIN_S, also: Mapping[str, Look] | None = None
) -> Iterator[Dependency]:
    """Look at everything that a config names, one after the other.

    Sources are read to their first rows, the registry to its channels; of what could be written it is told only
    whether that may be tried.

    Parameters
    ----------
    project
        Whose config it is; nothing is made for it.
    within_s
        What has not answered by then counts as out of reach.
    also
        More to look at, by its place in the config: what floors above this one know.
    """
    for name, look in (*_looks(project), *(also or {}).items()):
        yield _told(name, look, project.config, within_s)


def _looks(project: Project) -> Iterator[tuple[str, Look]]:
    config = project.config
    yield "packages", bound(_packages, config)
    for name, source, labels in (
        ("source", config.source, config.labels),
        ("stream.source", config.stream.source, None),
        ("test", config.test, config.test_labels or config.labels),
    ):
        if source is not None:
            yield name, bound(_server if _has_server(source) else _first_rows, project, name, source, labels)
    if variables := _variables(config):
        yield "credentials", bound(_credentials, variables)
    yield "registry", bound(_registry, project)
    yield "keys", bound(_keys, project)
    yield "channels", bound(_channels, project)
    if config.tracking is not None:
        yield "tracking", lambda: Answer(Tracker(config).ask())
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
    if config.registry.path.startswith("s3://"):
        packages["$.registry.path"] = "obstore"
    problems = (problems_in(bound(expect_package, place, package)) for place, package in packages.items())
    return [problem for found in problems for problem in found]


def _members(place: str, spec: PartSpec) -> dict[str, PartSpec]:
    """The detectors inside a detector."""
    inside = spec.parameters.get("of", ())
    return {f"{place}.of[{at}]": cast("PartSpec", part_spec(member)) for at, member in enumerate(inside)}


def _packages(config: Config) -> Answer:
    problems = lacking(config)
    return Answer("some are missing" if problems else "all that a training needs are installed", problems)


def _has_server(spec: PartSpec) -> bool:
    """Whether its rows come from a broker: reading some would take them from the service that reads it."""
    return part("sources", spec.type).risks is not Part.risks


def _server(project: Project, _: str, spec: PartSpec, __: LabelsConfig | None) -> Answer:
    project.reader.source(spec).risks()
    return Answer(f"{spec.type}, answers; its rows are left to the service")


def _first_rows(project: Project, name: str, spec: PartSpec, labels: LabelsConfig | None) -> Answer:
    tally = Tally()
    next(project.reader.batches(spec, labels, tally, keep_refused=False), None)
    found = f"{spec.type}, {tally.passed_on:,} of {tally.received:,} first rows can be used"
    if tally.passed_on or not tally.received:
        return Answer(found)
    reasons = ", ".join(f"{number} {reason}" for reason, number in tally.reasons.items())
    return Answer(found, [Problem(f"$.{name}", f"no row that can be used ({reasons})", "rows that fit the schema")])


def _variables(config: Config) -> tuple[str, ...]:
    """Environment variables from which the credentials of the places that a config names may come."""
    specs = [spec for spec in (config.source, config.test) if spec is not None]
    places = [config.registry.path, *(str(spec.parameters.get("url", "")) for spec in specs)]
    schemes = {place.partition("://")[0] for place in places}
    schemes |= {"gs" for spec in specs if spec.type == "firebase"}
    return tuple(name for scheme in CREDENTIALS if scheme in schemes for name in CREDENTIALS[scheme])


def _credentials(variables: Sequence[str]) -> Answer:
    given = [name for name in variables if os.environ.get(name)]
    found = (
        f"{', '.join(given)} set" if given else f"none of {', '.join(variables)}; a file or the machine may have them"
    )
    problems = []
    for name in given:
        path = Path(os.environ[name])
        if name.endswith(("_FILE", "_CREDENTIALS")) and not os.access(path, os.R_OK):
            problems.append(Problem(name, "a file that cannot be read", "the path of one"))
        elif path.is_file() and path.stat().st_mode & 0o077:
            problems.append(Problem(name, "a file that others may read", "mode 0600", f"chmod 600 ${name}"))
    return Answer(found, problems, of_use=True)


def _registry(project: Project) -> Answer:
    config = project.config
    path = config.registry.path
    versions = len(project.registry.history(config.name)) if config.name in project.registry.names() else 0
    found = {0: "no model of this name yet", 1: "1 version"}.get(versions, f"{versions} versions")
    if not elsewhere(path):
        return Answer(found, _writable("$.registry.path", config.resolve(path)))
    store = open_store(path, meter=project.meter)
    try:
        # Creating what exists is refused: whether it exists is asked last, after whether one may.
        store.put(MARKER, store.get(MARKER, MAX_DOCUMENT_BYTES))
    except NotStored:
        return Answer(f"{found}, the first training begins it")
    except ConflictError:
        return Answer(f"{found}, may be written")
    except RegistryError as error:
        trains = project.registry.trust.keyring.public("train") is not None
        return Answer(f"{found}, may only be read", [error.problem] if trains else [], of_use=True)
    return Answer(found)


def _keys(project: Project) -> Answer:
    trust = project.registry.trust
    trust.open()
    here = {role: public for role in ROLES if (public := trust.keyring.public(role))}
    if not trust.roots.chain:
        return Answer(f"{', '.join(here) or 'none'} here, the first training makes what is missing")
    strange = [role for role, public in here.items() if public not in trust.roots.last.roles[role]]
    wanted, hint = "one that it accepts", "`tocsin keys show` says which it does"
    problems = [Problem("$.registry.keys", f"a {role} key unknown to the registry", wanted, hint) for role in strange]
    return Answer(f"{', '.join(here)} here" if here else "none here: this machine only reads", problems, of_use=True)


def _channels(project: Project) -> Answer:
    registry, name = project.registry, project.config.name
    standings = registry.standings(name) if name in registry.names() else ()
    problems = [standing.problem for standing in standings if standing.problem]
    steps = [(standing, standing.step) for standing in standings if standing.step is not None]
    for standing, step in steps:
        if standing.stale:
            got, hint = f"{standing.channel}, past its time", f"`tocsin models promote {step.version}` renews it"
            problems.append(Problem("$.registry.expires", got, f"a step after {step.expires[:10]}", hint))
    found = ", ".join(f"{standing.channel} at version {step.version}" for standing, step in steps)
    return Answer(found or "none yet", problems, of_use=True)


def _sink(config: Config, spec: PartSpec) -> Answer:
    sink = cast("Sink", local_part("sinks", spec, config))
    path = sink.parameters().get("path")
    if isinstance(path, str) and not Path(path).exists():
        return Answer(f"{spec.type}, made with the first alert", _writable("$.sinks", Path(path).parent))
    sink.open()
    sink.close()
    return Answer(f"{spec.type}, ready")


def _writable(place: str, folder: Path) -> list[Problem]:
    """Whether a folder, or the nearest above it that exists, takes new files."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    return [Problem(place, f"{there}, which takes no new file", "a folder that can be written")]


def _told(name: str, look: Look, config: Config, within_s: float) -> Dependency:
    """What a look finds, or that it found nothing in time."""
    answer: Future[Answer] = Future()

    def work() -> None:
        try:
            answer.set_result(look())
        except BaseException as error:  # noqa: BLE001  # it is raised again where the answer is awaited
            answer.set_exception(error)

    # A daemon: whoever waits in vain for a server must not be waited for.
    threading.Thread(target=work, daemon=True, name=f"check {name}").start()
    unfit = "cannot be used"
    try:
        told = answer.result(within_s)
    except TocsinError:
        told = Answer(unfit, problems_in(answer.result, f"$.{name}"))
    except TimeoutError:
        got, hint = f"nothing in {within_s:g} s", "is it up, and the address right?"
        told = Answer(unfit, [Problem(f"$.{name}", got, "an answer", hint)])
    except OSError as error:
        got, wanted = error.strerror or str(error), "something that can be read and written"
        told = Answer(unfit, [Problem(f"$.{name}", got, wanted)])
    broken: Literal["partial", "invalid"] = "partial" if told.of_use else "invalid"
    status = broken if told.problems else "valid"
    return Dependency(name, status, told.found, tuple(map(config.located, told.problems)))

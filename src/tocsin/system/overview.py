"""What a project has and how it goes: what takes room, what is old, what serves, how the last runs ended.

Each question is asked on its own: where one gets no answer, the others still do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tocsin.errors import Problem, TocsinError
from tocsin.evaluation.runs import runs
from tocsin.registry import CHAMPION, Judged, Standing, Version
from tocsin.registry.judging import decisive
from tocsin.sources.base import Piece
from tocsin.system.logbook import LOGBOOK, MAIN_FIGURES, Logbook, LogEntry
from tocsin.system.project import FEATURES, FIT, HOME, RUNS, Project
from tocsin.system.standing import ServiceStanding, standing

LAST_RUNS = 10
MAX_FILES = 100_000
"""Of a folder; what lies beyond is not counted."""


@dataclass(frozen=True, slots=True)
class Room:
    """What some files or objects take."""

    items: int
    bytes: int
    newest: str | None
    """When the youngest was written, ISO 8601, UTC."""
    oldest: str | None

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> Room:
        """The sum of some."""
        found = list(pieces)
        written = sorted(piece.modified for piece in found if piece.modified)
        ends = (written[-1].isoformat(), written[0].isoformat()) if written else (None, None)
        return cls(len(found), sum(piece.size or 0 for piece in found), *ends)


@dataclass(slots=True)
class Overview:
    """The answers, as far as there are any."""

    name: str
    moment: str
    """ISO 8601, UTC."""
    data: dict[str, Room] = field(default_factory=dict)
    """`source` and `test` as their listings tell; what Tocsin keeps on this machine itself."""
    versions: Sequence[Version] = ()
    """Those that can be loaded, oldest first."""
    channels: Sequence[Standing] = ()
    judges: Mapping[str, Judged] = field(default_factory=dict)
    """By channel, the verdict that counts for the version there, and who gave it."""
    fallback: bool = False
    """Whether the champion cannot be reached or trusted, and the last good model of this machine serves."""
    service: ServiceStanding | None = None
    """None if it was never started."""
    runs: Sequence[LogEntry] = ()
    """The last ones, oldest first."""
    last_passed: LogEntry | None = None
    last_failed: LogEntry | None = None
    """Refused or ended by an error."""
    last_run: Path | None = None
    """The folder that was written last."""
    trend: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Main figures of the last judged runs or, where no run was here, of all versions; oldest first."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether everything has answered and every channel can be trusted."""
        return not self.problems and not any(standing.problem for standing in self.channels)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """What gets no answer is noted, and the next question asked."""
        try:
            yield
        except TocsinError as error:
            self.problems.append(error.problem)
        except OSError as error:
            where = str(error.filename or self.name)
            self.problems.append(Problem(where, error.strerror or str(error), "a place that can be read"))


def overview(project: Project) -> Overview:
    """Ask everything that can be known without reading telemetry or a model."""
    config = project.config
    found = Overview(config.name, project.clock().isoformat(timespec="seconds"))
    for place, spec in (("source", config.source), ("test", config.test)):
        if spec is not None:
            with found.asking():
                found.data[place] = Room.of(project.reader.source(spec).pieces)
    for place, path in kept_here(project).items():
        with found.asking():
            found.data[place] = Room.of(files(path))
    with found.asking():
        _ask_registry(project, found)
    with found.asking():
        found.service = standing(project)
    with found.asking():
        _ask_runs(project, found)
    champion = [standing for standing in found.channels if standing.channel == CHAMPION and standing.problem is None]
    with found.asking():
        found.fallback = not champion and (config.resolve(HOME) / "models" / "index.json").exists()
    return found


def _ask_runs(project: Project, found: Overview) -> None:
    config = project.config
    entries = Logbook(config.resolve(LOGBOOK)).entries(config.name)
    found.runs = entries[-LAST_RUNS:]
    found.last_passed = next((entry for entry in reversed(entries) if entry.result == "passed"), None)
    found.last_failed = next((entry for entry in reversed(entries) if entry.result in {"refused", "failed"}), None)
    found.last_run = next(reversed(runs(config.resolve(RUNS), config.name)), None)
    if judged := [entry.figures for entry in found.runs if entry.figures]:
        found.trend = trend(judged)


def _ask_registry(project: Project, found: Overview) -> None:
    registry, name = project.registry, project.config.name
    if name not in registry.names():
        return
    found.channels = registry.standings(name)
    listing = project.index.listing(name)
    found.versions = listing.living
    pointed = {item.channel: item.step.version for item in found.channels if item.step is not None}
    found.judges = {
        channel: decisive(listing.judged(number, registry.trust.roots))
        for channel, number in pointed.items()
        if number in listing.versions
    }
    found.trend = trend([signed.document.version.summary for signed in listing.versions.values()])


def kept_here(project: Project) -> dict[str, Path]:
    """What Tocsin keeps on this machine besides models and keys."""
    config = project.config
    spools = [spec.parameters.get("spool") for spec in (config.source, config.test) if spec is not None]
    spool = next((text for text in spools if isinstance(text, str)), f"{HOME}/spool")
    return {
        "features": config.resolve(FEATURES),
        "fits": config.resolve(FIT),
        "spool": config.resolve(spool),
        "quarantine": project.reader.quarantine_file,
        "runs": config.resolve(RUNS),
    }


def files(path: Path) -> Iterator[Piece]:
    """The plain files of a folder, or the one file that it is."""
    found = [path] if path.is_file() else path.rglob("*")
    for _, file in zip(range(MAX_FILES), found, strict=False):
        if file.is_file() and not file.is_symlink():
            status = file.stat()
            yield Piece(str(file), status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def trend(summaries: Sequence[Mapping[str, object]]) -> dict[str, list[float]]:
    """The values of each main figure that more than one of some summaries has."""
    values = {
        name: [float(value) for item in summaries if isinstance(value := item.get(name), int | float)]
        for name in MAIN_FIGURES
    }
    return {name: series for name, series in values.items() if len(series) > 1}

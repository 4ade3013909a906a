"""What may go: telemetry that no training reads any more, caches, old runs, versions that nobody needs.

Nothing here decides by itself: a `Lot` says what would go and why, and its `remove` lets it go. A version that a
channel points at, or would go back to, is never among it; nor is an object that a training may read or has just read.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from tocsin import observe
from tocsin.component import PartSpec
from tocsin.evaluation.runs import runs, unfinished
from tocsin.log import hidden
from tocsin.sources.base import Piece
from tocsin.sources.base_globs import split_pattern
from tocsin.storage import elsewhere, open_bucket
from tocsin.system.overview import files
from tocsin.system.project import FEATURES, FIT, RUNS, Project

UNFINISHED = timedelta(days=1)
"""A run takes less: what is older belongs to a process that was killed."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Things of one kind that may go for one reason."""

    what: str
    why: str
    pieces: tuple[Piece, ...] = ()
    _remove: Callable[[tuple[Piece, ...]], object] = field(default=len, repr=False)

    def remove(self) -> None:
        """Let all of them go."""
        if self.pieces:
            self._remove(self.pieces)
            observe.cleaned_up(self.what, len(self.pieces))


def spent_telemetry(project: Project, max_age: timedelta) -> Iterator[Lot]:
    """Objects of a bucket, caches and refused rows that are older than they may be.

    Raises
    ------
    TocsinError
        If a bucket does not answer.
    """
    oldest = project.clock() - max_age
    yield _objects(project, oldest)
    yield from _kept(project, oldest)


def spent_models(project: Project, max_age: timedelta) -> Iterator[Lot]:
    """Runs and versions that are older than they may be, or too many; raises TocsinError as the registry does."""
    yield from _runs(project, project.clock() - max_age)
    yield from _versions(project, max_age)


def _objects(project: Project, oldest: datetime) -> Lot:
    """Objects of the source that no training reads, neither the next nor the last."""
    config = project.config
    spec = config.source
    url = str(spec.parameters.get("url", "")) if spec and spec.type == "object_store" else ""
    if spec is None or not elsewhere(url):
        return Lot("source", "files of this machine and other sources are left alone")
    whole = PartSpec(spec.type, {name: value for name, value in spec.parameters.items() if name != "max_age_hours"})
    hours = spec.parameters.get("max_age_hours")
    windows = [config.history.last, None if hours is None else float(hours) * 3_600.0]
    read_s = max(filter(None, windows), default=None)
    if read_s is None:
        return Lot("source", "a training reads all of it: neither history.last nor max_age_hours is set")
    limit = min(oldest, project.clock() - timedelta(seconds=read_s))
    used = _read_by_the_last_training(project)
    if config.test is not None:
        used |= {hidden(piece.name) for piece in project.reader.source(config.test).pieces}
    bucket = open_bucket(split_pattern(url)[0], meter=project.meter)
    pieces = (piece for piece in project.reader.source(whole).pieces if hidden(piece.name) not in used)

    def remove(pieces: tuple[Piece, ...]) -> None:
        for piece in pieces:
            bucket.delete(piece.name.removeprefix(f"{bucket.url}/"))

    why = f"written before {_said(limit)}, older than what a training reads"
    return Lot("source", why, _older(pieces, limit), remove)


def _read_by_the_last_training(project: Project) -> set[str]:
    """Names of the objects and files that the last training on this machine read, as its run folder tells them."""
    for folder in reversed(runs(project.config.resolve(RUNS), project.config.name)):
        with suppress(OSError, ValueError, AttributeError):
            tally = orjson.loads((folder / "inputs.json").read_bytes()).get("training")
            if tally is not None:
                return set(tally["digests"].values())
    return set()


def _kept(project: Project, oldest: datetime) -> Iterator[Lot]:
    config = project.config
    for what, path, why in (
        ("features", config.resolve(FEATURES), "not used since {}, computed again when needed"),
        ("fits", config.resolve(FIT), "a training that was ended before {} and not taken up again"),
        ("quarantine", project.reader.quarantine_file, "rows that were refused before {}"),
    ):
        yield Lot(what, why.format(_said(oldest)), _older(files(path), oldest), _unlink)


def _runs(project: Project, oldest: datetime) -> Iterator[Lot]:
    root, name = project.config.resolve(RUNS), project.config.name
    registry = project.registry
    serving: set[str] = set()
    if name in registry.names():
        at = set(registry.channels(name).values())
        serving = {version.digest[:8] for version in registry.history(name) if version.version in at}
    done = [folder for folder in runs(root, name)[:-1] if folder.name.rpartition("-")[2][:8] not in serving]
    old = _older(map(_folder, done), oldest)
    left = _older(map(_folder, unfinished(root, name)), min(oldest, project.clock() - UNFINISHED))
    before = f"written before {_said(oldest)}"
    yield Lot("runs", f"{before}; not the last, and of no model in a channel", old, _unlink)
    yield Lot("unfinished runs", f"{before}, and never finished", left, _unlink)


def _folder(folder: Path) -> Piece:
    size = sum(piece.size or 0 for piece in files(folder))
    return Piece(str(folder), size, datetime.fromtimestamp(folder.stat().st_mtime, UTC))


def _versions(project: Project, max_age: timedelta) -> Iterator[Lot]:
    config = project.config
    rules = config.registry.model_copy(update={"max_age": max_age.total_seconds()})
    registry = Project(config.model_copy(update={"registry": rules}), clock=project.clock).registry
    known = config.name in registry.names()
    doomed = registry.doomed(config.name) if known else ()
    versions = tuple(
        Piece(str(version.version), version.size_bytes, datetime.fromisoformat(version.created))
        for version in (registry.history(config.name) if doomed else ())
        if version.version in doomed
    )
    why = f"in no channel, and beyond the last {rules.keep} or older than {max_age.days} days"
    yield Lot("versions", why, versions, lambda _: registry.retire(config.name))
    orphans = tuple(Piece(name, None, None) for name in registry.orphans())
    yield Lot("stored objects", "no version needs them any more", orphans, lambda _: registry.collect_garbage())


def _older(pieces: Iterable[Piece], limit: datetime) -> tuple[Piece, ...]:
    return tuple(piece for piece in pieces if piece.modified and piece.modified < limit)


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _unlink(pieces: tuple[Piece, ...]) -> None:
    for piece in pieces:
        path = Path(piece.name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

"""One line for each training and evaluation, also for those that failed: what `tocsin status` knows of the past.

A line says what was tried, how far it came, how long it took and which kind of error ended it. It holds no text of the
error, no path and no value of the telemetry.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, Protocol, TypeVar

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from tocsin import observe
from tocsin.config import Config
from tocsin.errors import TocsinError
from tocsin.system.outcome import Outcome
from tocsin.training.history import Progress

LOGBOOK = ".tocsin/runs.jsonl"
MAX_BYTES = 2**19
"""Of the file; beyond it, the older half goes."""
MAIN_FIGURES = (
    "roc_auc", "average_precision", "precision", "recall", "f1", "false_positive_rate", "event_recall",
    "false_alarms_per_day", "alerts_per_day", "anomaly_rate", "latency_p99_ms",
)  # fmt: skip
Result = Literal["passed", "refused", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What became of one run."""

    name: str
    verb: str
    began: str
    """ISO 8601, UTC."""
    seconds: float
    result: Result
    """Judged and passed or refused; ended by an error; stopped from outside."""
    stage: str = ""
    """What was going on when it ended."""
    reason: str = ""
    """The kind of error, or the targets that were missed."""
    version: int | None = None
    folder: str = ""
    """Of the run, below `runs/`."""
    newest_row: str | None = None
    """Time of the last row that was judged, where telemetry has a clock."""
    figures: Mapping[str, float] = field(default_factory=dict)


_LINE = TypeAdapter(LogEntry)
_BEGUN = {"result": "stopped", "stage": "checking"}
"""Of a run that says no more."""


class Logbook:
    """The lines of one folder, for its owner alone.

    Parameters
    ----------
    path
        Made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, entry: LogEntry) -> None:
        """Append a line; a disk that will not take it fails no run."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                lines = file.read()
                if len(lines) > MAX_BYTES:
                    file.truncate(0)
                    file.write(lines[-MAX_BYTES // 2 :].partition(b"\n")[2])
                elif lines and not lines.endswith(b"\n"):
                    file.write(b"\n")  # ends a line that a kill cut short
                file.write(orjson.dumps(entry) + b"\n")
        except OSError as error:
            observe.run_not_logged(error.strerror or str(error))

    def entries(self, name: str) -> list[LogEntry]:
        """The lines about a project, oldest first; what cannot be read is none."""
        try:
            lines = self._path.read_bytes()[-2 * MAX_BYTES :].splitlines()
        except OSError:
            return []
        return [entry for entry in map(_entry, lines) if entry and entry.name == name]


def _entry(line: bytes) -> LogEntry | None:
    try:
        return _LINE.validate_json(line)
    except ValidationError:
        return None


class Logged(Protocol):
    """Whose runs are logged: a project."""

    config: Config
    progress: Progress
    clock: Callable[[], datetime]


_Arguments = ParamSpec("_Arguments")
_Project = TypeVar("_Project", bound=Logged)
_Run = Callable[Concatenate[_Project, _Arguments], Outcome]


def logged(
    verb: str,
) -> Callable[[_Run[_Project, _Arguments]], _Run[_Project, _Arguments]]:
    """Leave a line of what becomes of each call, whatever it raises."""

    def around(run: _Run[_Project, _Arguments]) -> _Run[_Project, _Arguments]:
        @wraps(run)
        def call(project: _Project, /, *args: _Arguments.args, **options: _Arguments.kwargs) -> Outcome:
            with _line_of(project, verb) as judged:
                outcome = run(project, *args, **options)
                judged(outcome)
                return outcome

        return call

    return around


@contextmanager
def _line_of(project: Logged, verb: str) -> Iterator[Callable[[Outcome], None]]:
    began, told, known = project.clock(), project.progress, dict[str, object](_BEGUN)

    def progress(stage: str, done: int, total: int = 0, /) -> None:
        known["stage"] = stage
        told(stage, done, total)

    def judged(outcome: Outcome) -> None:
        known.update(_known(outcome))

    project.progress = progress
    try:
        yield judged
    except Exception as error:
        known.update(result="failed", reason=_kind(error))
        raise
    finally:
        project.progress = told
        seconds = round((project.clock() - began).total_seconds(), 3)
        entry = {"name": project.config.name, "verb": verb, "began": began.isoformat(timespec="seconds")}
        line = _LINE.validate_python({**entry, "seconds": seconds, **known})
        Logbook(project.config.resolve(LOGBOOK)).add(line)


def _kind(error: Exception) -> str:
    """What a line may say of an error: its place in the config where it has one, and nothing of what was got."""
    place = error.problem.where if isinstance(error, TocsinError) else ""
    inside = place.rpartition("  ")[2]
    return f"{type(error).__name__} {inside}" if inside.startswith("$.") and "(" not in inside else type(error).__name__


def _known(outcome: Outcome) -> dict[str, object]:
    times, verdict, figures = outcome.evidence.times, outcome.verdict, outcome.report.figures
    missed = (item.target for item in verdict.judgements if not item.passed)
    return {
        "result": "passed" if verdict.passed else "refused",
        "reason": "" if verdict.passed else ", ".join(missed)[:500],
        "version": outcome.version.version,
        "folder": outcome.folder.name,
        "newest_row": None if times is None else f"{np.datetime64(int(times.max()), 'us')}Z",
        "figures": {name: float(figures[name]) for name in MAIN_FIGURES if name in figures},
    }

"""`tocsin append`: events from a file or a pipe into the embedded log, which a running service reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Annotated, cast

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import size_bytes
from tocsin.errors import ConfigError, DataError, LimitExceeded, Problem

_TOGETHER, _TOGETHER_BYTES = 1_000, 1 << 18
"""Events of one append, and bytes of one read."""
_MOST_SHOWN = 20
"""Refused lines that are told one by one."""
_DONE, _REFUSED = 0, 1

File = Annotated[Path, typer.Argument(help="JSON lines; - is standard input.", allow_dash=True)]
Log = Annotated[Path | None, typer.Option(help="The log. Default: the path of the config's sqlite_wal source.")]
Key = Annotated[str | None, typer.Option(help="The field that is an event's id: the same id is kept once.")]
Limit = Annotated[str, typer.Option(help="Size beyond which the log takes no more.")]


def append(
    ctx: typer.Context, file: File = Path("-"), *, log: Log = None, key: Key = None, limit: Limit = "1GiB"
) -> None:
    """Put events into the embedded log: one JSON object per line. 1 if some of them were refused."""
    from tocsin.sources.base_event_log import EventLog

    settings: Settings = ctx.obj
    found = _Found()
    path, most = log or _log_of(settings), _bytes(limit)
    if path.is_dir():
        raise DataError(str(path), "a folder", "a log, which is a file")
    opened = nullcontext(cast("BufferedReader", sys.stdin.buffer)) if str(file) == "-" else file.open("rb")
    try:
        with opened as lines, EventLog(path, key=key, limit_bytes=most) as events:
            for group in _groups(lines, key, found):
                found.new += events.append(group)
                found.taken += len(group)
    except KeyboardInterrupt:
        found.whole = False  # the way to end a pipe that never does: what was kept by then is told
    except LimitExceeded as full:
        problem, kept = full.problem, f"events kept before it: {found.taken:,}"
        raise LimitExceeded(problem.where, problem.got, problem.wanted, f"{kept}; {problem.hint}") from None
    if settings.json:
        screens.document(
            {
                "taken": found.taken,
                "new": found.new,
                "refused": found.refused,
                "problems": [screens.plain(problem) for problem in found.problems],
            }
        )
    else:
        for problem in found.problems:
            screens.aside(f"{problem.where}: got {problem.got}, wanted {problem.wanted}")
        screens.say(f"Events: {found.taken:,} taken, {found.new:,} of them new, {found.refused:,} refused.")
    raise typer.Exit(_DONE if found.whole and not found.refused else _REFUSED)


@dataclass
class _Found:
    """What became of the lines."""

    taken: int = 0
    new: int = 0
    refused: int = 0
    whole: bool = True
    """Nobody interrupted it."""
    problems: list[Problem] = field(default_factory=list)
    """The first of those refused."""


def _groups(source: BufferedReader, key: str | None, found: _Found) -> Iterator[list[bytes]]:
    """Events as they are committed together: what is there is taken at once, and nothing waits for what comes later."""
    number = 0
    for lines in _lines(source):
        events = list(_events(lines, number, key, found))
        number += len(lines)
        yield from (events[first : first + _TOGETHER] for first in range(0, len(events), _TOGETHER))


def _lines(source: BufferedReader) -> Iterator[list[bytes]]:
    """The lines that each read ends; one that is too long is as long, and nothing of it is kept."""
    from tocsin.sources.base_event_log import MAX_EVENT

    rest = b""
    while content := source.read1(_TOGETHER_BYTES):
        *lines, rest = (rest + content).split(b"\n")
        rest = rest if len(rest) <= MAX_EVENT else b"-" * (MAX_EVENT + 1)
        yield lines
    yield [rest]


def _events(lines: list[bytes], before: int, key: str | None, found: _Found) -> Iterator[bytes]:
    """Lines that are events; all others are refused, each for itself."""
    from tocsin.sources.base_event_log import checked

    for number, line in enumerate(lines, before + 1):
        event = line.strip()
        if not event:
            continue
        try:
            checked(event, key, f"line {number}")
        except DataError as error:
            found.refused += 1
            found.problems += [error.problem][: _MOST_SHOWN - len(found.problems)]
        else:
            yield event


def _log_of(settings: Settings) -> Path:
    """The log that the config's source reads."""
    config = settings.project().config
    for spec in (config.stream.source, config.source):
        if spec is not None and spec.type == "sqlite_wal":
            path = str(spec.parameters["path"])
            if spec.parameters.get("message") == "event" and not set("*?[") & set(path):
                return config.resolve(path)
    hint = "name a log with --log, or in the config: source: {type: sqlite_wal, message: event, path: events.db}"
    raise ConfigError([Problem("$.source", "no embedded log", "one that events can be appended to", hint)])


def _bytes(limit: str) -> int:
    try:
        return size_bytes(limit)
    except ValueError as error:
        raise typer.BadParameter(f'--limit is "{limit}", {error}') from None

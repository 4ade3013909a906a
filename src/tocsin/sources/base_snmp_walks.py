"""What `snmpwalk` wrote, poll after poll, read again: the same rows as from the agent itself.

Source: Net-SNMP, snmpcmd(1), the output options n, b, e, n, t and U.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tocsin.records import SECOND, Column, Position, Rejected
from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_snmp_objects import SCALARS, TABLES, Value
from tocsin.sources.base_snmp_polls import MAX_VALUES
from tocsin.sources.base_snmp_rows import COLUMNS, Device, columns_of
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, TextFileSource, rejected_text

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+")
_BINDING = re.compile(r"\.?(\d{1,10}(?:\.\d{1,10}){1,127}) = (?:([A-Za-z]\w*(?:-\w+)?): ?)?(.*)")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2} ?)+")
_NUMBER = re.compile(r"(?:[A-Za-z][\w-]*)?\((-?\d{1,20})\).*|(-?\d{1,20})(?: [^\d:]+)?")
"""`up(1)`, `(360000) 1:00:00.00`, `512 kB` or `512`."""
_NEITHER = Problem("wrong_format", "neither a time nor `.1.3... = value`")
_WANTED = tuple(f"{table}." for table in TABLES)


@dataclass(slots=True)
class _Poll:
    """The lines of one poll so far."""

    row: int
    time_us: int
    values: dict[str, Value] = field(default_factory=dict)
    characters: int = 0


class SnmpWalks(TextFileSource):
    """Reads files of walks, each of one device and named after it.

    Every poll begins with a line that is its time, ISO 8601 with an offset, as `date -Is` writes it. Objects that are
    not needed are passed over. A time without any value behind it is a poll that was not answered.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`.
    """

    def __init__(self, *, path: str) -> None:
        super().__init__(path=path)
        self._devices: dict[str, Device] = {}

    def open(self, resume: Position | None = None) -> None:
        self._devices.clear()
        super().open(resume)

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        name = Path(file.removesuffix(".gz")).stem
        device = self._devices.setdefault(name, Device(name))
        lines, poll, open_text = Lines(stream), None, False
        for line in lines:
            text = line.rstrip("\r\n")
            if problem := lines.refused.pop(lines.number, None):
                yield rejected_text(file, lines.number, problem, line)
            elif _TIME.fullmatch(text):
                if poll:
                    yield _told(poll, device, file)
                poll, open_text = _Poll(lines.number, _micros(text)), False
            elif match := _BINDING.fullmatch(text):
                if poll is None:
                    raise BrokenFile("no_time", "a value before the first time; `date -Is` before each walk writes one")
                _add(poll, match[1], match[2] or "", match[3])
                poll.characters += len(line)
                open_text = _goes_on(match[2] or "", match[3])
            elif open_text:
                open_text = not text.endswith('"')
            elif text and not _HEX.fullmatch(text):
                yield rejected_text(file, lines.number, _NEITHER, line)
        if poll:
            yield _told(poll, device, file)

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        return columns_of(values)


def _told(poll: _Poll, device: Device, file: str) -> Records | Rejected:
    if not poll.values:
        return Rejected(file, poll.row, "no_answer", "no value up to the next time")
    row = device.row(poll.values, poll.time_us, poll.time_us / SECOND)
    return Records((poll.row,), COLUMNS, (row,), poll.characters)


def _micros(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BrokenFile("not_a_time", f"{text}: {error}") from error
    if moment.tzinfo is None:
        raise BrokenFile("no_offset", f"{text} without an offset; `date -Is` writes one")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND)


def _add(poll: _Poll, name: str, type_: str, text: str) -> None:
    if not (name in SCALARS or name.startswith(_WANTED)):
        return
    if len(poll.values) >= MAX_VALUES * len(TABLES):
        raise BrokenFile("too_large", f"more than {MAX_VALUES * len(TABLES):,} values in one poll")
    poll.values[name] = _value(type_, text)


def _value(type_: str, text: str) -> Value:
    """A value as the agent sent it; None for what says that there is none."""
    if type_ in ("STRING", "") and text.startswith('"'):
        return text.strip('"')
    if type_ == "STRING":
        return text
    if type_ == "Hex-STRING":
        return bytes.fromhex(text) if _HEX.fullmatch(text) else None
    if type_ == "OID":
        return text.removeprefix(".")
    number = _NUMBER.fullmatch(text)
    return int(number[1] or number[2]) if number else None


def _goes_on(type_: str, text: str) -> bool:
    """Whether a text ends in a later line."""
    return type_ == "STRING" and text.startswith('"') and (len(text) == 1 or not text.endswith('"'))

"""What `snmpwalk` wrote, poll after poll, read again: the same rows as from the agent itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from tocsin.records import SECOND, Column, Position, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import BrokenFile
from tocsin.sources.base_snmp_rows import COLUMNS, Device, columns_of
from tocsin.sources.base_snmp_walks import TIME, Walk
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, TextFileSource, rejected_text

_NEITHER = Problem("wrong_format", "neither a time nor `.1.3... = value`")
_EXAMPLE = """\
.1.3.6.1.2.1.1.3.0 = {ticks}
.1.3.6.1.2.1.2.2.1.2.1 = STRING: "eth0"
.1.3.6.1.2.1.2.2.1.3.1 = INTEGER: 6
.1.3.6.1.2.1.2.2.1.10.1 = Counter32: {octets}
.1.3.6.1.4.1.2021.10.1.5.1 = INTEGER: 42
"""


class SnmpWalk(TextFileSource):
    """Read recorded walks of devices that speak SNMP, one file per device and named after it.

    Take it where agents cannot be polled from here; the columns are those of `snmp`. Every poll begins with a line
    that is its time, ISO 8601 with an offset, as `date -Is` writes it; behind it stands what `snmpwalk -On -ObentU`
    wrote. Objects that are not needed are passed over. A time without any value behind it is a poll that was not
    answered; it is refused, as is one whose values are none of those needed.

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`.
    rows
        Rows per batch at most.
    """

    def __init__(self, *, path: str, rows: RowsPerBatch = 10_000) -> None:
        super().__init__(path=path, rows=rows)
        self._devices: dict[str, Device] = {}

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Walks of two devices, a line of one of them broken, and a poll that was not answered."""
        for device in ("router", "switch"):
            polls = [_EXAMPLE.format(ticks=6_000 * (minute + 1), octets=1_500 * minute) for minute in range(3)]
            polls[1] = polls[1] + "Timeout\n" if device == "router" else ""
            text = "".join(f"2026-01-05T00:0{minute}:00+00:00\n{lines}" for minute, lines in enumerate(polls))
            (folder / f"{device}.walk").write_text(text)
        return cls(path=str(folder / "*.walk"))

    def open(self, resume: Position | None = None) -> None:
        self._devices.clear()
        super().open(resume)

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        name = Path(file.removesuffix(".gz")).stem
        device = self._devices.setdefault(name, Device(name))
        lines, row, time_us, walk = Lines(stream), 0, 0, Walk()
        for line in lines:
            text = line.rstrip("\r\n")
            if problem := lines.refused.pop(lines.number, None):
                yield rejected_text(file, lines.number, problem, line)
            elif TIME.fullmatch(text):
                if row:
                    yield _told(walk, row, time_us, device, file)
                row, time_us, walk = lines.number, _micros(text), Walk()
            elif not walk.add(text):
                yield rejected_text(file, lines.number, _NEITHER, line)
            elif walk.bindings and not row:
                raise BrokenFile("no_time", "a value before the first time; `date -Is` before each walk writes one")
        if row:
            yield _told(walk, row, time_us, device, file)

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        return columns_of(values)


def _told(walk: Walk, row: int, time_us: int, device: Device, file: str) -> Records | Rejected:
    if not walk.bindings:
        return Rejected(file, row, "no_answer", "no value up to the next time")
    if all(value is None for value in walk.values.values()):
        return Rejected(file, row, "no_values", f"{walk.bindings:,} objects, none of them one that is needed")
    return Records((row,), COLUMNS, (device.row(walk.values, time_us, time_us / SECOND),), walk.characters)


def _micros(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BrokenFile("not_a_time", f"{text}: {error}") from error
    if moment.tzinfo is None:
        raise BrokenFile("no_offset", f"{text} without an offset; `date -Is` writes one")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND)

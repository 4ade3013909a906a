"""System logs: one line per message, with what hostapd and wpa_supplicant say of Wi-Fi stations.

Sources: RFC 5424 and RFC 3164; the texts of hostapd and wpa_supplicant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from tocsin.records import Batch, Column, Position, Rejected
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_files import object_column
from tocsin.sources.base_followed import FollowedSource
from tocsin.sources.base_syslog import Entry, Years, parsed
from tocsin.sources.base_text_files import Lines, Problem, Records, Stream, gathered
from tocsin.sources.base_wifi_events import Event, Measures, understood

_LAST_DATE = "date without a year"
"""In a position: year and month."""
_MONTHS = 100
"""By which a year is told from a month there."""
_COLUMNS = (*Entry._fields, *Event._fields, *Measures._fields)
_TEXTS = frozenset(
    {"timestamp", "host", "program", "process_id", "facility", "message", "event", "mac", "interface", "ssid"}
)


class Syslog(FollowedSource):
    """Read system logs: RFC 5424, RFC 3164 with or without priority or host, BusyBox, OpenWrt's `logread`, rsyslog.

    A value that a line does not state is None. Times without an offset are in the schema's `timezone`. What is no
    line of a log is refused, and so is a date without a year while `year` is not given.

    ===========================================  ============================================================
    column                                       what it is
    ===========================================  ============================================================
    `timestamp`, `host`, `program`,              of the line; the time as ISO 8601
    `process_id`, `message`
    `facility`                                   `daemon`, `authpriv`, `local0`, ...
    `severity`, `log_level_numeric`              0 emergency to 7 debug; 0 debug to 7 emergency
    `event`                                      of hostapd and wpa_supplicant: `authenticated`, `associated`,
                                                 `connected`, `key_handshake`, `deauthenticated`, `inactive`,
                                                 `disassociated`, `disconnected`, `auth_failure`,
                                                 `association_rejected`, `unacknowledged`, `ssid_disabled`,
                                                 `beacon_lost`, `enabled`, `disabled`; None for all else
    `interface`, `ssid`, `reason_code`,          of the same lines, where they state it
    `status_code`
    `mac`                                        the first MAC address of any line, in small letters
    `is_auth_failure`, `is_deauth`,              1 or 0, by the event; a deauthentication may be for inactivity
    `is_connection_event`, `is_auth_event`
    `is_beacon`                                  1 where hostapd or wpa_supplicant speak of a beacon
    `is_error_event`                             1 for a severity of error or graver, a failure, a word for one
    `mac_count`, `ip_count`                      different MAC addresses; IPv4 addresses
    `message_length`, `word_count`,              characters, words, characters that are neither letter, digit
    `special_char_count`, `uppercase_ratio`,     nor space, share of capitals, numbers, different characters
    `number_count`, `unique_chars`
    ===========================================  ============================================================

    Parameters
    ----------
    path
        A file or a pattern with `*`, `?`, `[...]` and `**`; gzip is recognised by its content.
    year
        Of the first line whose date names none, 1971 to 2199. Each further one lies within half a year of the one
        before it, so that a log may run over New Year, and its files may be read newest first. A log that is followed
        needs none: its first such date lies within half a year of today.
    rows
        Rows per batch at most.
    follow
        Go on with what is appended to the files, and with new ones.
    """

    _today: Callable[[], date] = staticmethod(lambda: datetime.now(UTC).date())
    """By which the first date without a year is understood."""

    def __init__(
        self,
        *,
        path: str,
        year: Annotated[int, Field(ge=1971, le=2199)] | None = None,
        rows: RowsPerBatch = 10_000,
        follow: bool = False,
    ) -> None:
        super().__init__(path=path, rows=rows, follow=follow)
        self.year = year
        self._years = Years(year)

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Six lines, one of them no line of a log."""
        station = "hostapd: wlan0: STA 02:00:00:00:00:01 IEEE 802.11:"
        lines = [
            f"<30>Dec 31 23:59:58 ap1 {station} authenticated",
            f"<30>Dec 31 23:59:59 ap1 {station} associated (aid 1)",
            "\tat line 7",
            f"Jan  1 00:00:01 ap1 {station} deauthenticated",
            "<29>1 2026-01-01T00:00:02Z ap1 hostapd 412 - - wlan0: AP-STA-DISCONNECTED 02:00:00:00:00:01",
            "2026-01-01T00:00:03+00:00 ap1 kernel: link down",
        ]
        (folder / "example.log").write_text("\n".join([*lines, ""]))
        return cls(path=str(folder / "*.log"), year=2025, rows=2)

    def open(self, resume: Position | None = None) -> None:
        """Find the files; dates that name no year go on from the last one, or begin anew where all lines come again."""
        offsets = dict(resume.offsets) if resume else {}
        last = divmod(offsets.pop(_LAST_DATE, 0), _MONTHS)
        self._years = Years(self.year)
        if self.follow and all(last):
            self._years = Years(*last)
        elif self.follow and self.year is None:
            self._years = Years(self._today().year, self._today().month)
        super().open(resume and Position(resume.source, offsets))

    def acknowledge(self, batch: Batch) -> Position:
        """How far each file is done with and, where they are followed, the last date that named no year."""
        position, last = super().acknowledge(batch), self._years.last
        if not self.follow or last is None:
            return position
        return Position(position.source, {**position.offsets, _LAST_DATE: last[0] * _MONTHS + last[1]})

    def _records(self, stream: Stream, file: str) -> Iterator[Records | Rejected]:
        lines = Lines(stream)
        for block in iter(lines.block, []):
            yield from gathered(file, self._entries(lines, block))

    def _entries(self, lines: Lines, block: Sequence[str]) -> Iterator[tuple[int, object, Any, str]]:
        for row, line in enumerate(block, lines.number - len(block) + 1):
            text = line.rstrip("\r\n")
            if text:
                entry = lines.refused.pop(row, None) or parsed(text, self._years)
                yield row, _COLUMNS, entry if isinstance(entry, Problem) else _row(entry), line

    def _columns(self, header: Any, values: Sequence[Any]) -> dict[str, Column]:
        columns = zip(header, zip(*values, strict=True), strict=True)
        return {
            name: object_column(column) if name in _TEXTS else np.array(column, dtype=np.float64)
            for name, column in columns
        }


def _row(entry: Entry) -> tuple[object, ...]:
    event, measures = understood(entry.program, entry.message, entry.severity)
    return (*entry, *event, *measures)

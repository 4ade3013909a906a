r"""What a line of a system log says before its message: when, where, which program, how grave.

Sources: RFC 5424, section 6; RFC 3164, section 4, and what is written today in its place: ISO 8601 times (rsyslog), no
priority (files), `daemon.info` as words (BusyBox), a weekday and a year (OpenWrt's `logread`), no host.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tocsin.sources.base_text_files import Problem

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8)),
)  # fmt: skip
"""By number (RFC 5424, table 1)."""
SEVERITIES = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
"""By number (RFC 5424, table 2)."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HALF_A_YEAR = 6

_LEVEL = rf"(?:{'|'.join(FACILITIES)})\.(?:{'|'.join(SEVERITIES)})"
_TAG = r"[^\s:\[\]]+(?:\[[^\]\s]*\])?:"
_RFC5424 = re.compile(
    r"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: \ufeff?(.*))?",
    re.DOTALL | re.ASCII,
)
_RFC3164 = re.compile(
    r"(?:<(\d{1,3})>)?"
    r"(?:(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*)"
    rf"|(?:[A-Z][a-z][a-z] )?({'|'.join(_MONTHS)}) {{1,2}}(\d{{1,2}}) (\d\d:\d\d:\d\d(?:\.\d{{1,6}})?)(?: (\d{{4}}))?) "
    rf"(?:(?!{_LEVEL} |{_TAG}(?:\s|$))(\S+) )?"
    rf"(?:({_LEVEL}) )?"
    r"(?:([^\s:\[\]]+)(?:\[([^\]\s]*)\])?:(?: |$))?"
    r"(.*)",
    re.DOTALL | re.ASCII,
)


class Entry(NamedTuple):
    """A line of a log in its parts; what it does not say is None."""

    timestamp: str | None
    """ISO 8601, with the offset that was written, if one was."""
    host: str | None
    program: str | None
    process_id: str | None
    facility: str | None
    severity: int | None
    """0 emergency to 7 debug."""
    message: str


class Years:
    """The years of dates that name none: each lies within half a year of the date before it.

    Parameters
    ----------
    first
        Of the first such date; None where it is not known.
    month
        Of a date before the first, 1 for January.
    """

    def __init__(self, first: int | None, month: int | None = None) -> None:
        self._year = first
        self._month = month

    @property
    def last(self) -> tuple[int, int] | None:
        """Year and month of the last such date, or of the one before the first; None while there is none."""
        return None if self._year is None or self._month is None else (self._year, self._month)

    def of(self, month: int) -> int | None:
        """The year of the next date, 1 for January."""
        if self._year is not None:
            step = month - (month if self._month is None else self._month)
            self._year += (step < -_HALF_A_YEAR) - (step > _HALF_A_YEAR)
            self._month = month
        return self._year


def parsed(line: str, years: Years) -> Entry | Problem:
    """The parts of a line, or why it is none."""
    if match := _RFC5424.fullmatch(line):
        priority, *texts, message = match.groups()
        time, host, program, process = (None if text == "-" else text for text in texts)
        return _entry(priority, None, (time, host, program, process, message or ""))
    if (match := _RFC3164.fullmatch(line)) is None:
        return Problem("not_syslog", "neither RFC 5424 nor RFC 3164")
    priority, time, name, day, clock, year, host, level, program, process, message = match.groups()
    if name:
        month = _MONTHS.index(name) + 1
        number = int(year) if year else years.of(month)
        if number is None:
            return Problem("no_year", "a date without a year, and the source has no `year`")
        time = f"{number:04}-{month:02}-{int(day):02}T{clock}"
    return _entry(priority, level, (time, host, program, process, message))


def _entry(
    priority: str | None, level: str | None, texts: tuple[str | None, str | None, str | None, str | None, str]
) -> Entry | Problem:
    time, host, program, process, message = texts
    facility, severity = None, None
    if level:
        facility, _, word = level.partition(".")
        severity = SEVERITIES.index(word)
    elif priority:
        number, severity = divmod(int(priority), len(SEVERITIES))
        if number >= len(FACILITIES):
            return Problem("not_syslog", f"a priority of {priority}, at most {8 * len(FACILITIES) - 1}")
        facility = FACILITIES[number]
    return Entry(time, host, program, process or None, facility, severity, message)

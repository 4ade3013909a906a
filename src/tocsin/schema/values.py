"""What raw values mean before a schema asks for more: missing, a number, true or false, a time.

Nothing here refuses: what cannot be read comes back as NaN, or with the word that says why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isnan
from operator import itemgetter
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from numpy.typing import NDArray

from tocsin.records import Column, Mask, Times, Vector, filled

MISSING = frozenset({"", "-", "NaN", "nan", "NA", "N/A", "null", "None", "(empty)"})
"""Texts that stand for no value."""
TIME_PROBLEMS = {
    "missing": "a time",
    "not_a_time": "ISO 8601 or seconds since 1970",
    "out_of_range": "a time from 1971 to 2199",
    "mixed_time_zones": "an offset, as others beside it have; or set schema.timezone",
}
"""Why a value is no usable time -> what is wanted instead."""

_ABSENT = MISSING | {None}
_HASHED_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_NUMBERS = frozenset({int, float})
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:Z|[+-]\d\d:?\d\d)?", re.ASCII)

_TRUE = frozenset({"true", "t", "yes", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "0", "0.0"})

# Earlier is a clock that was never set, later is one that broke: one such row would stretch a report over centuries.
_FIRST_TIME, _END_OF_TIME = np.datetime64("1971-01-01"), np.datetime64("2200-01-01")
# Text of eight digits between these is a date; as seconds all of them lie in 1970 and would be refused.
_FIRST_DATE, _LAST_DATE = 19_000_101, 21_001_231
# Seconds since 1970 stay below this until the year 5138; milliseconds, micro- and nanoseconds lie above it.
_EPOCH_UNITS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))
_EPOCH_LIMIT = 1e20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GO = re.compile(r"^(\S+ \S+) ([+-]\d{4}) [A-Z]+(?: m=\S+)?$")
"""How programs in Go write a time: with the zone's name, and the reading of a clock that only they know."""


def missing(raw: Column) -> Mask:
    """Which values are no values: None, NaN, or a text of `MISSING`."""
    if raw.dtype.kind == "f":
        return np.isnan(raw)
    if raw.dtype.kind == "M":
        return np.isnat(raw)
    if raw.dtype.kind not in "OU":
        return np.zeros(len(raw), dtype=bool)
    values = raw.tolist()
    if _HASHED_AS_THEY_ARE.issuperset(map(type, values)):
        if _ABSENT.isdisjoint(values):
            return np.zeros(len(values), dtype=bool)
        return np.array([value in _ABSENT for value in values], dtype=bool)
    return np.fromiter(
        (value is None or (value in MISSING if isinstance(value, str) else _is_nan(value)) for value in values),
        bool,
        len(values),
    )


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and isnan(value)


def floats(raw: Column) -> Vector:
    """Numbers and numeric text as float64, (n,); NaN for everything else."""
    if (plain := _plain_numbers(raw.tolist()) if raw.dtype.kind == "O" else None) is not None:
        return plain
    try:
        return raw.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        values = [value if type(value) is float else _float(value) for value in raw.tolist()]
        return np.array(values, dtype=np.float64)


def _plain_numbers(texts: Sequence[str]) -> Vector | None:
    """Texts that JSON too calls numbers, all in one go, which takes a third of the time; None if others are there."""
    try:
        numbers = orjson.loads(f"[{','.join(texts)}]")
    except (TypeError, orjson.JSONDecodeError):
        return None
    if len(numbers) != len(texts) or not _NUMBERS.issuperset(map(type, numbers)):
        return None
    return np.array(numbers, dtype=np.float64)


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # anything float refuses is not a number
    except (ValueError, TypeError, OverflowError):
        return np.nan


def booleans(raw: Column) -> Vector:
    """Words for true and false as 1 and 0, (n,); NaN for everything else."""
    words = (str(value).strip().lower() for value in raw)
    return np.fromiter(
        (1.0 if word in _TRUE else 0.0 if word in _FALSE else np.nan for word in words), np.float64, len(raw)
    )


def parse_times(raw: Column, timezone: str | None) -> tuple[Times, Column]:
    """UTC microseconds, (n,), and for each value "" or the word of `TIME_PROBLEMS` that says why it is no time.

    A number, also one written as text, counts seconds, milli-, micro- or nanoseconds since 1970, told apart by its
    size. All other text is ISO 8601 or a time as Go writes it; text of eight digits that reads as a date is one. Text
    without an offset is in `timezone`; without a timezone it is UTC, but then not among times that have an offset.
    """
    problems = filled("", len(raw))
    if raw.dtype.kind == "M":
        if (wrong := ~((raw >= _FIRST_TIME) & (raw < _END_OF_TIME))).any():  # NaT is neither
            problems[wrong] = "out_of_range"
            problems[np.isnat(raw)] = "missing"
            raw = raw.copy()
            raw[wrong] = np.datetime64("1970-01-01")  # a year of many digits would wrap around
        return raw.astype("datetime64[us]").astype(np.int64), problems
    values = raw.tolist() if raw.dtype.kind == "O" else []
    if values and _NUMBERS.issuperset(map(type, values)):
        numbers = floats(raw)
        if np.abs(numbers).max() < _EPOCH_LIMIT:  # NaN is not below
            micros = _from_epochs(numbers)
            problems[_wrong_clock(micros.astype("datetime64[us]"))] = "out_of_range"
            return micros, problems
    micros, naive = np.zeros(len(raw), dtype=np.int64), np.zeros(len(raw), dtype=bool)
    usual = _as_long_as_most(values) if values else np.zeros(len(raw), dtype=bool)
    alike = _times_alike(values if usual.all() else raw[usual].tolist(), timezone)
    if alike is not None:
        micros[usual], naive[usual] = alike[0].astype(np.int64), alike[1]
    odd = ~usual if alike is not None else np.ones(len(raw), dtype=bool)
    if odd.any():
        micros[odd], problems[odd], naive[odd] = _each_time(raw[odd], timezone)
    problems[(problems == "") & _wrong_clock(micros.astype("datetime64[us]"))] = "out_of_range"
    fine = problems == ""
    if timezone is None and naive.any() and (fine & ~naive).any():
        problems[fine & naive] = "mixed_time_zones"
    return micros, problems


def _as_long_as_most(values: Sequence[object]) -> Mask:
    """The texts of that length which most have."""
    lengths = [len(value) if type(value) is str else -1 for value in values]
    usual = max(Counter(lengths).items(), key=itemgetter(1))[0]
    return np.array(lengths) == usual if usual >= 0 else np.zeros(len(values), dtype=bool)


def _each_time(raw: Column, timezone: str | None) -> tuple[Times, Column, Mask]:
    """As `parse_times`, one by one, and which of them have no offset."""
    problems = filled("", len(raw))
    naive = np.zeros(len(raw), dtype=bool)
    numbers = floats(raw)
    dates = _dates(raw, numbers)
    readable = (np.abs(numbers) < _EPOCH_LIMIT) & ~dates
    micros = _from_epochs(np.where(readable, numbers, 0.0))
    zone = ZoneInfo(timezone) if timezone else UTC
    for row in np.flatnonzero(dates | np.isnan(numbers)).tolist():
        try:
            moment = datetime.fromisoformat(_GO.sub(r"\1\2", str(raw[row]).strip()))
        except ValueError:
            continue
        readable[row], naive[row] = True, moment.tzinfo is None
        micros[row] = _micros(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)
    problems[~readable] = "not_a_time"
    problems[missing(raw)] = "missing"
    return micros, problems, naive


def _times_alike(texts: Sequence[str], timezone: str | None) -> tuple[Column, bool] | None:
    """Texts that are ISO 8601 to the same digit and with the same offset, as datetime64, and whether they have none.

    None if others are there.
    """
    first = _ISO.fullmatch(texts[0]) if texts and isinstance(texts[0], str) else None
    if first is None or (timezone and first[0] == first[1]) or set(map(type, texts)) != {str}:
        return None
    joined = "".join(texts)
    if not joined.isascii() or set(map(len, texts)) != {len(first[0])}:
        return None
    codes = np.frombuffer(joined.encode(), np.uint8).reshape(len(texts), -1)
    clock, offset = np.split(codes, [len(first[1])], axis=1)
    shape = np.where(clock - ord("0") < 10, ord("0"), clock)
    if (shape != shape[0]).any() or (offset != offset[0]).any():
        return None
    try:
        times = np.array([text[: len(first[1])] for text in texts], dtype="datetime64[us]")
        ahead = datetime.fromisoformat(first[0]).utcoffset()
    except ValueError:  # the 31st of February, or a hundred hours to the east
        return None
    return times - np.timedelta64(ahead or 0, "us"), ahead is None


def _wrong_clock(times: Column) -> Mask:
    return np.asarray((times < _FIRST_TIME) | (times >= _END_OF_TIME))


def _dates(raw: Column, numbers: Vector) -> Mask:
    dates = (numbers >= _FIRST_DATE) & (numbers <= _LAST_DATE)
    for row in np.flatnonzero(dates).tolist() if raw.dtype.kind in "OU" else ():
        text = raw[row].strip() if isinstance(raw[row], str) else ""
        dates[row] = len(text) == len("YYYYMMDD") and text.isdigit()
    return dates if raw.dtype.kind in "OU" else np.zeros(len(raw), dtype=bool)


def _from_epochs(numbers: Vector) -> NDArray[np.int64]:
    micros = np.zeros(len(numbers), dtype=np.int64)
    done = np.zeros(len(numbers), dtype=bool)
    sizes = np.abs(numbers)
    for limit, factor in _EPOCH_UNITS:
        now = ~done & (sizes < limit)
        if now.all():
            return np.rint(numbers * factor).astype(np.int64)
        micros[now] = np.rint(numbers[now] * factor).astype(np.int64)
        done |= now
    return micros


def _micros(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds

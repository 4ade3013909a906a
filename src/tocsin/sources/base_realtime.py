"""Records of a Realtime Database: the order in which it gives them, and what its keys say of their time.

Source: Firebase, "Retrieving Data" (how query results are ordered) and "The 2^120 Ways to Ensure Unique Identifiers".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson

from tocsin.connections.http import Reply, base_url
from tocsin.errors import DataError, LimitExceeded, RegistryError, SourceLost
from tocsin.storage.endpoint import expect_trusted

BY_KEY = "$key"
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
"""Variable of the environment that names the key file of who asks."""
MAX_EXPORT = 1 << 26
"""Bytes of a file that stands for a database: it is read whole."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9}")
_SMALLEST, _LARGEST = -(1 << 31), (1 << 31) - 1
_PUSH_LETTERS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_PUSH_ID = re.compile(r"[-0-9A-Z_a-z]{20}")
_TIME_LETTERS = 8
_FIRST_MS, _END_MS = 1_325_376_000_000, 7_258_118_400_000
"""2012, when Firebase began, and 2200."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_UNITS = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3), (1e8, 1))
"""Of a time as a number: from which size on it counts how many a second."""

Order = tuple[Any, ...]


class Record(NamedTuple):
    """A child of the location that is read."""

    key: str
    by: Any
    """What it is ordered by."""
    value: Any
    place: Order
    """Among the others, as something to compare."""


def records_of(value: Any, order_by: str) -> list[Record]:
    """The children of an answer, in their order; a database makes a list of keys that count up."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    found = [record_of(str(key), child, order_by) for key, child in items if child is not None]
    return sorted(found, key=lambda record: record.place)


def record_of(key: str, value: Any, order_by: str) -> Record:
    """A child with its place."""
    by = key if order_by == BY_KEY else value
    for step in () if order_by == BY_KEY else order_by.split("/"):
        by = by.get(step) if isinstance(by, dict) else None
    return Record(key, by, value, place_of(key, by, order_by))


def place_of(key: str, by: Any, order_by: str = "") -> Order:
    """Nothing before false, true, numbers, texts and objects; the same by their keys, of which integers come first.

    >>> place_of("a", 3) < place_of("a", "2") and place_of("9", 3) < place_of("10", 3) < place_of("a", 3)
    True
    """
    if order_by == BY_KEY:
        return _key_order(key)
    if isinstance(by, bool) or by is None:
        return (0 if by is None else 1 + by, 0, *_key_order(key))
    if isinstance(by, int | float):
        return (3, by, *_key_order(key))
    return (4, by, *_key_order(key)) if isinstance(by, str) else (5, 0, *_key_order(key))


def _key_order(key: str) -> Order:
    whole = int(key) if _INTEGER.fullmatch(key) else _LARGEST + 1
    return (0, whole, "") if _SMALLEST <= whole <= _LARGEST else (1, 0, key)


class Change(NamedTuple):
    """What an event says of the children."""

    records: list[Record]
    parts: list[str]
    """Keys of children of which it brings no more than a part."""
    whole: bool
    """Whether it is all that a query finds, as the first event of a stream is."""


def change_of(name: str, data: bytes, order_by: str) -> Change:
    """The children that a `put` or a `patch` brings; those that it deletes are none.

    Raises
    ------
    ValueError
        If it is no event of a database.
    """
    try:
        body = orjson.loads(data)
        steps, value = [step for step in body["path"].split("/") if step], body["data"]
    except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError("an event that is none of a Realtime Database") from error
    if not steps:
        found = records_of(value, order_by)
        parts = [record.key.partition("/")[0] for record in found if "/" in record.key]
        return Change([record for record in found if "/" not in record.key], parts, name == "put")
    if len(steps) > 1 or name == "patch":
        return Change([], steps[:1], whole=False)
    return Change([] if value is None else [record_of(steps[0], value, order_by)], [], whole=False)


def location(text: str) -> str:
    """The URL of a location without `.json`.

    Raises
    ------
    ValueError
        If it is none, or is not safe: over the network a token is sent by TLS alone.
    """
    url = base_url(text).removesuffix(".json").rstrip("/")
    try:
        expect_trusted(url, "url")
    except RegistryError as error:
        raise ValueError(f"a url that is {error.problem.got}, wanted {error.problem.wanted}") from None
    return url


def refusal(url: str, status: int, words: str) -> DataError | SourceLost:
    """What is wrong where a database gives no answer; `words` are its own."""
    if status == HTTPStatus.BAD_REQUEST:
        hint = "a value to order by needs an .indexOn in the rules of the database"
        return DataError(url, words, "a question that the database answers", hint)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        hint = f"{CREDENTIALS} names the key file of a service account that may read it"
        return SourceLost(url, f"status {status}: {words}", "leave to read", hint)
    hint = "is `url` that of a location, https://PROJECT.firebaseio.com/flows?"
    return SourceLost(url, f"status {status}: {words}", "an answer", hint)


def time_of(key: str) -> datetime | None:
    """When a key was made that the client chose by itself; None if it is no such key.

    >>> time_of("-JhLeOlGIEjaIOFHR0xd").year
    2015
    """
    if not _PUSH_ID.fullmatch(key):
        return None
    milliseconds = 0
    for letter in key[:_TIME_LETTERS]:
        milliseconds = milliseconds * len(_PUSH_LETTERS) + _PUSH_LETTERS.index(letter)
    if not _FIRST_MS <= milliseconds < _END_MS:
        return None
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def start_at(first: Record, order_by: str, since_s: float) -> Any:
    """From where on to read, if nothing is wanted from before a moment; None if the order does not tell the time.

    Parameters
    ----------
    first
        The first record that there is.
    since_s
        Seconds since 1970.
    """
    if order_by == BY_KEY:
        return _key_at(since_s) if time_of(first.key) else None
    if isinstance(first.by, int | float) and not isinstance(first.by, bool):
        unit = next((unit for least, unit in _UNITS if first.by >= least), None)
        return None if unit is None else int(since_s * unit)
    if isinstance(first.by, str) and _DAY.match(first.by):
        return (datetime.fromtimestamp(since_s, UTC) - timedelta(days=1)).date().isoformat()  # whatever its offset
    return None


def _key_at(moment_s: float) -> str:
    """Smaller than every key that a client chose by itself from this moment on."""
    milliseconds, letters = max(int(moment_s * 1_000), 0), ""
    for _ in range(_TIME_LETTERS):
        milliseconds, place = divmod(milliseconds, len(_PUSH_LETTERS))
        letters = _PUSH_LETTERS[place] + letters
    return letters


class Export:
    """A location saved as JSON, asked in place of a database.

    Parameters
    ----------
    url
        Of a file of this machine, at most 64 MiB long.
    """

    def __init__(self, url: str) -> None:
        self._path = Path(unquote(urlsplit(url).path))
        self._tree: Any = None

    def get(self, name: str, parameters: Mapping[str, str], wait_s: float) -> Reply:
        """The children that are asked for, as a database would give them.

        Raises
        ------
        DataError
            If the file cannot be read.
        LimitExceeded
            If it is too long.
        """
        tree = self._tree = self._tree if self._tree is not None else self._read()
        if "shallow" in parameters:
            return Reply(HTTPStatus.OK, dict.fromkeys(tree, True) if isinstance(tree, dict) else tree, whole=True)
        order_by, start = orjson.loads(parameters["orderBy"]), orjson.loads(parameters.get("startAt", "null"))
        records = records_of(tree, order_by)
        if start is not None:
            least = place_of(start if order_by == BY_KEY else "", start, order_by)[:2]
            records = [record for record in records if record.place[: len(least)] >= least]
        chosen = records[: int(parameters["limitToFirst"])]
        return Reply(HTTPStatus.OK, {record.key: record.value for record in chosen}, whole=True)

    def close(self) -> None:
        """Forget it."""
        self._tree = None

    def _read(self) -> Any:
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_EXPORT + 1)
            if len(text) > MAX_EXPORT:
                raise LimitExceeded(str(self._path), f"more than {MAX_EXPORT:,} bytes", f"at most {MAX_EXPORT:,}")
            return orjson.loads(text)
        except (OSError, orjson.JSONDecodeError) as error:
            raise DataError(str(self._path), str(error), "an export of a Realtime Database, as JSON") from error

"""Refused rows once more: a request lies in the folder of a service, which takes it up when it runs.

Whoever asks writes one file, and the service another with its answer. What it does is one transaction for each thousand
rows: their letters go, and come back only for what is refused again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from tocsin.errors import DataError, LimitExceeded, TocsinError
from tocsin.kernel.checkpoint import replacing
from tocsin.observe import live
from tocsin.records import NOT_SCORED, Batch, Rejected
from tocsin.schema.record_text import is_cut
from tocsin.scoring.stream import Stream, WentBack
from tocsin.sources.base_event_rows import EventReader

REQUEST, ANSWER = "replay.request.json", "replay.answer.json"
MAX_FILE = 4_096
"""Bytes of either."""
MOST = 100_000
"""Rows of one request."""
TOGETHER = 1_000
"""Rows of one transaction."""
LOOK_S = 0.25
"""Between two looks for a request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted."""

    id: str
    reason: str | None = None
    """Of the letters; None for all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it."""

    id: str
    replayed: int = 0
    """Rows that were given once more."""
    passed_on: int = 0
    """Those of them that were neither refused again nor known already."""
    problem: str = ""
    """Why it came to no end; empty if it did."""


class Replays:
    """Looks for requests, in a thread of its own, and has the stream do them.

    Parameters
    ----------
    stream
        At work.
    folder
        Of its journal.
    """

    def __init__(self, stream: Stream, folder: Path) -> None:
        self._stream = stream
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="replays", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            with suppress(OSError, DataError):
                if (request := read_request(self._folder)) is not None:
                    write(self._folder / ANSWER, self._do(request))
                    (self._folder / REQUEST).unlink(missing_ok=True)

    def _do(self, request: Request) -> Answer:
        replayed = passed_on = 0
        try:
            stream = self._stream
            ids = stream.requests.ask(lambda: stream.journal.stored.records(request.reason, MOST))
            for start in range(0, len(ids), TOGETHER):
                if self._ended.is_set():
                    return Answer(request.id, replayed, passed_on, "the service came to its end")
                some = self._once_more(ids[start : start + TOGETHER])
                try:
                    taken, passed = stream.requests.ask(some)
                except WentBack:  # from here on rows at fault are set apart
                    taken, passed = stream.requests.ask(some)
                replayed, passed_on = replayed + taken, passed_on + passed
        except (TocsinError, OSError) as error:
            return Answer(request.id, replayed, passed_on, str(error))
        live.letters_replayed(replayed, passed_on)
        return Answer(request.id, replayed, passed_on)

    def _once_more(self, ids: Sequence[bytes]) -> Any:
        def do() -> tuple[int, int]:
            stored = self._stream.journal.stored
            found = [(id, letter) for id in ids if (letter := stored.letter(id)) and not is_cut(letter.raw)]
            letters = [(id, letter) for id, letter in found if letter.reason != NOT_SCORED or self._as_it_came()]
            batches = list(rows_of([letter for _, letter in letters]))
            return len(letters), self._stream.take_again(batches, [id for id, _ in letters])

        return do

    def _as_it_came(self) -> bool:
        """Whether a row that was scored in vain can come again: its key is known by then, and names are pseudonyms."""
        schema = self._stream.serving.scorer.model.design.schema
        return not (schema.key or schema.identities)


def rows_of(letters: Sequence[Rejected]) -> Iterator[Batch]:
    """The records of letters as a source would give them, those of one file after the other."""
    reader = EventReader(path="letters")
    for file, group in groupby(sorted(letters, key=lambda item: (item.file, item.row)), lambda item: item.file):
        by_row = {item.row: item.raw for item in group}
        yield from reader.read_objects(file, ((row, _record(raw), raw) for row, raw in by_row.items()))


def _record(raw: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw  # which is no object, and refused as such


def read_request(folder: Path) -> Request | None:
    """What somebody wants of the service of this folder, if anybody does; raises DataError."""
    found = _read(folder / REQUEST)
    if found is None:
        return None
    id, reason = found.get("id"), found.get("reason")
    if not isinstance(id, str) or not isinstance(reason, str | None):
        raise DataError(str(folder / REQUEST), "something else", "what `tocsin dead-letters replay` wrote")
    return Request(id, reason)


def read_answer(folder: Path, id: str) -> Answer | None:
    """The answer to a request, if it is there; raises DataError."""
    found = _read(folder / ANSWER)
    return Answer(**found) if found and found.get("id") == id else None


def ask(folder: Path, request: Request) -> None:
    """Leave a request for the service.

    Raises
    ------
    LimitExceeded
        If there is another one, which it has not taken up yet.
    """
    if (folder / REQUEST).exists():
        hint = "it is taken up while `tocsin run` is at work"
        raise LimitExceeded(str(folder / REQUEST), "a request that waits", "one at a time", hint)
    write(folder / REQUEST, request)


def wait_for_answer(folder: Path, id: str, timeout_s: float) -> Answer | None:
    """The answer to a request, or None if it does not come in time; the request stays."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if answer := read_answer(folder, id):
            return answer
        time.sleep(LOOK_S)
    return None


def write(path: Path, value: Request | Answer) -> None:
    """Put one of the two files there, whole."""
    with replacing(path) as file:
        file.write(orjson.dumps(asdict(value)))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE)
    except FileNotFoundError:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DataError(str(path), str(error), "what Tocsin wrote") from None
    if not isinstance(value, dict):
        raise DataError(str(path), f"a JSON {type(value).__name__}", "what Tocsin wrote")
    return value

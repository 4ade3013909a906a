"""Records of a Firebase Realtime Database: its history page by page, and what is added while it is listened to.

Source: Firebase, "Retrieving Data" and "Streaming from the REST API" (Realtime Database REST).
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import orjson
from pydantic import Field

from tocsin import observe
from tocsin.connections.http import ATTEMPTS, MAX_ANSWER, PASSING, Answers, JsonServer, Reply, TooLong, shown
from tocsin.connections.server_sent_events import Broken, Event, Events
from tocsin.errors import DataError, LimitExceeded, MissingExtraError, SourceLost
from tocsin.records import Batch, Position
from tocsin.sources.base import MAX_KEYS, Piece, last_row
from tocsin.sources.base_realtime import (
    BY_KEY,
    CREDENTIALS,
    Export,
    Order,
    Record,
    change_of,
    location,
    place_of,
    records_of,
    refusal,
    start_at,
    time_of,
)
from tocsin.sources.base_remote import Cost, RemoteSource
from tocsin.sources.jsonl import Jsonl

if TYPE_CHECKING:
    from tocsin.sources.base_google_tokens import ServiceAccount

KEY = "record_key"
"""Column that holds the key of a record."""
TIMEOUT_S = 30.0
_FIRST_WAIT_S = 1.0
_FILE = "file://"
_STEP = r"[^.$#\[\]\x00-\x1f\x7f/]+"

Child = Annotated[str, Field(pattern=rf"^(\$key|{_STEP}(/{_STEP})*)$", max_length=768)]


class _Mark(NamedTuple):
    """The record behind which reading goes on, and the number of the row that was read last."""

    key: str
    by: Any
    number: int


class Firebase(RemoteSource):
    """Read the children of a location, each as a row.

    History comes in pages, in the order of `order_by`. With `follow` the source goes on with what is added, for which
    the database keeps a stream open; a stream that breaks off is taken up again behind the last record. A record counts
    as it was when it was first read: later changes are counted and left out. One that is added at a place of the order
    that was passed already, while nobody listened, is not seen: order by what grows.

    Nested values become columns as those of `jsonl` do, and the key of a record is the column `record_key`: as the
    schema's key it makes a record count once. Who asks is said by the key file of a service account that
    GOOGLE_APPLICATION_CREDENTIALS names; without it, only what everybody may read is read.

    Parameters
    ----------
    url
        Of a location, `https://PROJECT.firebaseio.com/flows`; `http` only of this machine. Or `file:///...`, an export
        of it as JSON.
    order_by
        `$key`, or a value of each child such as `timestamp`, for which the rules of the database need an `.indexOn`.
    page
        Records of one request, and rows of a batch, at most.
    follow
        Whether to go on with what is added.
    """

    def __init__(
        self,
        *,
        url: str,
        order_by: Child = BY_KEY,
        page: Annotated[int, Field(ge=1, le=10_000)] = 1_000,
        follow: bool = False,
    ) -> None:
        super().__init__()
        self.url = url if url.startswith(_FILE) else location(url)
        self.order_by = order_by
        self.page = page
        self.follow = follow
        self._reader = Jsonl(path="records", rows=page)
        self._server: Answers | None = None
        self._events: Events | None = None
        self._authorization: ServiceAccount | None = None
        self._forget()

    def _forget(self) -> None:
        self._batches: deque[tuple[Batch, _Mark]] = deque()
        self._given: _Mark | None = None
        self._last: Record | None = None
        """The one that comes last in the order of those that were read."""
        self._number = 0
        self._heard_behind: Order | None = None
        """The place of the last one when the stream was opened."""
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._limit = self.page
        self._start: Any = None
        """From where on to read, where not from the first."""
        self._first_asked = self.since is None
        self._from_start = True
        self._history_read = False
        self._failed = 0
        """Streams in a row that gave nothing."""
        self._token_refused = False
        self._due = 0.0
        self._hash = sha256()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """An export of five records, one of them no object."""
        records: dict[str, Any] = {f"flow-{second}": {"timestamp": second, "bytes": {"in": 9}} for second in range(5)}
        (folder / "export.json").write_bytes(orjson.dumps({**records, "flow-2": "no object"}))
        return cls(url=(folder / "export.json").as_uri(), page=2)

    def open(self, resume: Position | None = None) -> None:
        """Make ready to ask; the first question is asked by `read`.

        Raises
        ------
        ConfigError
            If the key file of the service account is none.
        MissingExtraError
            If there is one, and the package that uses it is not installed.
        """
        self.close()
        self._forget()
        self._server = self._answers()
        for cursor, number in (resume.offsets if resume else {}).items():
            key, by = json.loads(cursor)
            self._last = Record(key, by, None, place_of(key, by, self.order_by))
            self._number, self._first_asked = number, True
        self._from_start = self._last is None

    def read(self, timeout_s: float) -> Batch | None:
        """The next records, at most a page of them; an answer that has begun may outlast the time.

        Raises
        ------
        SourceLost
            If the database does not answer, no longer lets this be read, or not with what was asked for.
        DataError
            If it refuses the question; the message has its words.
        LimitExceeded
            If more records than an answer can hold have one place in the order, or the run may ask no more.
        """
        if self._server is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        deadline = self._elapsed() + timeout_s
        while not self._batches and not self.ended:
            wait = max(deadline - self._elapsed(), 0.0)
            if not (self._listen(wait) if self._history_read else self._ask(self._server, wait)):
                break
        if not self._batches:
            return None
        batch, self._given = self._batches.popleft()
        return batch

    @property
    def endless(self) -> bool:
        """Whether it follows."""
        return self.follow

    @property
    def ended(self) -> bool:
        """Whether all records are read; never, if it follows."""
        return self._history_read and not self.follow and not self._batches

    def acknowledge(self, batch: Batch) -> Position:
        """The place in the order behind which reading goes on."""
        if self._given is None:
            return Position("firebase")
        return Position("firebase", {json.dumps([self._given.key, self._given.by]): self._given.number})

    def close(self) -> None:
        """Give the connections up."""
        if self._events is not None:
            self._events.close()
        if self._server is not None:
            self._server.close()
        self._events, self._server = None, None

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of all records in their order, once they are all read."""
        return {self.url: self._hash.hexdigest()} if self.ended and self._from_start else {}

    @property
    def pieces(self) -> Iterator[Piece]:
        """The records, without their values; when each was written, where its key tells."""
        answers = self._answers()
        try:
            value: Any = None
            reply = None
            while reply is None:
                reply = answers.get("keys", {"shallow": "true"}, TIMEOUT_S)
            value = self._value(reply)
        except TooLong:
            wanted = f"at most {MAX_ANSWER:,} bytes of keys"
            raise LimitExceeded(self.url, "more records than can be listed", wanted) from None
        finally:
            answers.close()
        for key in value if isinstance(value, dict) else ():
            yield Piece(f"{self.url}/{key}", None, time_of(key))

    def cost(self, pieces: Sequence[Piece]) -> Cost:
        """A request for each page, and one for the keys; how many bytes, no listing tells."""
        return Cost(1 + ceil((len(pieces) + 1) / self.page), None)

    def _answers(self) -> Answers:
        if self.url.startswith(_FILE):
            return Export(self.url)
        if file := os.environ.get(CREDENTIALS):
            try:
                from tocsin.sources.base_google_tokens import ServiceAccount
            except ModuleNotFoundError as error:
                raise MissingExtraError("$.source", "google-auth", "cloud") from error
            self._authorization = ServiceAccount(file)
        url, who, meter = f"{self.url}.json", self._authorization, self.meter
        return JsonServer(url, TIMEOUT_S, who, elapsed=self._elapsed, sleep=self._sleep, meter=meter)

    def _question(self) -> dict[str, str]:
        start = self._start if self._last is None else self._last.by
        if isinstance(start, dict | list):
            wanted, hint = "one that is a number or a text", "choose another `order_by`"
            raise DataError(self.url, f"an object as {self.order_by}, by which records are ordered", wanted, hint)
        order = {"orderBy": json.dumps(self.order_by)}
        return order if start is None else {**order, "startAt": json.dumps(start)}

    def _ask(self, server: Answers, wait_s: float) -> bool:
        """Ask for the next page; False if there is no answer yet."""
        limit = self._limit + (self._last is not None)  # the last one comes again
        if not self._first_asked:
            limit = 1
        try:
            reply = server.get("records", {**self._question(), "limitToFirst": str(limit)}, wait_s)
        except TooLong:
            self._ask_for_less()
            return True
        if reply is None:
            return False
        if self._renewed(reply.status):
            return True
        found = records_of(self._value(reply), self.order_by)
        if not self._first_asked:
            self._first_asked = True
            self._start = start_at(found[0], self.order_by, self.since or 0.0) if found else None
            return True
        fresh = [record for record in found if self._last is None or record.place > self._last.place]
        full = len(found) >= limit
        if full and not fresh:  # more than a page of them have one place
            self._limit *= 2
        else:
            self._limit = min(self._limit, self.page)
            self._history_read = not full
        self._accept(fresh)
        return True

    def _ask_for_less(self) -> None:
        if self._limit == 1 or self._limit > self.page:
            got, hint = "an answer too long", "order by what differs from record to record"
            raise LimitExceeded(self.url, got, f"at most {MAX_ANSWER:,} bytes of records that come together", hint)
        self._limit //= 2

    def _accept(self, records: Sequence[Record]) -> None:
        """Rows of records that were not read before."""
        first, marks = self._number + 1, {}
        for number, record in enumerate(records, first):
            self._hash.update(orjson.dumps([record.key, record.value], option=orjson.OPT_SORT_KEYS))
            self._seen[record.key] = None
            if self._last is None or record.place > self._last.place:
                self._last = record
            marks[number] = _Mark(self._last.key, self._last.by, number)
        while len(self._seen) > MAX_KEYS:
            self._seen.popitem(last=False)
        self._number += len(records)
        rows = [{**item.value, KEY: item.key} if isinstance(item.value, dict) else item.value for item in records]
        objects = ((number, value, "") for number, value in enumerate(rows, first))
        for batch in self._reader.read_objects(self.url, objects):
            self._batches.append((batch, marks[last_row(batch)[1]]))

    def _value(self, reply: Reply) -> Any:
        if reply.status == HTTPStatus.OK:
            self._token_refused = False
            return reply.value
        raise refusal(self.url, reply.status, shown(reply.value))

    def _renewed(self, status: int) -> bool:
        """Whether a token that is no longer taken gave way to another one; not twice in a row."""
        if status != HTTPStatus.UNAUTHORIZED or self._authorization is None or self._token_refused:
            return False
        self._token_refused = True
        self._authorization.renew()
        return True

    def _listen(self, wait_s: float) -> bool:
        """Take what comes; False if nothing did."""
        if self._events is None:
            pause = self._due - self._elapsed()
            if pause > 0:
                self._sleep(min(pause, wait_s))
            if pause > wait_s:
                return False
            self._events = Events(f"{self.url}.json", self._question(), self._authorization, TIMEOUT_S, self.meter)
            self._heard_behind = self._last.place if self._last else None
        found: list[Record] = []
        try:
            while len(found) < self.page and self._events and (item := self._events.next(wait_s)):
                wait_s = 0.0
                if isinstance(item, Event):
                    found += self._told(item)
                else:
                    self._break_off(item)
        finally:
            self._accept(found)
        return bool(found) or not self._history_read

    def _told(self, event: Event) -> list[Record]:
        """Records that an event brings and that were not read before."""
        self._failed = 0
        if event.name == "cancel":
            raise refusal(self.url, HTTPStatus.FORBIDDEN, "the rules no longer allow it to be read")
        if event.name == "auth_revoked":
            self._read_again("the token is no longer valid")
            if self._authorization is not None:
                self._authorization.renew()
        if event.name not in ("put", "patch"):
            return []
        try:
            change = change_of(event.name, event.data, self.order_by)
        except ValueError as error:
            self._break_off(Broken(0, str(error)))
            return []
        for key in change.parts:
            self._told_in_part(key)
        behind = self._heard_behind if change.whole else None
        fresh = [
            item
            for item in change.records
            if item.key not in self._seen and not (behind is not None and item.place <= behind)
        ]
        if not change.whole and (changed := len(change.records) - len(fresh)):
            observe.records_changed("firebase", changed)
        self._seen.update(dict.fromkeys(item.key for item in fresh))
        return fresh

    def _told_in_part(self, key: str) -> None:
        """A record that was read already has changed; another one is read whole."""
        passed = self.order_by == BY_KEY and self._last is not None and place_of(key, key, BY_KEY) <= self._last.place
        if key in self._seen or passed:
            observe.records_changed("firebase", 1)
        else:
            self._read_again("a record came in parts")

    def _break_off(self, broken: Broken) -> None:
        """Read what is missing, then listen again, later after each time that gave nothing."""
        if self._renewed(broken.status):
            self._read_again("the token is no longer valid")
            return
        if 400 <= broken.status < 500 and broken.status not in PASSING:
            raise refusal(self.url, broken.status, broken.reason)
        self._failed += 1
        if self._failed == ATTEMPTS:
            self._failed = 0
            self._read_again(broken.reason)
            hint = "is the network up?"
            raise SourceLost(self.url, f"{broken.reason} ({ATTEMPTS} streams in a row)", "a stream of events", hint)
        self._due = self._elapsed() + _FIRST_WAIT_S * 2 ** (self._failed - 1)
        self._read_again(broken.reason)

    def _read_again(self, reason: str) -> None:
        observe.stream_broken("firebase", reason)
        if self._events is not None:
            self._events.close()
        self._events, self._history_read = None, False

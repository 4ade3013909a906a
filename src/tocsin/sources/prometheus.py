"""Range queries of a Prometheus server become rows.

Source: Prometheus, "HTTP API", Range queries (`/api/v1/query_range`) and Format overview.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial as bound
from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import unquote

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from tocsin.component import Duration
from tocsin.connections.http import (
    MAX_ANSWER,
    Answers,
    JsonFolder,
    JsonServer,
    Reply,
    TooLong,
    base_url,
    by_file,
    shown,
)
from tocsin.errors import DataError, LimitExceeded, SourceLost
from tocsin.records import ROW, Batch, Position
from tocsin.sources.base import RowsPerBatch
from tocsin.sources.base_polls import TimedSource
from tocsin.sources.base_samples import PLACES, TIME, Grid, Malformed, Samples, batches, read_samples

MAX_STEPS = 1_000
"""Instants of one request; a server refuses more than 11,000."""
_QUERY_RANGE = "/api/v1/query_range"
_FOLDER = "file:///"
_FIRST_YEAR, _END_YEAR = 1971, 2200


def _pairs(value: object) -> object:
    if isinstance(value, Mapping):
        return tuple(value.items())
    if not isinstance(value, tuple):
        raise ValueError("wanted a mapping from columns to PromQL")
    return value


def _whole(value: float) -> float:
    if value != int(value):
        raise ValueError("wanted whole seconds")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]
Query = Annotated[str, Field(min_length=1, max_length=2_000)]
Queries = Annotated[
    tuple[tuple[Name, Query], ...],
    Field(min_length=1, max_length=100),
    BeforeValidator(_pairs),
    PlainSerializer(dict),
]
"""Columns and their PromQL; a mapping in a config."""
Step = Annotated[Duration, AfterValidator(_whole)]


class Prometheus(TimedSource):
    """Ask Prometheus for the past, or go along with it: a row is an entity at an instant, a column is a query.

    Instants are multiples of `step` since 1970, so that any reading asks for the same ones; write the window into
    the query (`increase(...[5m])`), the row then stands for the time up to its `timestamp`. Without `end` and `last`
    the source never ends: it goes on with each step that is over.

    A sample that is not there is missing, never 0; an instant without any sample gives no row. Two samples for one
    row, or one without the label `entity`, refuse the row: the query lacks a `sum by (...)`. A server that does not
    answer is asked again a few times, by later reads where that is not due yet, and is then lost; the read after that
    asks for the same instants.

    Parameters
    ----------
    url
        Of the server, as far as `/api`; or `file:///folder` of its answers to range queries, saved as
        `error_rate.json` for the column `error_rate`.
    queries
        PromQL by the name of the column that its answer fills.
    entity
        The label that names whose row it is, and its column; without it each query must give one series.
    step
        Between two instants, in whole seconds.
    start
        First moment, ISO 8601; without an offset it is UTC. Without it, from now on.
    end
        Last moment. It may lie ahead: then it is waited for.
    last
        In place of both: so much up to now.
    delay
        How long after an instant its samples may still come in; earlier it is not asked for. Longer than a scrape.
    token_file
        Holds a bearer token, or `user:password` for basic authentication.
    timeout
        For a server to take a connection, to begin its answer, and to be done with it: a read may outlast its own
        time by that much.
    rows
        Rows per batch at most.
    """

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        url: str = "http://127.0.0.1:9090",
        queries: Queries,
        entity: Name | None = None,
        step: Step = 300.0,
        start: str | None = None,
        end: str | None = None,
        last: Duration | None = None,
        delay: Duration = 15.0,
        token_file: str | None = None,
        timeout: Duration = 10.0,
        rows: RowsPerBatch = 10_000,
    ) -> None:
        self.url = url.rstrip("/") if url.startswith(_FOLDER) else base_url(url)
        self.queries = queries
        self.entity = entity
        self.step = step
        self.start = start
        self.end = end
        self.last = last
        self.delay = delay
        self.token_file = token_file
        self.timeout = timeout
        self.rows = rows
        self._start = None if start is None else _seconds(start)
        self._end = None if end is None else _seconds(end)
        self._refuse_contradictions()
        self._server: Answers | None = None
        self._grid: Grid | None = None
        """What is being asked for, query after query."""
        self._answers: dict[str, Samples] = {}
        self._next = 0
        self._final: int | None = None
        self._behind = 0
        self._steps = MAX_STEPS
        self._batches: deque[Batch] = deque()

    @classmethod
    def example(cls, folder: Path) -> Self:
        """Answers saved for two services, one of which a query counts twice for a moment."""
        first = 1_767_571_200
        series = {
            "event_count": [("api", {0: "20", 60: "0", 120: "30"}), ("web", {60: "7", 180: "9"})],
            "error_rate": [("api", {0: "0.1", 60: "NaN"}), ("web", {180: "0.5"}), ("web", {180: "1"})],
        }
        for name, listed in series.items():
            result = [
                {"metric": {"service": who}, "values": [[first + at, value] for at, value in samples.items()]}
                for who, samples in listed
            ]
            answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
            (folder / f"{name}.json").write_bytes(orjson.dumps(answer))
        return cls(
            url=folder.as_uri(),
            queries=tuple((name, f"sum by (service) ({name})") for name in series),
            entity="service",
            step=60.0,
            start="2026-01-05T00:00:00Z",
            end="2026-01-05T00:05:00Z",
            rows=2,
        )

    def open(self, resume: Position | None = None) -> None:
        """Find out which instants to ask for; the server is asked by `read`.

        A position tells where to go on whatever `start` and `last` say: what was not read yet is not left out.
        """
        over = self._now() - self.delay
        step = int(self.step)
        self._final = None if self._end is None else self._floor(self._end)
        self._next = self._floor(over) + step if self._start is None else ceil(self._start / step) * step
        if self.last is not None:
            self._final = self._floor(over)
            self._next = self._floor(over - self.last) + step
        self._behind = resume.offsets.get(self.url, 0) if resume else 0
        if self._behind:
            self._next = self._floor(self._behind // PLACES)
        self._steps = MAX_STEPS
        self._batches.clear()
        self.close()
        if self.url.startswith(_FOLDER):
            self._server = JsonFolder(Path(unquote(self.url.removeprefix("file://"))))
        else:
            authorization = bound(by_file, self.token_file) if self.token_file else None
            self._server = JsonServer(
                self.url + _QUERY_RANGE, self.timeout, authorization, elapsed=self._elapsed, sleep=self._sleep
            )

    def read(self, timeout_s: float) -> Batch | None:
        """The next rows; steps that are not over yet, and a server that fails, are waited for as long as `timeout_s`.

        No request begins later than that, but one that has begun is awaited for up to three times `timeout`.

        Raises
        ------
        SourceLost
            If the server does not answer, or not with what was asked for.
        DataError
            If the server refuses a query; the message has its words.
        LimitExceeded
            If a single instant has more than 16 MiB of samples or 9,999 entities.
        """
        if self._server is None:
            raise DataError(repr(self), "read of a closed source", hint="call open first")
        deadline = self._elapsed() + timeout_s
        while not self._batches and not self.ended and self._went_on(self._server, deadline):
            if self._elapsed() >= deadline:
                break
        return self._batches.popleft() if self._batches else None

    @property
    def endless(self) -> bool:
        """Whether it follows, with neither an end nor a `last`."""
        return self.end is None and self.last is None

    @property
    def named(self) -> tuple[str, ...]:
        """What its queries are called."""
        return tuple(name for name, _ in self.queries)

    @property
    def ended(self) -> bool:
        """Whether all instants up to the end are read; never without an end."""
        return self._final is not None and self._next > self._final and not self._batches

    def acknowledge(self, batch: Batch) -> Position:
        """The last row of this batch, refused rows included."""
        last = max([*batch[ROW][-1:].tolist(), *(item.row for item in batch.rejected)])
        return Position("prometheus", {self.url: last})

    def close(self) -> None:
        """Give the connection up."""
        if self._server is not None:
            self._server.close()
        self._server, self._grid, self._answers = None, None, {}

    def _refuse_contradictions(self) -> None:
        columns = [TIME, *filter(None, [self.entity]), *(name for name, _ in self.queries)]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"the column {', '.join(twice)} twice, wanted another name")
        if self.last is not None and (self.start or self.end):
            raise ValueError("last beside start or end, wanted one or the other")
        if self.last is not None and self.last < self.step:
            raise ValueError(f"last {self.last:g} s, wanted at least a step ({self.step:g} s)")
        if self._end is not None and (self._start is None or self._start > self._end):
            raise ValueError(f"the end {self.end} and the start {self.start}, wanted a start before the end")

    def _floor(self, moment: float) -> int:
        return int(moment // self.step * self.step)

    def _went_on(self, server: Answers, deadline: float) -> bool:
        """Ask the next query; False if there is nothing to ask before the deadline."""
        if self._grid is None:
            self._grid = self._next_grid(deadline - self._elapsed())
        if self._grid is None:
            return False
        name, query = self.queries[len(self._answers)]
        try:
            reply = server.get(name, self._asked(query, self._grid), max(deadline - self._elapsed(), 0.0))
            if reply is None:
                return self._elapsed() < deadline
            self._answers[name] = self._samples(name, query, reply, self._grid)
        except TooLong:
            self._ask_for_less(self._grid)
        if len(self._answers) == len(self.queries):
            self._finish(self._grid)
        return True

    def _next_grid(self, wait_s: float) -> Grid | None:
        """The next instants that are over."""
        wait = self._next + self.delay - self._now()
        if wait > 0:
            self._sleep(max(min(wait, wait_s), 0.0))
        over = self._floor(self._now() - self.delay)
        until = over if self._final is None else min(over, self._final)
        steps = (until - self._next) // int(self.step) + 1
        return Grid(self._next, int(self.step), min(steps, self._steps)) if steps >= 1 else None

    def _asked(self, query: str, grid: Grid) -> dict[str, str]:
        times = {"start": str(grid.first), "end": str(grid.last), "step": str(grid.step)}
        return {"query": query, **times, "timeout": f"{self.timeout:g}"}

    def _ask_for_less(self, grid: Grid) -> None:
        """Begin again with half as many instants; all queries must be asked for the same ones."""
        self._grid, self._answers = None, {}
        if grid.steps == 1:
            wanted, hint = f"at most {MAX_ANSWER:,} bytes", "select or aggregate in the queries"
            raise LimitExceeded(self.url, "an answer too long for one instant", wanted, hint) from None
        self._steps = grid.steps // 2

    def _finish(self, grid: Grid) -> None:
        """Instants are done with only when all queries were answered and their rows made."""
        answers, self._grid, self._answers = self._answers, None, {}
        rows = batches(answers, grid, label=self.entity, file=self.url, behind=self._behind, rows=self.rows)
        self._batches.extend(list(rows))
        self._next = grid.last + grid.step

    def _samples(self, name: str, query: str, reply: Reply, grid: Grid) -> Samples:
        try:
            return read_samples(self._data(name, query, reply), grid)
        except Malformed as error:
            hint = "is it Prometheus that answers, and nothing that shifts or caches its answers?"
            raise SourceLost(f"{self.url}, query {name}", str(error), "samples as asked for", hint) from error

    def _data(self, name: str, query: str, reply: Reply) -> Any:
        where, value = f"{self.url}, query {name}", reply.value if isinstance(reply.value, dict) else {}
        if reply.status == HTTPStatus.OK and value.get("status") == "success":
            # Warnings of the query language say so; all others mean that a part of the storage did not answer.
            warnings = value.get("warnings")
            listed = warnings if isinstance(warnings, list) else []
            partial = [text for text in listed if not str(text).startswith("PromQL")]
            if partial:
                raise SourceLost(where, f"a partial answer: {shown(partial[0])}", "a whole one")
            return value.get("data")
        if "too many samples" in str(value.get("error")):
            raise TooLong
        if value.get("errorType") in ("bad_data", "execution"):
            raise DataError(where, f"{shown(value)} (in {query!r})", "PromQL that the server accepts")
        raise SourceLost(where, f"status {reply.status}: {shown(reply.value)}", "an answer", _advice(reply.status))


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if not _FIRST_YEAR <= moment.year < _END_YEAR:
        raise ValueError(f"the time {text}, wanted one from {_FIRST_YEAR} to {_END_YEAR - 1}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _advice(status: int) -> str:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return "give the source a `token_file`"
    if 300 <= status < 400:
        return "redirects are not followed; set `url` to where they lead"
    return "is `url` that of a Prometheus server, as far as /api?"

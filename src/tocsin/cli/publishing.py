"""Where simulated rows go: a file, or the broker that a config's source reads."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import orjson

from tocsin.connections import Unreachable
from tocsin.errors import DataError, DeliveryError
from tocsin.records import Batch, Column
from tocsin.sources.base import Source

Publish = Callable[[Batch], None]
"""Passes rows on; when it returns, they are where they should be."""
ENVELOPE = 200
"""Rows of a message."""
KEPT = 1_000_000
"""Entries of a Redis stream, about: older ones make way."""
_LEVEL = "simulated"
"""What stands for a wildcard of a topic."""


@contextmanager
def publisher(source: Source, to: Path | None) -> Iterator[Publish]:
    """What passes rows on to a file or, without one, to where this source reads.

    Raises
    ------
    DataError
        If rows cannot be put there.
    DeliveryError
        If a broker does not take them.
    """
    name = type(source).__module__.rpartition(".")[2]
    if to is not None or name in ("csv", "jsonl"):
        yield _file(to or Path(str(source.parameters()["path"])))
        return
    ways = {"sqlite_wal": _log, "mqtt": _mqtt, "nats": _nats, "redis_stream": _redis}
    if name not in ways:
        hint = "--to FILE.csv or FILE.jsonl writes a file"
        raise DataError("tocsin simulate", f"a source of type {name}", f"csv, jsonl, {', '.join(ways)}", hint)
    with ways[name](source) as publish:
        yield publish


def lines_of(batch: Batch) -> list[bytes]:
    """Each row as a JSON object; times in ISO 8601, UTC."""
    names = [name for name in batch if not name.startswith("_")]
    rows = zip(*(_values(batch[name]) for name in names), strict=True)
    return [orjson.dumps(dict(zip(names, row, strict=True))) for row in rows]


def _values(column: Column) -> list[Any]:
    if column.dtype.kind == "M":
        return list(np.datetime_as_string(column, unit="us", timezone="UTC"))
    return list(column.tolist())


def _file(path: Path) -> Publish:
    if any(letter in str(path) for letter in "*?["):
        raise DataError("tocsin simulate", f"{path}, which stands for several files", "one", "--to FILE")
    if path.suffix not in (".csv", ".jsonl"):
        raise DataError("tocsin simulate", f'{path}, with the ending "{path.suffix}"', ".csv or .jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)

    def publish(batch: Batch) -> None:
        content = _csv(path, batch) if path.suffix == ".csv" else b"".join(line + b"\n" for line in lines_of(batch))
        with path.open("a+b") as file:
            if file.tell():  # a last line without an end would swallow the first of these
                file.seek(-1, os.SEEK_END)
                content = content if file.read(1) == b"\n" else b"\n" + content
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    return publish


def _csv(path: Path, batch: Batch) -> bytes:
    """The rows in the order of the columns that the file has; a new one has those of the rows."""
    header: Sequence[str] = [name for name in batch if not name.startswith("_")]
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if path.exists() and path.stat().st_size:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                there = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(str(path), f"no names of columns ({error})", ", ".join(header), "--to FILE") from error
        if sorted(there) != sorted(header):
            hint = "--to FILE takes another"
            raise DataError(str(path), f"columns {', '.join(there)}", f"{', '.join(header)}", hint)
        header = there
    else:
        writer.writerow(header)
    columns = (_values(batch[name]) for name in header)
    writer.writerows(
        [str(value).lower() if isinstance(value, bool) else value for value in row]
        for row in zip(*columns, strict=True)
    )
    return text.getvalue().encode()


def _envelopes(batch: Batch) -> list[bytes]:
    lines = lines_of(batch)
    return [b"\n".join(lines[first : first + ENVELOPE]) for first in range(0, len(lines), ENVELOPE)]


@contextmanager
def _log(source: Any) -> Iterator[Publish]:
    from tocsin.sources.base_event_log import EventLog

    if source.message != "event":
        hint = "set `message: event`, or --to FILE"
        raise DataError("tocsin simulate", f"a log of the message {source.message}", "one of events", hint)
    with EventLog(Path(source.path)) as log:

        def publish(batch: Batch) -> None:
            log.append(lines_of(batch))

        yield publish


@contextmanager
def _mqtt(source: Any) -> Iterator[Publish]:
    from tocsin.connections.mqtt import MqttClient

    topic = _without_wildcards(source.topics[0], "/", "#", "+")
    client = MqttClient(source.url, f"tocsin-simulate-{uuid4().hex[:8]}", source.credentials)
    with _or_undelivered(source.url):
        client.connect()
        try:
            yield lambda batch: client.publish(topic, _envelopes(batch))
        finally:
            client.close()


@contextmanager
def _nats(source: Any) -> Iterator[Publish]:
    from tocsin.connections.nats import NatsClient

    if source.subject is None:
        raise DataError("tocsin simulate", f"stream {source.stream} without a subject", "one in `source.subject`")
    subject = _without_wildcards(source.subject, ".", ">", "*")
    client = NatsClient(source.url, source.credentials)
    with _or_undelivered(source.url):
        client.connect()
        try:
            yield lambda batch: client.publish(subject, [(uuid4().hex, content) for content in _envelopes(batch)])
        finally:
            client.close()


@contextmanager
def _redis(source: Any) -> Iterator[Publish]:
    from tocsin.connections.redis import RedisClient

    client = RedisClient(source.url, source.credentials)

    def publish(batch: Batch) -> None:
        if source.field is None:  # a field per column
            names = [name for name in batch if not name.startswith("_")]
            rows = zip(*(_values(batch[name]) for name in names), strict=True)
            entries = [{name: str(value).encode() for name, value in zip(names, row, strict=True)} for row in rows]
        else:
            entries = [{source.field: content} for content in _envelopes(batch)]
        client.add(source.stream, entries, KEPT)

    with _or_undelivered(source.url):
        client.connect()
        try:
            yield publish
        finally:
            client.close()


@contextmanager
def _or_undelivered(url: str) -> Iterator[None]:
    try:
        yield
    except Unreachable as error:
        where, wanted = f"tocsin simulate, {url}", "a broker that takes the rows"
        raise DeliveryError(where, error.got, wanted, error.hint) from error


def _without_wildcards(topic: str, separator: str, *wildcards: str) -> str:
    return separator.join(_LEVEL if level in wildcards else level for level in topic.split(separator))

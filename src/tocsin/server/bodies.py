"""What was sent, as rows: every limit is held while the bytes are read, and nothing is made of what exceeds one.

Sources: RFC 8259 (JSON), https://github.com/ndjson/ndjson-spec (JSON lines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from tocsin.records import Batch, Column
from tocsin.server.faults import Fault
from tocsin.server.policy import ARROW, LINES
from tocsin.sources.base_files import BrokenFile

MOST_ROWS = 10_000
"""Of one request."""
MOST_FIELDS = 256
MAX_TEXT = 1_024
"""Characters."""
MOST_BEFORE = 1_000
"""Rows of a window."""

Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Value = int | float | bool | Text | None
Row = Annotated[dict[Text, Value], Meta(min_length=1, max_length=MOST_FIELDS)]
Event = Annotated[dict[Text, Value | dict[Text, Value]], Meta(min_length=1, max_length=MOST_FIELDS)]
"""As a source takes it, which lays what lies in an object of its own beside the rest."""
Parsed = TypeVar("Parsed")


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One row, and what it is to be seen with."""

    row: Row
    window: Annotated[list[Row], Meta(max_length=MOST_BEFORE)] | None = None
    """Rows before it, of its entity, the oldest first: they take the place of what the service remembers."""
    reasons: bool = False


_one = msgspec.json.Decoder(ScoreRequest)
_many = msgspec.json.Decoder(Annotated[list[Row], Meta(min_length=1, max_length=MOST_ROWS)])
_row = msgspec.json.Decoder(Row)
_event = msgspec.json.Decoder(Event)
_events = msgspec.json.Decoder(Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_ROWS)])


def score_request(body: bytes) -> ScoreRequest:
    """The request of `POST /v1/score`; raises Fault."""
    return _decoded(_one, body)


def batch_of(body: bytes, type: str) -> Batch:
    """The rows of `POST /v1/score/batch` as a source would have read them; raises Fault."""
    if type == ARROW:
        from tocsin.sources.base_arrow import read_arrow

        try:
            columns, _ = read_arrow(body, MOST_ROWS)
            return Batch({name: column for name, column in columns.items() if name[:1] != "_"})
        except BrokenFile as error:
            raise Fault(413 if error.reason == "too_many_rows" else 400, error.detail, "an Arrow IPC stream") from None
    if type == LINES:
        rows = [_decoded(_row, line, f" in line {number}") for number, line in enumerate(_split(body), 1)]
    else:
        rows = _decoded(_many, body)
    return batch(rows)


def events_of(body: bytes, type: str) -> list[bytes]:
    """Each event of `POST /v1/events` as the JSON that it came as; raises Fault."""
    events = _split(body) if type == LINES else [bytes(event) for event in _decoded(_events, body)]
    for number, event in enumerate(events, 1):
        _decoded(_event, event, f" in event {number}")
    return events


def batch(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Columns of rows, each (n,); what a row lacks is None. Names that begin with an underscore are Tocsin's own."""
    names = dict.fromkeys(name for keys in dict.fromkeys(map(tuple, rows)) for name in keys if name[:1] != "_")
    if not names:
        raise Fault(422, "rows without a column", "names that do not begin with an underscore")
    return Batch({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> Column:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _split(body: bytes) -> list[bytes]:
    lines = [line for line in body.split(b"\n", MOST_ROWS + 1) if line.strip()]
    if not 1 <= len(lines) <= MOST_ROWS:
        raise Fault(422, "more rows" if lines else "no row", f"1 to {MOST_ROWS:,}")
    return lines


def _decoded(decoder: msgspec.json.Decoder[Parsed], body: bytes, where: str = "") -> Parsed:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Fault(422, f"{error}{where}", "rows as the page on REST describes them") from None
    except RecursionError:
        raise Fault(400, f"JSON within JSON, without end{where}", "rows of plain values", code="too_deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault(400, f"{error}{where}", "JSON (RFC 8259)") from None

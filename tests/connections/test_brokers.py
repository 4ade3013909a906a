"""NATS and Redis as sources, against real servers: what is confirmed, what comes again, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import orjson
import polars as pl
import pytest
from tests.connections.benches import BENCHES, Bench, Reader, bench, counted, numbered

from tocsin.errors import SourceLost
from tocsin.sources.base_json import MAX_LAYOUTS
from tocsin.sources.nats import Nats
from tocsin.sources.redis_stream import RedisStream

REDELIVERED = "tocsin_messages_redelivered_total"


@pytest.fixture(params=BENCHES)
def broker(request: pytest.FixtureRequest, tmp_path: Path, need: Callable[[bool, str], None]) -> Iterator[Bench]:
    """Each of the two in turn."""
    need(BENCHES[request.param][1].found() is not None, f"no server for {request.param}")
    with bench(request.param, tmp_path) as found:
        yield found


def test_what_was_not_confirmed_is_delivered_again_and_what_was_is_not(broker: Bench) -> None:
    reader = Reader(broker.source(rows=10))
    broker.publish(numbered(range(10)))
    reader.read_all()
    broker.publish(numbered(range(10, 30)))
    reader.read_all(confirm=False)
    reader.close()
    other = Reader(broker.source(rows=10))
    other.read_all()
    other.close()
    assert other.kept == list(range(10, 30))


def test_what_was_committed_but_not_confirmed_is_left_out(broker: Bench) -> None:
    reader = Reader(broker.source(rows=10))
    broker.publish(numbered(range(10)))
    reader.read_all()
    broker.publish(numbered(range(10, 20)))
    reader.read_all(confirm=False)
    broker.publish(numbered(range(20, 30)))
    reader.read(1.0, commit=False)
    reader.close()
    before = counted(REDELIVERED, broker.name)
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(30))
    assert counted(REDELIVERED, broker.name) - before == 10


def test_a_broker_is_told_at_last_of_what_was_committed_before_a_kill(broker: Bench) -> None:
    broker.publish(numbered(range(5)))
    reader = Reader(broker.source())
    reader.read(1.0, confirm=False)
    reader.close()
    reader.read_all()
    reader.close()
    other = Reader(broker.source())
    other.read_all()
    other.close()
    assert (reader.kept, other.kept) == (list(range(5)), [])


def test_a_message_of_many_rows_may_be_left_in_its_middle(broker: Bench) -> None:
    table = BytesIO()
    pl.DataFrame({"n": range(5, 10)}).write_ipc_stream(table)
    broker.publish([b"\n".join(numbered(range(5))), table.getvalue(), *numbered([10])])
    reader = Reader(broker.source(rows=3))
    while reader.read(1.0):
        reader.close()
    reader.close()
    assert reader.kept == list(range(11))


def test_poison_is_refused_with_its_reason_confirmed_and_never_seen_again(broker: Bench) -> None:
    kinds = {
        b"": "empty",
        b" \n ": "empty",
        b"[]": "empty",
        b"{": "not_json",
        b"}": "not_json",
        b"nonsense": "not_json",
        b"\x00": "not_json",
        b"\xfe\xff\x00{": "not_json",
        b"\xff\xff\xff\xff": "truncated",
        b"\xff\xff\xff\xff\x10\x00\x00\x00nonsense": "truncated",
        b"null": "not_an_object",
        b"7": "not_an_object",
        b'"text"': "not_an_object",
        b"[1]": "not_an_object",
        b'{"n": NaN}': "not_json",
        b'{"n": 1e999}': "not_json",
        b'{"n": 1} {"n": 2}': "not_json",
        b'{"a": "\xff"}': "not_json",
        orjson.dumps({str(number): 1 for number in range(1_025)}): "too_many_columns",
        b"[" * 5_000: "not_json",
    }
    good = [numbered(range(1_000 * number, 1_000 * number + 999)) for number in range(len(kinds))]
    for poison, clean in zip(kinds, good, strict=True):
        broker.publish([*clean, poison])
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    other = Reader(broker.source())
    other.read_all()
    other.close()
    assert [reason for reason, _ in reader.refused] == list(kinds.values())
    assert reader.kept == [number for clean in good for number in map(_number, clean)]
    assert (other.kept, other.refused) == ([], [])


def test_history_ends_and_takes_nothing_from_a_service(broker: Bench) -> None:
    history = broker.source(history=True, rows=4)
    broker.publish(numbered(range(10)))
    assert not history.endless
    first = Reader(history)
    first.read(1.0)
    broker.publish(numbered([10]))
    while not history.ended:
        first.read(1.0)
    service = Reader(broker.source())
    service.read_all()
    service.close()
    first.close()
    assert (first.kept, service.kept) == (list(range(10)), list(range(11)))


def test_history_goes_on_behind_a_position(broker: Bench) -> None:
    broker.publish(numbered(range(10)))
    reader = Reader(broker.source(history=True, rows=4))
    reader.read(1.0)
    reader.close()
    while not reader.source.ended:
        reader.read(1.0)
    reader.close()
    assert reader.kept == list(range(10))


def test_an_empty_history_ends_at_once(broker: Bench) -> None:
    reader = Reader(broker.source(history=True))
    assert reader.read(0.1) == 0
    assert reader.source.ended
    reader.close()


def test_a_service_may_begin_with_what_is_new(broker: Bench) -> None:
    broker.publish(numbered(range(5)))
    reader = Reader(broker.source(start="new"))
    reader.read(0.1)
    broker.publish(numbered(range(5, 8)))
    reader.read_all()
    reader.close()
    assert reader.kept == [5, 6, 7]


def test_rows_of_many_layouts_stay_in_order(broker: Bench) -> None:
    contents = [b'{"n": %d, "c%d": 1}' % (number, number % (MAX_LAYOUTS + 7)) for number in range(2_500)]
    broker.publish(contents)
    reader = Reader(broker.source())
    reader.read_all()
    reader.close()
    assert reader.kept == list(range(2_500))


def test_no_server_is_said_to_be_none(broker: Bench) -> None:
    source = broker.source()
    broker.server.kill()
    with pytest.raises(SourceLost, match="is the broker up"):
        source.open()


@pytest.mark.parametrize("kind", [Nats, RedisStream])
@pytest.mark.parametrize("url", ["http://127.0.0.1", "nats://me:secret@h:1", "redis://me:secret@h:1", "nats://h:x", ""])
def test_a_url_that_is_none_is_refused_and_not_shown(kind: type[Nats] | type[RedisStream], url: str) -> None:
    with pytest.raises(ValueError, match="wanted") as refusal:
        kind(url=url, stream="events")
    assert "secret" not in str(refusal.value)


def _number(content: bytes) -> int:
    found: int = orjson.loads(content)["n"]
    return found

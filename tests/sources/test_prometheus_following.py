"""Steps that are over, steps that are not, and where a source goes on."""

from __future__ import annotations

import pytest
from tests.sources.misbehaving_server import NOON, Clock, Misbehaving, at, made, rows_of, send

from tocsin.connections import http
from tocsin.errors import SourceLost
from tocsin.records import Batch


def test_following_waits_for_each_step_and_catches_up_after_a_pause() -> None:
    clock = Clock(NOON + 30.0)
    with Misbehaving() as server:
        source = clock.rule(made(url=server.url, step="1m", delay="10s"))
        source.open()
        assert source.read(5.0) is None
        assert (clock.now, server.asked) == (NOON + 35, [])
        assert moments(source.read(60.0)) == [NOON + 60]
        assert clock.now == NOON + 70
        clock.now += 200
        server.answers = [send(503, b"")] * http.ATTEMPTS
        with pytest.raises(SourceLost):
            source.read(100.0)
        batch = source.read(1.0)
        assert moments(batch) == [NOON + 60 * step for step in (2, 3, 4)]
        assert not source.ended
        assert batch is not None
        position = source.acknowledge(batch)
        clock.now += 86_400
        source.open(position)
        assert moments(source.read(1.0))[:2] == [NOON + 300, NOON + 360]
        source.close()


def moments(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [int(value) for value in batch["value"].tolist()]


def test_an_end_that_lies_ahead_is_waited_for() -> None:
    clock = Clock(float(NOON))
    with Misbehaving() as server:
        source = clock.rule(made(url=server.url, step="1m", start=at(NOON - 60), end=at(NOON + 119)))
        assert rows_of(source)["value"].tolist() == [NOON - 60, NOON, NOON + 60]
    assert clock.now == NOON + 75


def test_the_last_hour_ends_with_the_last_step_that_is_over() -> None:
    with Misbehaving() as server:
        # a delay of 15 s: the step at noon may still get samples
        source = Clock(NOON + 10.0).rule(made(url=server.url, step="1m", last="1h"))
        values = rows_of(source)["value"].tolist()
    assert (values[0], values[-1], len(values)) == (NOON - 60 * 60, NOON - 60, 60)


def test_a_position_older_than_the_span_leaves_nothing_out() -> None:
    with Misbehaving() as server:
        clock = Clock(float(NOON))
        source = clock.rule(made(url=server.url, step="1m", last="10m", rows=3))
        source.open()
        batch = source.read(0.1)
        assert batch is not None
        position = source.acknowledge(batch)
        clock.now = NOON + 3_600.0
        source.open(position)
        assert moments(source.read(0.1))[0] == moments(batch)[-1] + 60
        source.close()

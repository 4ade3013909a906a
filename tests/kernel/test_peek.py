"""Rows that are looked at and not taken: the features they would have, and no trace of them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kernel.streams import PROGRAMS, Row, any_streams, batch, of, program, same

from tocsin.kernel.checkpoint import dump, load
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNT = Operation("panes", (), ("rows",), {"pane_us": SECOND, "panes": 12, "statistics": ["count"], "min_count": 1})


def counting(entities: int) -> Kernel:
    return Kernel(Program((COUNT,), ("rows",), time="time", entity="host"), entities=entities)


def hosts(*names: str, begin: int = 0) -> Batch:
    return Batch({"host": np.array(names, dtype=object), "time": (begin + np.arange(len(names))) * SECOND})


@pytest.mark.parametrize("name", PROGRAMS)
@PROPERTY
@given(rows=any_streams(), cut=st.integers(0, 40), entities=st.sampled_from([1, 2, 20]), groups=st.integers(1, 3))
def test_a_look_ahead_has_the_bits_of_rows_that_came_next(
    name: str, rows: list[Row], cut: int, entities: int, groups: int
) -> None:
    kernel = Kernel(program(name), entities=entities)
    state = kernel.start()
    kernel.run(batch(rows[:cut]), state)
    before, ahead = dump(state), rows[cut:]
    numbers = [place % groups for place in range(len(ahead))]
    looked = of(kernel.peek(batch(ahead), state, numbers))
    assert dump(state) == before
    for whose in {(number, row.host) for number, row in zip(numbers, ahead, strict=True)}:
        chosen = [place for place, row in enumerate(ahead) if (numbers[place], row.host) == whose]
        came = kernel.run(batch([ahead[place] for place in chosen]), load(kernel, before))
        same(type(looked)(looked.values[chosen], looked.marks[chosen]), of(came))


@pytest.mark.parametrize("name", PROGRAMS)
@PROPERTY
@given(rows=any_streams())
def test_without_a_state_rows_are_the_first_of_their_entities(name: str, rows: list[Row]) -> None:
    kernel = Kernel(program(name))
    same(of(kernel.peek(batch(rows))), of(kernel.run(batch(rows), kernel.start())))


@PROPERTY
@given(
    came=st.lists(st.sampled_from("abcdefgh\ud800é"), max_size=60),
    looked=st.lists(st.sampled_from("abcdefgh\ud800é"), min_size=1, max_size=8),
)
def test_a_stranger_finds_the_place_that_it_would_be_given(came: list[str], looked: list[str]) -> None:
    kernel = counting(entities=3)
    state = kernel.start()
    kernel.run(hosts(*came), state)
    for name in set(looked):
        ahead = hosts(*[name] * looked.count(name), begin=len(came))
        same(of(kernel.peek(ahead, state)), of(kernel.run(ahead, load(kernel, dump(state)))))


def test_threads_may_look_while_another_takes_rows() -> None:
    kernel = Kernel(program("all"), entities=20)
    rows = Row("a", 0, 1.0, 2.0, 3.0, 4.0, "tcp", 0.0)
    stream = [rows._replace(time=number * SECOND, id=float(number), bytes=float(number)) for number in range(2_000)]
    undisturbed, state = kernel.start(), kernel.start()
    wanted = of(kernel.run(batch(stream), undisturbed))
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            kernel.peek(batch(stream[-3:]), state)

    watchers = [threading.Thread(target=look) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    try:
        parts = [of(kernel.run(batch(stream[first : first + 50]), state)) for first in range(0, len(stream), 50)]
    finally:
        ended.set()
        for watcher in watchers:
            watcher.join()
    same(type(wanted)(*(np.concatenate(part) for part in zip(*parts, strict=True))), wanted)
    assert dump(state) == dump(undisturbed)


def test_another_programs_state_is_refused() -> None:
    with pytest.raises(ValueError, match="another program"):
        counting(3).peek(hosts("a"), Kernel(program("ratio")).start())

"""Rows that went through and are taken back: the state has the bits that it had, and goes on as if they never came."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kernel.streams import PROGRAMS, Row, any_streams, batch, of, program, same

from tocsin.kernel.checkpoint import dump, load
from tocsin.kernel.run import Kernel

PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", PROGRAMS)
@PROPERTY
@given(rows=any_streams(), cuts=st.tuples(st.integers(0, 40), st.integers(0, 40)), entities=st.sampled_from([1, 2, 20]))
def test_rows_that_are_taken_back_leave_no_trace(
    name: str, rows: list[Row], cuts: tuple[int, int], entities: int
) -> None:
    first, second = sorted(cuts)
    came, back, next_ones = batch(rows[:first]), batch(rows[first:second]), batch(rows[second:])
    kernel = Kernel(program(name), entities=entities)
    state = kernel.start()
    kernel.run(came, state)
    before = dump(state)
    kept = kernel.keep(back, state)
    kernel.run(back, state)
    kernel.give_back(kept, state)
    assert dump(state) == before
    same(of(kernel.run(next_ones, state)), of(kernel.run(next_ones, load(kernel, before))))

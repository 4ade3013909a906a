"""One computation, however the rows come to it: not one bit of a value and not one mark may differ.

Every test runs over the example of every feature, and over all of them in one program.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.kernel.streams import (
    PROGRAMS,
    Row,
    any_streams,
    batch,
    bits,
    cut,
    joined,
    of,
    one_by_one,
    one_pass,
    program,
    same,
    steady_streams,
)

from tocsin.kernel import checkpoint
from tocsin.kernel.entities import COLD, NOT_ADMITTED
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND

PROPERTY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

pytestmark = pytest.mark.parametrize("name", PROGRAMS)


@PROPERTY
@given(rows=any_streams())
def test_one_by_one_is_one_pass(name: str, rows: list[Row]) -> None:
    kernel = Kernel(program(name))
    same(one_by_one(kernel, rows), one_pass(kernel, rows))


@PROPERTY
@given(rows=any_streams(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_any_cut_into_batches_is_one_pass(name: str, rows: list[Row], cuts: list[int]) -> None:
    kernel = Kernel(program(name))
    state = kernel.start()
    same(joined([of(kernel.run(batch(part), state)) for part in cut(rows, cuts)]), one_pass(kernel, rows))


@PROPERTY
@given(rows=any_streams(), end=st.integers(0, 40), limit=st.sampled_from([2, 20]))
def test_a_state_that_was_stored_and_read_goes_on_as_one_pass(name: str, rows: list[Row], end: int, limit: int) -> None:
    kernel = Kernel(program(name), entities=limit)
    state = kernel.start()
    first = of(kernel.run(batch(rows[:end]), state))
    restored = checkpoint.load(kernel, checkpoint.dump(state))
    rest = of(kernel.run(batch(rows[end:]), restored))
    same(joined([first, rest]), one_pass(kernel, rows))
    whole = kernel.start()
    kernel.run(batch(rows), whole)
    assert checkpoint.dump(restored) == checkpoint.dump(whole)


@PROPERTY
@given(rows=any_streams(), shards=st.integers(1, 4))
def test_any_number_of_shards_by_entity_is_one_pass(name: str, rows: list[Row], shards: int) -> None:
    kernel = Kernel(program(name))
    whole = one_pass(kernel, rows)
    homes = np.array([ord(row.host) % shards for row in rows])
    for shard in range(shards):
        here = np.flatnonzero(homes == shard)
        same(
            one_pass(kernel, [rows[place] for place in here]),
            bits(whole.values[here].view(np.float64), whole.marks[here]),
        )


@PROPERTY
@given(rows=any_streams())
def test_the_sources_compute_what_the_compiled_kernel_does(name: str, sources: type[Kernel], rows: list[Row]) -> None:
    same(one_pass(sources(program(name)), rows), one_pass(Kernel(program(name)), rows))


@PROPERTY
@given(rows=any_streams(), end=st.integers(0, 40), later=any_streams(10))
def test_later_rows_never_change_earlier_values(name: str, rows: list[Row], end: int, later: list[Row]) -> None:
    kernel = Kernel(program(name))
    same(one_pass(kernel, [*rows[:end], *later]), one_pass(kernel, rows), slice(min(end, len(rows))))


@PROPERTY
@given(rows=steady_streams(), start=st.integers(0, 40))
def test_a_start_one_longest_window_ago_has_the_bits_of_a_start_from_the_first_row(
    name: str, rows: list[Row], start: int
) -> None:
    """Clocks may not step, and no row may repeat one from before the start."""
    kernel = Kernel(program(name))
    start = min(start, len(rows) - 1)
    # Steps are made for windows of five minutes.
    slower = max(1, kernel.plan.horizon // (300 * SECOND))
    rows = [row._replace(time=rows[0].time + (row.time - rows[0].time) * slower) for row in rows]
    rows = [*rows[:start], *(row._replace(id=row.id + 1_000) for row in rows[start:])]
    latest: dict[str, int] = {}
    settled = []
    for place, row in enumerate(rows):
        if place < start:
            latest[row.host] = max(latest.get(row.host, row.time), row.time)
        elif row.time - latest.get(row.host, -(2**62)) >= kernel.plan.horizon:
            settled.append(place - start)
    whole = one_pass(kernel, rows)
    same(one_pass(kernel, rows[start:]), bits(whole.values[start:].view(np.float64), whole.marks[start:]), settled)


@PROPERTY
@given(rows=steady_streams(), limit=st.integers(1, 3))
def test_giving_up_entities_that_are_idle_changes_nothing(name: str, rows: list[Row], limit: int) -> None:
    kernel = Kernel(program(name), entities=limit)
    state = kernel.start()
    got = of(kernel.run(batch(rows), state))
    # By its own clock, not only by that of the entity which took its place.
    assume(not (got.marks & (NOT_ADMITTED | COLD)).any())
    same(got, one_pass(Kernel(program(name)), rows))

"""Rows are held back until nothing older is waited for."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin import log
from tocsin.kernel.entities import STEP_ROWS
from tocsin.records import SECOND, Batch
from tocsin.scoring.ordering import EventTime


def stream(*seconds: float) -> Batch:
    times = (np.array(seconds, dtype=np.float64) * SECOND).astype(np.int64)
    return Batch({"time": times, "number": np.arange(len(seconds), dtype=np.float64)})


def numbers(batch: Batch) -> list[float]:
    return batch["number"].tolist() if batch.rows else []


def through(order: EventTime, batch: Batch, cuts: list[int]) -> tuple[list[float], list[float]]:
    """Rows in order, and those that are too late."""
    decided = as_decided(order, batch, cuts)
    return [number for number, late in decided if not late], [number for number, late in decided if late]


def as_decided(order: EventTime, batch: Batch, cuts: list[int]) -> list[tuple[float, bool]]:
    """All rows, each too late one where it came among those in order."""
    decided: list[tuple[float, bool]] = []
    for start, end in zip([0, *cuts], [*cuts, batch.rows], strict=True):
        released = order.push(batch.take(slice(start, end)))
        places = [*range(released.in_order.rows), *(released.before - 0.5).tolist()]
        rows = [(number, False) for number in numbers(released.in_order)]
        rows += [(number, True) for number in numbers(released.too_late)]
        decided += [row for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]
    return decided + [(number, False) for number in numbers(order.flush())]


def test_row_5_rows_within_the_wait_come_out_in_the_order_of_their_times() -> None:
    assert through(EventTime("time", 5 * SECOND), stream(0, 4, 1, 3, 8), [2]) == ([0, 2, 3, 1, 4], [])


def test_row_5_a_row_beyond_the_wait_is_set_apart() -> None:
    assert through(EventTime("time", 5 * SECOND), stream(0, 20, 14, 15), []) == ([0, 3, 1], [2])


def test_nothing_is_released_before_the_watermark_has_passed_it() -> None:
    order = EventTime("time", 5 * SECOND)
    assert numbers(order.push(stream(0, 4)).in_order) == []
    assert numbers(order.push(stream(9)).in_order) == [0, 1]


def test_rows_beyond_the_limit_are_released_early_and_counted() -> None:
    name = 'tocsin_rows_marked_total{mark="released_early"}'
    before = log.counters().get(name, 0)
    order = EventTime("time", 1_000 * SECOND, limit=3)
    assert numbers(order.push(stream(5, 1, 4, 2, 3)).in_order) == [1, 3]
    assert numbers(order.push(stream(1.5)).too_late) == [0]
    assert log.counters()[name] == before + 2


def test_one_clock_far_ahead_does_not_blind_the_stream() -> None:
    ordered, late = through(EventTime("time", 5 * SECOND), stream(0, 1, 1e9, *range(2, 60)), [20])
    assert len(late) == STEP_ROWS - 1
    assert len(ordered) == 61 - len(late)


@example(seconds=[40, *[0] * 9, 3, 41], cuts=[1, 8, 9], wait=0)
@example(seconds=[0, 4, 40, *[2] * 9, 3, 1, 41], cuts=[3, 11], wait=5)
@given(
    seconds=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    wait=st.integers(0, 15),
)
def test_any_cut_of_a_stream_releases_the_same_rows_in_the_same_order(
    seconds: list[int], cuts: list[int], wait: int
) -> None:
    batch = stream(*seconds)
    cuts = sorted(min(cut, batch.rows) for cut in cuts)
    decided = as_decided(EventTime("time", wait * SECOND), batch, cuts)
    assert decided == as_decided(EventTime("time", wait * SECOND), batch, list(range(batch.rows)))
    ordered, late = through(EventTime("time", wait * SECOND), batch, [])
    assert decided == as_decided(EventTime("time", wait * SECOND), batch, [])
    times = [seconds[int(number)] for number in ordered]
    if len(late) < STEP_ROWS - 1:
        assert times == sorted(times)
    assert sorted(ordered + late) == list(range(batch.rows))

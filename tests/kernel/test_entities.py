"""A bounded number of entities: whose state is kept, whose is given up, and that no value changes without a mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.kernel.streams import TEN_YEARS, Row, one_pass, steady_streams

from tocsin import log
from tocsin.kernel import build
from tocsin.kernel.entities import COLD, LATE, NOT_ADMITTED, STEP_ROWS, TOO_LATE
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.state import KernelState
from tocsin.records import DAY, SECOND, Batch

WINDOW_S = 60
WINDOW = {"pane_us": 5 * SECOND, "panes": 12, "statistics": ["count", "sum"], "min_count": 1}
PROGRAM = Program((Operation("panes", ("bytes",), ("rows", "sum"), WINDOW),), ("rows", "sum"), "time", "host", ("id",))
COUNTS = Operation("panes", (), ("rows",), {**WINDOW, "statistics": ["count"]})
START = 1_767_225_600 * SECOND


def counting(entities: int) -> Kernel:
    return Kernel(Program((COUNTS,), ("rows",), "time", "host"), entities=entities)


def rows_of(names: Sequence[str], seconds: Sequence[float] | NDArray[np.floating[Any]]) -> Batch:
    times = START + (np.array(seconds) * SECOND).astype(np.int64)
    return Batch({"host": np.array(names, dtype=object), "time": times})


def row(host: str, at: int, key: float) -> Row:
    return Row(host, START + at * SECOND, 1.0, 0.0, 0.0, 0.0, "", key)


def counted(kernel: Kernel, *rows: tuple[str, float]) -> FeatureMatrix:
    names, seconds = zip(*rows, strict=True)
    return kernel.run(rows_of(names, seconds), kernel.start())


SKEWS = st.fixed_dictionaries(
    {host: st.sampled_from([0, 0, -50 * SECOND, 30 * SECOND, 200 * SECOND, TEN_YEARS]) for host in "abc"}
)


@settings(max_examples=300, deadline=None)
@given(rows=steady_streams(60), skews=SKEWS, limit=st.integers(1, 3))
def test_a_value_that_a_limit_changes_is_marked(rows: list[Row], skews: dict[str, int], limit: int) -> None:
    """Clocks may differ by any amount, but none steps; a row that comes twice is the same both times."""
    rows = [row._replace(time=row.time + skews[row.host]) for row in rows]
    limited, unlimited = one_pass(Kernel(PROGRAM, entities=limit), rows), one_pass(Kernel(PROGRAM), rows)
    sure = limited.marks & (COLD | NOT_ADMITTED | TOO_LATE) == 0
    changed = (limited.values != unlimited.values).any(axis=1)
    assert not (sure & changed).any(), (np.flatnonzero(sure & changed).tolist(), limited.marks, unlimited.marks)


def test_row_15_a_refused_row_is_missed_as_long_as_it_would_have_counted() -> None:
    matrix = counted(counting(1), ("v", -50), ("x", 0), ("x", 1), ("x", 59), ("x", 70))
    assert matrix.marks.tolist() == [0, NOT_ADMITTED, COLD, COLD, 0]
    assert matrix.values[:, 0].tolist() == [1, 1, 1, 2, 2]


def test_row_15_an_entity_that_was_given_up_is_marked_until_nothing_of_it_would_count() -> None:
    matrix = counted(counting(1), ("v", 0), ("x", 1), ("x", 2), ("v", 30), ("v", 31), ("v", 66), ("v", 95))
    assert matrix.marks.tolist() == [0, NOT_ADMITTED, COLD, NOT_ADMITTED, COLD, COLD, 0]


def test_row_15_a_place_is_given_up_after_the_longest_silence() -> None:
    rows = [("a", 0), ("b", 1), ("a", 2), ("c", 3), ("c", 4), ("a", 5), ("c", 6), ("b", 7)]
    assert counted(counting(2), *rows).values[:, 0].tolist() == [1, 1, 2, 1, 1, 3, 2, 1]


def test_row_15_an_entity_that_is_idle_is_given_up_without_a_mark() -> None:
    matrix = counted(counting(1), ("a", 0), ("b", 61), ("a", 122))
    assert matrix.marks.tolist() == [0, 0, 0]


def test_row_15_a_silence_longer_than_the_window_forgets_keys_too_whether_the_place_was_given_up_or_not() -> None:
    rows = [row(*came) for came in (("a", 0, 1.0), ("b", 61, 2.0), ("a", 122, 1.0))]
    for entities in (1, 2):
        assert one_pass(Kernel(PROGRAM, entities=entities), rows).marks.tolist() == [0, 0, 0]


def test_row_15_what_is_given_up_is_counted_by_whether_it_still_mattered() -> None:
    idle, active = (f'tocsin_entities_evicted_total{{reason="{reason}"}}' for reason in ("idle", "limit"))
    before = log.counters()
    counted(counting(1), ("a", 0), ("b", 61), ("c", 62), ("c", 63), ("d", 64))
    after = log.counters()
    assert after[idle] == before.get(idle, 0) + 1
    assert after[active] == before.get(active, 0) + 1


@pytest.mark.parametrize("ahead", [TEN_YEARS, 60 * DAY])
def test_a_clock_that_runs_ahead_does_not_mark_the_others(ahead: int) -> None:
    kernel = counting(2)
    state = kernel.start()
    late_s = ahead / SECOND
    kernel.run(rows_of(["a", "b", "ahead", "ahead", "c", "c"], [0, 1, late_s, late_s + 1, 2, 3]), state)
    assert state.entities.evicted_active + state.entities.evicted_idle > 0
    names = [f"host-{number}" for number in range(2_000) for _ in range(2)]
    marks = kernel.run(rows_of(names, np.arange(4_000) * 61.0 + 200), state).marks
    assert np.count_nonzero(marks) < 20


def test_an_entity_whose_clock_was_put_right_after_it_was_given_up_is_soon_believed() -> None:
    ahead = TEN_YEARS / SECOND
    rows = [("x", ahead), ("v", 0), ("v", 1), *(("x", 120 + 10 * row) for row in range(30))]
    marks = counted(counting(1), *rows).marks.tolist()[3:]
    assert all(mark & COLD for mark in marks[:STEP_ROWS])
    assert marks[20:] == [0] * 10


def test_a_row_too_late_is_not_called_cold_before_1970_either() -> None:
    assert counted(counting(2), ("a", -1 - START // SECOND), ("a", -90 - START // SECOND)).marks.tolist() == [
        0,
        TOO_LATE,
    ]


def random_names(rng: np.random.Generator, number: int) -> list[str]:
    return [f"random-{value:x}" for value in rng.integers(0, 2**62, number).tolist()]


def test_a_million_names_go_through_twenty_thousand_places() -> None:
    kernel = counting(20_000)
    state = kernel.start()
    held = state.memory.nbytes
    names = 10**6 if build.compiled() else 50_000
    refused = 0
    for first in range(0, names, 10_000):
        # Each name comes twice, so that every one of them is let in.
        chunk = np.repeat(np.array([f"name-{number}" for number in range(first, first + 10_000)], dtype=object), 2)
        marks = kernel.run(rows_of(chunk.tolist(), (2 * first + np.arange(20_000)) / 10_000), state).marks
        refused += int(np.count_nonzero(marks & NOT_ADMITTED))
    entities = state.entities
    assert len(state) == len(entities.places) == len(entities.names) == 20_000
    assert state.memory.nbytes == held
    assert refused == entities.evicted_active + entities.evicted_idle == names - 20_000


def test_real_entities_keep_their_places_in_a_flood_of_names_that_come_once(rng: np.random.Generator) -> None:
    kernel = counting(2_000)
    state = kernel.start()
    real = [f"real-{number}" for number in range(1_000)]
    flood = 200_000 if build.compiled() else 20_000
    names = np.array(random_names(rng, flood) + real * 20, dtype=object)[rng.permutation(flood + 20_000)]
    matrix = kernel.run(rows_of(names.tolist(), np.arange(len(names)) / 10_000), state)
    assert len(state) == 2_000
    assert kept(state, real) >= 990
    # The later half: by then a real one has come often enough to have been let in.
    late = np.flatnonzero(np.char.startswith(names.astype(str), "real"))[10_000:]
    assert np.count_nonzero(matrix.marks[late] & NOT_ADMITTED) < 0.01 * len(late)


def kept(state: KernelState, names: Sequence[str]) -> int:
    return sum(name in state.entities.places for name in names)


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.text(max_size=3), min_size=1, max_size=40), limit=st.integers(1, 4))
@example(names=["\ud800", "\x00", "", "\ud800"], limit=1)
def test_a_name_may_be_any_text(names: list[str], limit: int) -> None:
    kernel = counting(limit)
    state = kernel.start()
    kernel.run(rows_of(names, range(len(names))), state)
    assert len(state) == min(limit, len(set(names)))
    assert set(state.entities.places) <= set(names)


def test_row_05_a_row_in_the_past_of_its_entity_does_not_let_another_in() -> None:
    """Silence is of arrivals: an entity that only sends late rows is heard of all the same."""
    matrix = counted(counting(2), ("a", 100), ("b", 101), ("a", 99), ("c", 102), ("c", 103), ("a", 104))
    assert matrix.marks.tolist() == [0, 0, LATE, NOT_ADMITTED, COLD, 0]

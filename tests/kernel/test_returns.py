"""Gaps between the rows of one value: how many in a row are alike, held against a list that forgets nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch

WINDOW_S, APART_S, TOLERANCE, GAPS, VALUES = 600, 5, 0.25, 4, 3
NAN = float("nan")

DAY = Operation(
    "panes", (), ("rows",), {"pane_us": 86_400 * SECOND, "panes": 1, "statistics": ["count"], "min_count": 1}
)
"""A longer memory in the same program: no silence of a test makes an entity new as a whole."""
Row = tuple[int, str]
"""Seconds, value."""


def kernel(**other: float) -> Kernel:
    constants = {
        "window_us": WINDOW_S * SECOND, "apart_us": APART_S * SECOND, "tolerance": TOLERANCE, "gaps": GAPS,
        "values": VALUES, "reads": "text", **other,
    }  # fmt: skip
    return Kernel(Program((DAY, Operation("returns", ("x",), ("n",), constants)), ("n",), "time"))


def run(*rows: Row) -> list[float]:
    batch = Batch(
        {
            "time": np.array([at for at, _ in rows], dtype=np.int64) * SECOND,
            "x": np.array([value for _, value in rows], dtype=object),
        }
    )
    values: list[float] = kernel().run(batch, kernel().start()).values[:, 0].tolist()
    return values


def expected(rows: list[Row]) -> list[float]:
    """The same from all rows before, for rows in the order of their times."""
    told = []
    for number, (now, value) in enumerate(rows):
        if not value:
            told.append(NAN)
            continue
        since, seen = 0, list[str]()
        for place in range(number - 1, -1, -1):  # how far back it was never forgotten
            other = rows[place][1]
            if other == value:
                seen = []
            elif other and other not in seen:
                seen.append(other)
            if len(seen) == VALUES:
                since = place
                break
        mine = [at for at, name in rows[since : number + 1] if name == value]
        visits = mine[:1] + [later for earlier, later in pairwise(mine) if later - earlier >= APART_S]
        visits = [at for at in visits[-GAPS - 1 :] if at > now - WINDOW_S or at == visits[-1]]
        found, mean = 0, 0.0
        for later, earlier in pairwise(reversed(visits)):
            if found and abs(later - earlier - mean) > TOLERANCE * mean:
                break
            found += 1
            mean += (later - earlier - mean) / found
        told.append(found)
    return told


streams = st.lists(
    st.tuples(st.sampled_from([0, 1, 4, 5, 30, 30, 33, 60, 400]), st.sampled_from(["", *"ppppqrst"])), max_size=60
).map(lambda steps: list(zip(np.cumsum([step for step, _ in steps]).tolist(), [x for _, x in steps], strict=True)))


@settings(max_examples=200, deadline=None)
@given(rows=streams)
def test_it_is_told_what_a_list_of_all_rows_would_tell(rows: list[Row]) -> None:
    np.testing.assert_array_equal(run(*rows), expected(rows))


def test_a_clock_is_counted_up_to_the_gaps_that_are_kept() -> None:
    assert run(*((60 * turn, "p") for turn in range(7))) == [0, 1, 2, 3, 4, 4, 4]


def test_a_gap_that_is_another_begins_anew() -> None:
    assert run((0, "p"), (60, "p"), (120, "p"), (150, "p"), (180, "p")) == [0, 1, 2, 1, 2]


def test_rows_of_one_visit_are_one_however_long_it_lasts() -> None:
    assert run((0, "p"), (60, "p"), (64, "p"), (68, "p"), (72, "p"), (120, "p")) == [0, 1, 1, 1, 1, 2]


def test_a_late_row_is_told_nothing_and_moves_nothing() -> None:
    told = run((0, "p"), (60, "p"), (30, "p"), (120, "p"))
    np.testing.assert_array_equal(told, [0, 1, NAN, 2])


def test_a_value_is_forgotten_for_as_many_others_as_are_remembered() -> None:
    two, three = ([(at, value) for at, value in zip((61, 62, 63), "qrs", strict=True)][:others] for others in (2, 3))
    assert run((0, "p"), (60, "p"), *two, (120, "p"))[-1] == 2
    assert run((0, "p"), (60, "p"), *three, (120, "p"))[-1] == 0


@pytest.mark.parametrize(
    "constants",
    [
        {"apart_us": 0}, {"apart_us": WINDOW_S * SECOND + 1}, {"window_us": 2**53}, {"values": 0}, {"values": 257},
        {"gaps": 1}, {"gaps": 65}, {"tolerance": 0.0}, {"tolerance": NAN},
    ],
)  # fmt: skip
def test_constants_out_of_their_ranges_make_no_plan(constants: dict[str, float]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        kernel(**constants)

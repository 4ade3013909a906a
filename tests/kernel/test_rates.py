"""Rates: gauges, counters that wrap or begin anew, gaps, missing values, and clocks that are wrong."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import IntegrityError
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.rates import QUALITIES
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.records import SECOND, Batch

NAN = float("nan")
TOP = 2.0**32
MAX_GAP_S = 600
HORIZON_S = 9 * MAX_GAP_S


class Row(NamedTuple):
    at: float
    """Seconds."""
    value: float
    uptime: float = NAN


class Judged(NamedTuple):
    rates: list[float]
    qualities: list[str]


def rate_program(*, bits: int | None = None, **changed: object) -> Program:
    constants = {"max_gap_us": MAX_GAP_S * SECOND, "bits": bits, "reset": "nan", "quality": True, **changed}
    outputs = ("x_per_s", "x_quality")[: 2 if constants["quality"] else 1]
    return Program((Operation("rate", ("x", "up"), outputs, constants),), outputs, time="time")


def batch(rows: list[Row]) -> Batch:
    times, values, uptimes = (np.array([row[column] for row in rows], dtype=np.float64) for column in range(3))
    return Batch({"time": np.rint(times * SECOND).astype(np.int64), "x": values, "up": uptimes})


def run(rows: list[Row], **constants: object) -> FeatureMatrix:
    kernel = Kernel(rate_program(**constants))  # type: ignore[arg-type]
    return kernel.run(batch(rows), kernel.start())


def judged(*rows: tuple[float, ...], **constants: object) -> Judged:
    matrix = run([Row(*row) for row in rows], **constants)
    assert matrix.warm.all()
    return Judged(matrix.values[:, 0].tolist(), [QUALITIES[int(code)] for code in matrix.values[:, 1]])


def rates(*rows: tuple[float, ...], **constants: object) -> list[float]:
    return judged(*rows, **constants).rates


def qualities(*rows: tuple[float, ...], **constants: object) -> list[str]:
    return judged(*rows, **constants).qualities


def test_a_gauge_may_rise_and_fall() -> None:
    np.testing.assert_array_equal(rates((0, 10.0), (2, 20.0), (4, 10.0)), [NAN, 5, -5])


def test_a_gauge_knows_no_restart() -> None:
    np.testing.assert_array_equal(rates((0, 10.0, 999.0), (2, 20.0, 0.0), (4, 10.0, 2.0)), [NAN, 5, -5])


def test_without_quality_there_is_the_rate_alone() -> None:
    assert run([Row(0, 1.0), Row(1, 2.0)], quality=False).values.shape == (2, 1)


def test_row_06_a_gap_has_no_rate_and_the_value_after_it_starts_anew() -> None:
    got = judged((0, 0.0), (600, 60.0), (1201, 0.0), (1202, 7.0))
    np.testing.assert_array_equal(got.rates, [NAN, 0.1, NAN, 7])
    assert got.qualities == ["first", "rate", "gap", "rate"]


@pytest.mark.parametrize("bits", [None, 32, 64])
def test_row_06_where_time_stands_still_or_goes_back_there_is_no_rate_and_the_next_is_told_from_there(
    bits: int | None,
) -> None:
    got = judged((0, 1.0), (0, 50.0), (-5, 9.0), (2, 23.0), bits=bits)
    np.testing.assert_array_equal(got.rates, [NAN, NAN, NAN, 2])
    assert got.qualities == ["first", "stood_still", "stood_still", "rate"]


def test_row_06_a_clock_that_is_set_back_makes_no_traffic() -> None:
    # 1 per second throughout, also while the clock shows times that it has shown before.
    before, after = [(at, at) for at in range(0, 3_000, 60)], [(at - 1_800, at) for at in range(3_000, 6_000, 60)]
    got = rates(*before, *after, bits=32)
    assert [place for place, rate in enumerate(got) if np.isnan(rate)] == [0, len(before)]
    assert set(np.array(got)[~np.isnan(got)]) == {1.0}


def test_row_06_a_clock_that_is_set_by_less_than_an_interval_is_known_by_the_uptime() -> None:
    rows = ((0, 0.0, 1000.0), (60, 60.0, 1060.0), (65, 120.0, 1120.0), (125, 180.0, 1180.0), (300, 240.0, 1240.0))
    got = judged(*rows, bits=32)
    assert got.qualities == ["first", "rate", "stood_still", "rate", "stood_still"]
    np.testing.assert_array_equal(got.rates, [NAN, 1, NAN, 1, NAN])


def test_row_06_times_and_uptimes_may_be_whole_seconds(rng: np.random.Generator) -> None:
    exact = np.cumsum(rng.uniform(9, 11, 500))
    times, uptimes = np.floor(exact).tolist(), np.floor(exact + 7.6).tolist()
    rows = [(at, float(place), up) for place, (at, up) in enumerate(zip(times, uptimes, strict=True))]
    assert set(qualities(*rows, bits=32)[1:]) == {"rate"}


def test_row_06_a_reset_is_missing_unless_declared_to_start_from_zero() -> None:
    rows = ((0, 1e9), (10, 1e9 + 900), (20, 500.0), (30, 700.0))
    np.testing.assert_array_equal(rates(*rows, bits=32), [NAN, 90, NAN, 20])
    np.testing.assert_array_equal(rates(*rows, bits=32, reset="from_zero"), [NAN, 90, 50, 20])
    assert qualities(*rows, bits=32) == ["first", "rate", "reset", "rate"]


@pytest.mark.parametrize("rows", [((0, 1e9), (10, 500.0)), ((0, 1e9), (10, 1e9 + 100), (20, 9e8))])
def test_row_06_a_start_from_zero_is_told_only_if_it_is_likely(rows: tuple[tuple[float, float], ...]) -> None:
    got = judged(*rows, bits=32, reset="from_zero")
    assert np.isnan(got.rates[-1])
    assert got.qualities[-1] == "reset"


def test_row_06_a_restart_is_a_reset_also_if_the_counter_rose() -> None:
    rows = ((0, 500.0, 86_400.0), (300, 800.0, 86_700.0), (600, 4e6, 200.0), (900, 5e6, 500.0))
    got = judged(*rows, bits=32)
    assert got.qualities == ["first", "rate", "reset", "rate"]
    assert np.isnan(got.rates[2])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(86_400.0, 295.0, id="up for long, and again almost since the last value"),
        pytest.param(86_400.0, 299.9, id="it was up again before the last value was an instant old"),
        pytest.param(250.0, 255.0, id="up for longer than before, but not for long enough"),
        pytest.param(NAN, 200.0, id="the last uptime is missing"),
    ],
)
def test_row_06_a_device_that_was_up_for_less_than_passed_has_restarted(before: float, after: float) -> None:
    assert qualities((0, 500.0, before), (300, 800.0, after), bits=32)[1] == "reset"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(86_400.0, 86_698.5, id="the answer came late"),
        pytest.param(1.0, 301.0, id="it started just before the last value"),
        pytest.param(0.0, 298.5, id="it started with the last value"),
        pytest.param(86_400.0, NAN, id="the uptime is missing"),
        pytest.param(NAN, 86_400.0, id="the last uptime is missing"),
        pytest.param(86_400.0, np.inf, id="the uptime is no number"),
    ],
)
def test_row_06_a_device_that_ran_on_is_not_taken_for_one_that_restarted(before: float, after: float) -> None:
    assert qualities((0, 500.0, before), (300, 800.0, after), bits=32)[1] != "reset"


def test_a_counter_that_wraps_goes_on() -> None:
    got = judged((0, TOP - 300), (10, TOP - 100), (20, 100.0), bits=32)
    np.testing.assert_array_equal(got.rates, [NAN, 20, 20])
    assert got.qualities == ["first", "rate", "wrap"]


def test_the_same_fall_is_a_reset_for_a_wider_counter() -> None:
    assert qualities((0, TOP - 300), (10, TOP - 100), (20, 100.0), bits=64)[2] == "reset"


def test_a_counter_of_64_bits_wraps_too() -> None:
    # Its units near the top are 2 048.
    got = judged((0, 2.0**64 - 6_144), (10, 2.0**64 - 4_096), (20, 0.0), bits=64)
    np.testing.assert_array_equal(got.rates, [NAN, 204.8, 409.6])
    assert got.qualities[2] == "wrap"


def test_with_no_rate_to_compare_with_a_fall_tells_nothing() -> None:
    assert qualities((0, TOP - 100), (10, 100.0), bits=32)[1] == "reset"
    assert qualities((0, 1.0), (9, 9e6), (2_000, TOP - 100), (2_010, 100.0), bits=32)[2:] == ["gap", "reset"]


@pytest.mark.parametrize(("times", "quality"), [(2.9, "wrap"), (3.1, "reset")])
def test_a_wrap_may_be_a_few_times_as_fast_as_the_last_rates(times: float, quality: str) -> None:
    assert qualities((0, TOP - 3e6), (10, TOP - 1e6), (20, 2e6 * times - 1e6), bits=32)[2] == quality


@pytest.mark.parametrize(("quiet", "quality"), [(7, "wrap"), (8, "reset")])
def test_only_the_last_eight_rates_tell_what_is_likely(quiet: int, quality: str) -> None:
    busy = [(0, TOP - 2e6), (10, TOP - 1e6)]
    calm = [(20 + 10 * place, TOP - 1e6 + place) for place in range(quiet)]
    assert qualities(*busy, *calm, (200, 1e6), bits=32)[-1] == quality


@pytest.mark.parametrize(("share", "quality"), [(0.24, "wrap"), (0.26, "reset")])
def test_a_way_on_of_a_quarter_of_the_range_is_too_long_for_a_wrap_without_an_uptime(
    share: float, quality: str
) -> None:
    busy = ((0, 0.0), (100, TOP * 0.5), (101, TOP * (1 - share)))
    assert qualities(*busy, (201, 0.0), bits=32)[-1] == quality


def test_a_device_that_ran_on_wraps_a_long_way_if_that_is_likely_and_any_short_one() -> None:
    busy = ((0, 0.0, 9e5), (100, TOP * 0.6, 9e5 + 100))
    assert qualities(*busy, (200, TOP * 0.2, 9e5 + 200), bits=32)[-1] == "wrap"
    calm = ((0, TOP - 101, 9e5), (100, TOP - 100, 9e5 + 100))
    assert qualities(*calm, (200, TOP * 0.2, 9e5 + 200), bits=32)[-1] == "wrap"
    assert qualities(*calm, (200, TOP * 0.3, 9e5 + 200), bits=32)[-1] == "reset"


def test_a_counter_that_goes_back_a_little_did_not_go_all_the_way_round() -> None:
    rows = ((0, 1e6, 9e5), (60, 1e6 + 60, 9e5 + 60), (120, 1e6 + 55, 9e5 + 120))
    for bits in (32, 64):
        assert np.isnan(rates(*rows, bits=bits)[2])


def test_a_value_beyond_its_range_makes_no_rate_below_zero() -> None:
    got = rates((0, 2 * TOP), (10, 2 * TOP + 9e9), (20, 5.0), bits=32)
    assert np.isnan(got[2])


def test_row_08_a_missing_value_does_not_become_the_last_one() -> None:
    got = judged((0, 10.0), (1, NAN), (2, 20.0), (3, np.inf), (4, 30.0))
    np.testing.assert_array_equal(got.rates, [NAN, NAN, 5, NAN, 5])
    assert got.qualities == ["first", "first", "rate", "first", "rate"]


def test_row_08_missing_values_do_not_shorten_a_gap() -> None:
    np.testing.assert_array_equal(rates((0, 1.0), (500, NAN), (700, 2.0)), [NAN, NAN, NAN])


def test_row_15_after_the_horizon_state_is_as_new_and_not_before() -> None:
    later = [(20_000.0, 5.0), (20_001.0, 6.0)]
    assert judged((20_000 - HORIZON_S, 1.0), *later, bits=32).qualities[1] == "gap"
    assert judged((19_999 - HORIZON_S, 1.0), *later, bits=32).qualities[1] == "first"


# Single values that do harm, and ordinary traffic; steps of time that break chains and that do not.
steps = st.tuples(
    st.sampled_from([0, 1, 60, 60, 60, 300, 599, 601, 5_300, -7, -400, -3_000]),
    st.one_of(st.integers(0, 2**31).map(float), st.sampled_from([NAN, 0.0, 1.0, TOP - 1, np.inf])),
    st.sampled_from(["rise", "rise", "rise", "reset", "set"]),
    st.booleans(),
)
streams = st.lists(steps, min_size=2, max_size=60)


def arriving(moves: list[tuple[int, float, str, bool]]) -> list[Row]:
    clock, up, value = 10_000, 5_000.0, TOP - 2.0**31
    rows = []
    for step, amount, kind, known in moves:
        clock += step
        up = up + abs(step) if kind != "reset" else float(abs(step) // 2)
        moved = amount if kind != "rise" else (value + amount) % TOP
        value = value if np.isnan(moved) else moved
        rows.append(Row(clock, moved, up if known else NAN))
    return rows


@settings(max_examples=150, deadline=None)
@given(moves=streams, start=st.integers(1, 59), reset=st.sampled_from(["nan", "from_zero"]))
def test_row_15_history_before_the_horizon_is_never_felt(
    moves: list[tuple[int, float, str, bool]], start: int, reset: str
) -> None:
    rows = arriving(moves)
    start = min(start, len(rows) - 1)
    times = np.maximum.accumulate([row.at for row in rows])
    settled = np.flatnonzero((times > times[start - 1] + HORIZON_S) & (np.arange(len(rows)) >= start))
    whole, cut = run(rows, bits=32, reset=reset), run(rows[start:], bits=32, reset=reset)
    assert whole.values[settled].tobytes() == cut.values[settled - start].tobytes()


@settings(max_examples=150, deadline=None)
@given(moves=streams, bits=st.sampled_from([None, 32, 64]), reset=st.sampled_from(["nan", "from_zero"]))
def test_the_sources_compute_what_the_compiled_kernel_does(
    sources: type[Kernel], moves: list[tuple[int, float, str, bool]], bits: int | None, reset: str
) -> None:
    rows = arriving(moves)
    kernel = sources(rate_program(bits=bits, reset=reset))
    matrix = kernel.run(batch(rows), kernel.start())
    assert matrix.values.tobytes() == run(rows, bits=bits, reset=reset).values.tobytes()


class Poll(NamedTuple):
    seconds: int
    octets: int
    """Since the last poll, or since the restart."""
    restarts: bool
    stepped: int
    """By how much the clock is set before it."""


polls = st.lists(
    st.builds(
        Poll,
        seconds=st.sampled_from([30, 60, 60, 300, 700]),
        octets=st.one_of(st.integers(0, 2**30 - 1), st.integers(0, 10**6)),
        restarts=st.sampled_from([False] * 9 + [True]),
        stepped=st.sampled_from([0] * 9 + [-3, -20, -200, 5, 100, 5_000]),
    ),
    min_size=2,
    max_size=25,
)


def polled(moves: list[Poll]) -> list[Row]:
    """What is told of a counter; a restart comes in the middle of the time since the last poll."""
    clock, booted, total, rows = 10**6, 0, 2**32 - 2**30, []
    offset = 0
    for poll in moves:
        clock += poll.seconds
        offset += poll.stepped
        if poll.restarts:
            booted, total = clock - poll.seconds // 2, 0
        total += poll.octets
        rows.append(Row(clock + offset, float(total % 2**32), float(clock - booted)))
    return rows


def truth(moves: list[Poll]) -> list[Fraction]:
    return [Fraction(poll.octets, poll.seconds) for poll in moves]


def has_a_rate(poll: Poll) -> bool:
    recorded = poll.seconds + poll.stepped
    return not poll.restarts and 0 < recorded <= MAX_GAP_S and abs(poll.stepped) <= max(2.0, 0.1 * recorded)


@settings(max_examples=200, deadline=None)
@given(moves=polls)
def test_with_an_uptime_a_told_rate_is_the_true_one(moves: list[Poll]) -> None:
    got = judged(*polled(moves), bits=32)
    for place, (rate, poll) in enumerate(zip(got.rates, moves, strict=True)):
        assert np.isnan(rate) != (place > 0 and has_a_rate(poll))
        if not np.isnan(rate):
            assert rate == pytest.approx(poll.octets / (poll.seconds + poll.stepped), rel=1e-15)


@settings(max_examples=200, deadline=None)
@given(moves=polls)
def test_without_an_uptime_no_rate_is_made_up(moves: list[Poll]) -> None:
    moves = [poll._replace(stepped=0) for poll in moves]
    got, true = judged(*(row._replace(uptime=NAN) for row in polled(moves)), bits=32), truth(moves)
    for place, rate in enumerate(got.rates):
        # A little is lost where a counter began anew and rose past its last value.
        seen = float(max(true[max(place - 8, 0) : place + 1]))
        assert np.isnan(rate) or rate <= float(true[place]) * (1 + 1e-12) or rate <= 3 * seen * (1 + 1e-12)


@pytest.mark.parametrize("changed", [{"bits": 16}, {"max_gap_us": 0}, {"max_gap_us": 2**60}, {"reset": "zero"}])
def test_a_program_with_constants_that_do_not_fit_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="constants that do not fit"):
        Kernel(rate_program(**changed))  # type: ignore[arg-type]

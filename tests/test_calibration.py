from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.calibration import (
    TAIL_SCORES,
    AlertTotals,
    ParetoTail,
    ScoreRanks,
    alerts_band,
    dispersion,
    episode_floors,
    episodes,
    first_rows,
    just_above,
    rows_band,
)
from tocsin.errors import IntegrityError
from tocsin.records import SECOND, Column, Times, Vector

COOLDOWN_S = 5.0


def seconds(*values: int) -> Times:
    return np.array(values, dtype=np.int64) * SECOND


@pytest.mark.parametrize("cooldown_s", [1e23 * 86_400, np.inf])
def test_a_cooldown_longer_than_any_span_joins_all_rows_of_an_entity(cooldown_s: float) -> None:
    times, hosts = seconds(0, 10**9, 2 * 10**9), names("a", "b", "a")
    assert episodes(times, hosts, cooldown_s).tolist() == [0, 1, 0]
    assert episode_floors(np.array([1.0, 2.0, 3.0]), times, hosts, cooldown_s).tolist() == [-np.inf, -np.inf, 1.0]


def names(*values: str) -> Column:
    return np.array(values, dtype=object)


class TestScoreRanks:
    def test_p_values_are_exact_among_the_highest_scores(self, rng: np.random.Generator) -> None:
        scores = rng.normal(size=10_000).round(2)
        tail = np.sort(scores)[-TAIL_SCORES // 2 :]
        exact = np.array([(1 + (scores >= score).sum()) / 10_001 for score in tail])
        np.testing.assert_allclose(ScoreRanks.of(scores).p_value(tail), exact, rtol=1e-14)

    def test_p_values_of_ordinary_scores_are_close(self, rng: np.random.Generator) -> None:
        scores = rng.normal(size=10_000)
        exact = np.array([(1 + (scores >= score).sum()) / 10_001 for score in scores[:500]])
        np.testing.assert_allclose(ScoreRanks.of(scores).p_value(scores[:500]), exact, atol=0.01)

    def test_p_values_are_never_0_and_reach_1(self) -> None:
        ranks = ScoreRanks.of(np.arange(50.0))
        np.testing.assert_array_equal(
            ranks.p_value(np.array([-np.inf, 0.0, 49.0, 49.5, np.inf])) * 51, [51, 51, 2, 1, 1]
        )

    @given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=60))
    @settings(max_examples=40)
    def test_few_scores_are_kept_exactly_whatever_their_ties(self, scores: list[int]) -> None:
        known, asked = np.array(scores, dtype=np.float64), np.arange(-4.0, 5.0)
        exact = [(1 + (known >= score).sum()) / (len(known) + 1) for score in asked]
        p = ScoreRanks.of(known).p_value(asked)
        assert (np.diff(p) <= 0).all()
        np.testing.assert_allclose(p[1:], exact[1:], rtol=1e-14)

    def test_memory_does_not_grow_with_the_rows(self, rng: np.random.Generator) -> None:
        state = ScoreRanks.of(rng.normal(size=100_000)).state()
        assert sum(array.nbytes for array in state.values() if isinstance(array, np.ndarray)) < 32_000

    def test_a_state_that_was_tampered_with_is_recognised(self, rng: np.random.Generator) -> None:
        state = ScoreRanks.of(rng.normal(size=5_000)).state()
        assert ScoreRanks.restore(state, "here").rows == 5_000
        for name, array in (
            ("top", state["top"][::-1]),
            ("reaching", -state["reaching"]),
            ("grid", np.array([np.nan])),
            ("rows", 0),
            ("rows", 10.0),
        ):
            with pytest.raises(IntegrityError):
                ScoreRanks.restore({**state, name: array}, "here")


class TestEpisodes:
    def test_rows_closer_than_the_cooldown_are_one_episode(self) -> None:
        assert episodes(seconds(0, 4, 8, 13, 17), None, COOLDOWN_S).tolist() == [0, 0, 0, 1, 1]

    def test_entities_are_kept_apart(self) -> None:
        numbers = episodes(seconds(0, 1, 2, 3), names("b", "a", "b", "a"), COOLDOWN_S)
        assert numbers[0] == numbers[2] != numbers[1] == numbers[3]

    def test_the_order_of_rows_does_not_matter(self) -> None:
        assert episodes(seconds(13, 0, 8, 4), None, COOLDOWN_S).tolist() == [1, 0, 0, 0]

    def test_without_cooldown_every_row_is_an_episode(self) -> None:
        assert sorted(episodes(seconds(0, 0, 1), None, 0.0).tolist()) == [0, 1, 2]

    def test_an_episode_rings_at_its_first_row(self) -> None:
        times = seconds(8, 13, 4, 0)
        assert first_rows(episodes(times, None, COOLDOWN_S), times).tolist() == [3, 1]

    def test_nothing_flagged_is_no_episode(self) -> None:
        assert episodes(seconds(), None, COOLDOWN_S).tolist() == []


ROWS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.integers(0, 6)), min_size=1, max_size=60)


def columns(rows: list[tuple[int, str, int]]) -> tuple[Vector, Times, Column]:
    times, entities, scores = zip(*rows, strict=True)
    return np.array(scores, dtype=np.float64), seconds(*times), names(*entities)


@given(rows=ROWS)
@settings(max_examples=60)
def test_floors_count_the_episodes_of_every_level(rows: list[tuple[int, str, int]]) -> None:
    scores, times, entities = columns(rows)
    floors = episode_floors(scores, times, entities, COOLDOWN_S)
    for level in range(8):
        flagged = scores >= level
        numbers = episodes(times[flagged], entities[flagged], COOLDOWN_S)
        assert ((floors < level) & flagged).sum() == numbers.max(initial=-1) + 1


@given(rows=ROWS, cap=st.integers(1, 4))
@settings(max_examples=60)
def test_totals_are_the_most_alerts_at_a_level_or_above(rows: list[tuple[int, str, int]], cap: int) -> None:
    scores, times, entities = columns(rows)
    floors, blocks = episode_floors(scores, times, entities, COOLDOWN_S), (times // (10 * SECOND)).astype(np.intp)
    totals = AlertTotals.of(scores, floors, blocks, cap)
    assert (np.diff(totals.levels) < 0).all()
    most = worst = 0
    for level in sorted({*scores.tolist(), *floors.tolist()}, reverse=True):
        counts = np.minimum(np.bincount(blocks[(floors < level) & (scores >= level)], minlength=5), cap)
        most, worst = max(most, counts.sum()), max(worst, counts.max())
        place = np.flatnonzero(totals.levels == level)
        if len(place):
            assert (totals.totals[place[0]], totals.worst[place[0]]) == (most, worst)


def test_the_lowest_level_stands_just_above_the_first_that_rings_too_much() -> None:
    totals = AlertTotals.of(np.array([1.0, 2.0, 3.0]), np.full(3, -np.inf), np.arange(3), 1)
    assert totals.lowest_level(totals.totals <= 1) == just_above(2.0)


def test_just_above_stays_finite() -> None:
    assert just_above(np.finfo(np.float64).max) == np.finfo(np.float64).max


class TestBands:
    def test_rows_band_holds_what_is_simulated(self, rng: np.random.Generator) -> None:
        low, high = rows_band(flagged=9, rows=200, coverage=0.9)
        counts = rng.binomial(200, rng.beta(10, 191, size=20_000))
        assert 0.9 <= ((counts >= low) & (counts <= high)).mean() < 0.95

    def test_alerts_band_holds_what_is_simulated(self, rng: np.random.Generator) -> None:
        low, high = alerts_band(alerts=42, together=1.0, coverage=0.9)
        counts = rng.poisson(rng.gamma(43.0, size=20_000))
        assert 0.9 <= ((counts >= low) & (counts <= high)).mean() < 0.93

    def test_alerts_that_come_together_widen_the_band(self) -> None:
        single, together = alerts_band(42, 1.0, 0.9), alerts_band(42, 4.0, 0.9)
        assert together[1] - together[0] > 1.5 * (single[1] - single[0])

    def test_no_alert_and_very_many_have_a_band_too(self) -> None:
        assert alerts_band(0, 1.0, 0.9)[0] == 0
        low, high = alerts_band(50_000, 1.0, 0.9)
        assert low < 50_000 < high

    def test_dispersion_sees_clumps_over_several_blocks(self, rng: np.random.Generator) -> None:
        alone = rng.poisson(0.2, size=(20, 600))
        assert np.mean([dispersion(counts) for counts in alone]) < 1.4
        assert np.mean([dispersion(np.repeat(counts[:200], 3)) for counts in alone]) > 2.2
        assert dispersion(np.zeros(600, dtype=np.int64)) == 1.0


class TestParetoTail:
    @pytest.mark.parametrize("shape", [-0.2, 1e-6, 0.2])
    def test_it_finds_the_level_beyond_the_data(self, rng: np.random.Generator, shape: float) -> None:
        excess = np.sort((rng.random(20_000) ** -shape - 1.0) / shape)
        wanted = 10.0 + ((1 / 200_000) ** -shape - 1.0) / shape
        assert ParetoTail(10.0, excess).level_for(0.1) == pytest.approx(wanted, rel=0.15)

    def test_its_band_holds_the_expected_count(self, rng: np.random.Generator) -> None:
        tail = ParetoTail(0.0, np.sort(rng.exponential(size=200)))
        low, high = tail.band(tail.level_for(2.0), 0.9)
        assert low <= 2.0 <= high <= 8.0

    def test_alerts_per_peak_raise_the_level(self, rng: np.random.Generator) -> None:
        excess = np.sort(rng.exponential(size=200))
        assert ParetoTail(0.0, excess, together=3.0).level_for(1.0) > ParetoTail(0.0, excess).level_for(1.0)

    def test_peaks_of_equal_height_do_not_break_it(self) -> None:
        tail = ParetoTail(0.0, np.full(150, 2.0))
        level = tail.level_for(1.0)
        assert np.isfinite(level)
        assert np.isfinite(tail.band(level, 0.9)).all()

"""Entities that score on scales of their own share one budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tocsin import log
from tocsin.calibration import episodes
from tocsin.errors import IntegrityError
from tocsin.records import SECOND, Column, Times, Vector
from tocsin.thresholds import base_scales
from tocsin.thresholds.base import AlertBudget, Calibration
from tocsin.thresholds.base_scales import EntityScales
from tocsin.thresholds.conformal import Conformal

PER_DAY = AlertBudget(per_day=6.0)
LOUDNESS = {"10.0.1.1": 10.0, "10.0.1.2": 1.0, "10.0.2.1": 0.1}


def names(*values: str) -> Column:
    return np.array(values, dtype=object)


def fleet(rng: np.random.Generator, days: int = 14) -> tuple[Vector, Times, Column]:
    """A row a minute of hosts a hundred times as loud as each other."""
    times = np.repeat(np.arange(days * 1_440, dtype=np.int64) * 60 * SECOND, len(LOUDNESS))
    hosts = np.tile(names(*LOUDNESS), days * 1_440)
    return rng.normal(size=len(times)) * np.tile(list(LOUDNESS.values()), days * 1_440), times, hosts


def test_each_entity_rings_at_what_is_unusual_for_it(rng: np.random.Generator) -> None:
    threshold = Conformal(by="entity").fit(Calibration(*fleet(rng)), PER_DAY)
    loudness = np.array(list(LOUDNESS.values()))
    assert threshold.flag(6.0 * loudness, names(*LOUDNESS)).all()
    assert not threshold.flag(2.0 * loudness, names(*LOUDNESS)).any()
    as_they_are = Conformal().fit(Calibration(*fleet(rng)), PER_DAY)
    assert as_they_are.flag(6.0 * loudness, names(*LOUDNESS)).tolist() == [True, False, False]


def test_all_entities_together_keep_the_one_budget(rng: np.random.Generator) -> None:
    threshold = Conformal(by="entity").fit(Calibration(*fleet(rng)), PER_DAY)
    scores, times, hosts = fleet(rng)
    flagged = threshold.flag(scores, hosts)
    assert 0.6 * 6 * 14 < episodes(times[flagged], hosts[flagged], 120.0).max() + 1 < 1.4 * 6 * 14
    shares = [flagged[hosts == host].mean() / flagged.mean() for host in LOUDNESS]
    assert 0.5 < min(shares) < max(shares) < 1.6


def test_whoever_is_new_takes_the_scale_of_its_group_and_then_of_all(rng: np.random.Generator) -> None:
    scores, _, hosts = fleet(rng)
    grouped, alone = EntityScales.of(scores, hosts, "."), EntityScales.of(scores, hosts)
    new = names("10.0.2.9", "10.0.9.9")
    assert grouped.apply(np.ones(2), new).tolist() == [
        grouped.apply(np.ones(1), names("10.0.2.1"))[0],
        grouped.apply(np.ones(1), None)[0],
    ]
    assert alone.apply(np.ones(2), new).tolist() == alone.apply(np.ones(2), None).tolist()


def test_an_entity_with_few_rows_has_no_scale_of_its_own(rng: np.random.Generator) -> None:
    scores, hosts = rng.normal(size=2_000), np.repeat(names("much", "little"), [1_600, 400])
    scales = EntityScales.of(scores, hosts)
    assert len(scales.keys) == 1
    assert scales.apply(np.ones(1), names("little")) == scales.apply(np.ones(1), None)


def test_one_that_never_moved_does_not_ring_at_the_first_stir(rng: np.random.Generator) -> None:
    scores = np.concatenate([rng.normal(size=2_000), np.zeros(2_000)])
    scales = EntityScales.of(scores, np.repeat(names("usual", "still"), 2_000))
    assert abs(scales.apply(np.array([0.01]), names("still"))[0]) < 1.0


def test_scores_that_are_all_one_have_a_scale() -> None:
    assert np.isfinite(EntityScales.of(np.zeros(1_000), names("a").repeat(1_000)).apply(np.ones(3), None)).all()


def test_memory_is_bounded_and_what_goes_without_is_counted(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_scales, "MOST_SCALES", 2)
    evicted = 'tocsin_entities_evicted_total{reason="calibration"}'
    before = log.counters().get(evicted, 0)
    hosts = np.repeat(names("a", "b", "c"), [600, 900, 700])
    scales = EntityScales.of(rng.normal(size=2_200) * np.repeat([1.0, 2.0, 4.0], [600, 900, 700]), hosts)
    assert len(scales.keys) == 2
    assert scales.apply(np.ones(1), names("a")) == scales.apply(np.ones(1), None)
    assert log.counters()[evicted] - before == 1


def test_no_name_is_kept_in_the_state(rng: np.random.Generator) -> None:
    state = Conformal(by="entity").fit(Calibration(*fleet(rng)), PER_DAY).state()
    assert not any("10.0" in str(value) for name, value in state.items() if name.startswith("scale_"))
    assert "10.0.1" not in str(state["promise"])


def test_a_restored_one_judges_entities_the_same(rng: np.random.Generator) -> None:
    threshold = Conformal(by="entity", separator=".").fit(Calibration(*fleet(rng)), PER_DAY)
    again = Conformal.restore(threshold.parameters(), threshold.state())
    scores, _, hosts = fleet(rng, days=1)
    np.testing.assert_array_equal(again.p_value(scores, hosts), threshold.p_value(scores, hosts))
    np.testing.assert_array_equal(again.ease(scores, hosts), threshold.ease(scores, hosts))


@pytest.mark.parametrize(
    "change",
    [
        {"scale_spread": np.zeros(4)}, {"scale_middle": np.full(4, np.nan)}, {"scale_keys": np.zeros(3, np.int64)},
        {"scale_keys": np.zeros(9, np.int64)}, {"levels": np.arange(5.0)}, {"levels": np.full(5, np.inf)},
    ],
)  # fmt: skip
def test_a_state_that_was_tampered_with_is_refused(rng: np.random.Generator, change: dict[str, Any]) -> None:
    threshold = Conformal(by="entity").fit(Calibration(*fleet(rng, days=2)), PER_DAY)
    with pytest.raises(IntegrityError, match="threshold conformal"):
        Conformal.restore(threshold.parameters(), {**threshold.state(), **change})

"""A candidate is scored beside what serves: it never rings, and how it does is there for its gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.system.live import BEGIN, CONFIG, OTHER_FEATURES, Live, Site, rows

from tocsin.evaluation.beside import FILE, Beside
from tocsin.model.feature_cache import FeatureCache
from tocsin.system.gating import Court

MINUTE = 60


@pytest.fixture
def site(place: Path) -> Site:
    site = Site(place, CONFIG.replace("{record: all}", "{record: all, shadow: candidate}"))
    site.publish(site.fit(1))
    return site


def compared(site: Site, live: Live, rng: np.random.Generator, batches: int = 7) -> Beside:
    """What was written down once the candidate had seen so many batches."""
    live.follower.tick()
    for number in range(batches):
        live.feed(rows(rng, 150, BEGIN + number * 150 * MINUTE, high=10))
    live.wait(lambda: written(site, live))
    found = Beside.read(site.folder / FILE)
    assert found is not None
    return found


def written(site: Site, live: Live) -> bool:
    live.after(61.0)
    found = Beside.read(site.folder / FILE)
    return found is not None and found.rows == live.stream.rows


def test_a_candidate_like_the_champion_agrees_with_it(site: Site, rng: np.random.Generator) -> None:
    version = site.publish(site.fit(2), promote=False)
    with Live(site) as live:
        found = compared(site, live, rng)
        assert live.version == 1
        rung = live.alerts()
    assert found.serving == site.fit(1).digest
    assert found.beside == site.fit(2).digest
    assert found.agreement > 0.9
    assert 0.5 <= found.alert_ratio <= 2.0
    assert found.errors == (0, 0)
    assert found.alerts[0] == len(rung) > 0, "only the one that serves has rung"
    assert min(found.latency_p99_ms) > 0
    court = Court(site.project.config, site.project.registry, FeatureCache(site.folder, 1), site.project.clock())
    assert court._beside(found.beside) == found
    assert court._beside("0" * 64) is None
    site.project.promote(version)
    later = Court(site.project.config, site.project.registry, FeatureCache(site.folder, 1), site.project.clock())
    assert later._beside(found.beside) is None, "it ran beside another champion"


def test_a_deaf_candidate_stands_out(site: Site, rng: np.random.Generator) -> None:
    site.publish(site.fit(2, spread=500.0), promote=False)
    with Live(site) as live:
        found = compared(site, live, rng)
    assert found.alert_ratio < 0.5


def test_a_candidate_with_other_features_has_windows_of_its_own(site: Site, rng: np.random.Generator) -> None:
    site.publish(site.fit(2, config=OTHER_FEATURES), promote=False)
    with Live(site) as live:
        found = compared(site, live, rng)
        state = live.stream.serving.scorer.state
        assert len(state) == 3
    assert found.agreement > 0.5
    assert found.rows == 1_050


def test_too_few_rows_are_not_written_down(site: Site, rng: np.random.Generator) -> None:
    site.publish(site.fit(2), promote=False)
    with Live(site) as live:
        live.follower.tick()
        for number in range(3):
            live.feed(rows(rng, 300, BEGIN + number * 300 * MINUTE))
        live.after(600.0, ticks=3)
        assert not (site.folder / FILE).exists()
        live.after(3_600.0, ticks=2)
        assert (site.folder / FILE).exists(), "an hour is enough as well"


def test_the_comparison_ends_when_the_candidate_serves(site: Site, rng: np.random.Generator) -> None:
    version = site.publish(site.fit(2), promote=False)
    with Live(site) as live:
        live.follower.tick()
        live.feed(rows(rng, 50))
        site.project.promote(version)
        live.follower.tick()
        assert live.version == version
        live.feed(rows(rng, 50, BEGIN + 50 * MINUTE))
        live.after(601.0, ticks=3)
        assert live.version == version


def test_what_was_damaged_is_as_if_nothing_had_run_beside(tmp_path: Path) -> None:
    pair = (1.0, 1.0)
    found = Beside("a", "b", 1_000, 60.0, (10, 12), (0, 0), 0.9, 0.1, latency_p99_ms=pair, paced=100)
    path = tmp_path / FILE
    assert Beside.read(path) is None
    found.write(path)
    assert Beside.read(path) == found
    path.write_bytes(path.read_bytes().replace(b"1000", b"1001"))
    assert Beside.read(path) is None

"""A service follows its channel: between two batches, with what the features remember, and never to what is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.system.live import BEGIN, CONFIG, OTHER_FEATURES, WAITS, Fed, Live, Site, rows

from tocsin import log
from tocsin.kernel.checkpoint import dump
from tocsin.records import SECOND
from tocsin.scoring.checkpoint import read
from tocsin.scoring.stream import CHECKPOINT

BROKEN = {
    "schema": CONFIG.replace("unit: ratio", "unit: ratio, maximum: 100"),
    "size": CONFIG.replace("robust_zscore", "isolation_forest, trees: 500"),
}

LATER = BEGIN + 50 * 60
"""When the rows end that come first."""


def test_the_next_champion_takes_over_between_two_batches(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        before = live.stream.serving
        live.feed(rows(rng, 50))
        version = site.publish(site.fit(2))
        live.follower.tick()
        assert live.version == version
        assert live.stream.serving.scorer.state is before.scorer.state
        live.feed(rows(rng, 50, LATER))
        said = [row["model"] for row in live.verdicts()]
        assert said == [live.stream.serving.digest] * 50 + [before.digest] * 50
        assert {row["state"] for row in live.verdicts()[:50]} == {"ready"}


def test_what_the_features_remember_is_as_if_no_model_had_changed(site: Site, rng: np.random.Generator) -> None:
    first, second = rows(rng, 50), rows(rng, 50, LATER)
    with Live(site) as live:
        live.feed(first)
        site.publish(site.fit(2))
        live.follower.tick()
        live.feed(second)
        scorer = live.stream.serving.scorer
        state = scorer.model.start()
        scorer.model.features(first, state)
        scorer.model.features(second, state)
        assert dump(scorer.state) == dump(state)


def test_an_episode_that_is_open_at_a_swap_does_not_ring_twice(site: Site, rng: np.random.Generator) -> None:
    high = rows(rng, 9, LATER, high=3)
    last = high.replace({"time": high["time"] + 30_000_000})
    with Live(site) as live:
        live.feed(rows(rng, 50))
        live.feed(high)
        rung = live.alerts()
        assert rung
        site.publish(site.fit(2))
        live.follower.tick()
        live.feed(last)
        assert [row["flagged"] for row in live.verdicts()[:9]].count(1) >= 1
        assert live.alerts() == rung


def test_rows_that_wait_for_older_ones_go_over(place: Path, rng: np.random.Generator) -> None:
    site = Site(place, WAITS)
    site.publish(site.fit(1))
    with Live(site) as live:
        live.feed(rows(rng, 20))
        order = live.stream.serving.scorer.order
        assert order is not None
        held = order.held.rows
        assert held
        site.publish(site.fit(2))
        live.follower.tick()
        live.feed(rows(rng, 20, LATER))
        said = [row for row in live.verdicts() if row["time"] < LATER * SECOND]
        assert len(said) == 20
        assert [row["model"] for row in said].count(live.stream.serving.digest) == held


def test_rows_that_the_next_one_would_not_wait_for_are_scored_before(place: Path, rng: np.random.Generator) -> None:
    site = Site(place, WAITS)
    site.publish(site.fit(1))
    with Live(site) as live:
        live.feed(rows(rng, 20))
        assert len(live.verdicts()) < 20
        site.publish(site.fit(2, config=CONFIG))
        live.follower.tick()
        assert len(live.verdicts()) == 20
        live.feed(rows(rng, 20, LATER))
        assert len(live.verdicts()) == 40


def test_a_checkpoint_is_written_before_the_next_one_scores(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        live.feed(rows(rng, 50))
        version = site.publish(site.fit(2))
        live.follower.tick()
        known = read(site.folder / CHECKPOINT)
        assert known is not None
        assert (known.version, known.tally["received"]) == (version, 50)


def test_a_version_with_other_features_serves_once_its_windows_have_filled(
    site: Site, rng: np.random.Generator
) -> None:
    with Live(site) as live:
        live.feed(rows(rng, 50))
        version = site.publish(site.fit(2, config=OTHER_FEATURES))
        live.follower.tick()
        for batch in range(20):
            assert live.version == 1
            live.feed(rows(rng, 5, LATER + batch * 300))
            live.follower.tick()
            if live.version == version:
                break
        assert live.version == version
        assert batch * 300 >= 20 * 60, "the longest window had not filled"
        live.feed(rows(rng, 30, LATER + (batch + 1) * 300))
        assert "warming_up" not in {row["state"] for row in live.verdicts()[:30]}


@pytest.mark.parametrize("broken", ["bytes", "objects", "schema", "size"])
def test_a_broken_candidate_is_refused_once_and_the_old_one_goes_on(
    site: Site, rng: np.random.Generator, broken: str
) -> None:
    site.path.write_text(CONFIG.replace("keep: 100", "keep: 100, max_size: 400kB"))
    with Live(site) as live:
        site.path.write_text(CONFIG)  # whoever trains allows more
        live.feed(rows(rng, 50))
        version = site.publish(site.fit(2, config=BROKEN.get(broken, "")))
        objects = [path for path in (site.path.parent / "registry" / "objects").rglob("*") if path.is_file()]
        newest = sorted(objects, key=lambda path: path.stat().st_mtime_ns)[-3:]
        for path in () if broken in BROKEN else newest:
            data = path.read_bytes()
            path.unlink()
            if broken == "bytes":
                path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        before = log.counters().get("tocsin_candidates_refused_total", 0)
        live.follower.tick()
        live.after(5.0)
        assert live.version == 1
        assert log.counters()["tocsin_candidates_refused_total"] == before + 1, "it waits before it tries again"
        live.after(3_600.0)
        assert log.counters()["tocsin_candidates_refused_total"] == before + 2
        live.feed(rows(rng, 50, LATER))
        good = site.publish(site.fit(3))
        live.follower.tick()
        assert good > version
        assert live.version == good


def test_while_the_registry_cannot_be_reached_the_model_goes_on(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        live.feed(rows(rng, 50))
        away = site.path.parent / "away"
        shutil.move(site.path.parent / "registry", away)
        before = log.counters().get("tocsin_channels_not_followed_total", 0)
        live.follower.tick()
        live.feed(rows(rng, 50, LATER))
        assert live.version == 1
        assert log.counters()["tocsin_channels_not_followed_total"] == before + 1
        shutil.rmtree(site.path.parent / "registry", ignore_errors=True)
        shutil.move(away, site.path.parent / "registry")
        version = site.publish(site.fit(2))
        live.follower.tick()
        assert live.version == version


def test_a_replay_is_done_by_the_model_that_did_it_before(site: Site, rng: np.random.Generator) -> None:
    kept = site.folder / "kept"
    with Live(site) as live:
        live.wait((site.folder / CHECKPOINT).exists)
        shutil.copy(site.folder / CHECKPOINT, kept)
        for batch in range(4):
            live.feed(rows(rng, 25, BEGIN + batch * 25 * 60))
        before = live.stream.serving.digest
    kept.replace(site.folder / CHECKPOINT)  # as if the service had been killed before it wrote another one
    site.publish(site.fit(2))
    with Live(site, Fed(), version=1) as again:
        again.follower.tick()
        assert again.version == 1, "what had been committed comes first"
        for batch in range(4):
            again.feed_again(live, batch)
            assert again.version == 1
            again.follower.tick()
        assert again.version == 2
        assert {row["model"] for row in again.verdicts()} == {before}


def test_the_room_for_entities_is_that_of_the_config(place: Path, rng: np.random.Generator) -> None:
    site = Site(place)
    site.publish(site.fit(1))  # with room for as many as by default
    for entities, held in ((2, 2), (1, 1), (5, 3)):
        site.path.write_text(f"{CONFIG}limits: {{entities: {entities}}}\n")
        with Live(site, Fed()) as live:
            assert live.stream.serving.scorer.state.entities.limit == entities
            for _ in range(2):
                live.alerts()  # with the second answer the source is open
            live.feed(rows(rng, 60, BEGIN + entities * 3_600))
            live.feed(rows(rng, 60, BEGIN + entities * 7_200))
            assert len(live.stream.serving.scorer.state) == held

"""What took over is watched beside the one before it, and goes if it does worse: at once, and for good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.system.live import BEGIN, OTHER_FEATURES, Live, Site, raw, rows

from tocsin import log
from tocsin.errors import NoRoom
from tocsin.kernel.checkpoint import dump
from tocsin.kernel.run import FeatureMatrix
from tocsin.records import Column, Matrix, Scores, Vector
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.probation import MOST_STARTS, Probation, blame, version_to_begin_with
from tocsin.scoring.stream import CHECKPOINT

MINUTE = 60


def feed(live: Live, rng: np.random.Generator, count: int, first: int, *, high: int = 0) -> None:
    for number in range(first, first + count):
        live.feed(rows(rng, 50, BEGIN + number * 50 * MINUTE, high=high))


def counted(name: str) -> int:
    return log.counters().get(name, 0)


def test_a_deaf_version_goes_within_ten_minutes_and_two_canaries(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        deaf = site.publish(site.fit(2, spread=500.0))
        live.follower.tick()
        assert live.version == deaf
        missed = counted('tocsin_canaries_total{result="missed"}')
        began = live.clock.seconds
        while live.version == deaf:
            feed(live, rng, 1, 4 + int(live.clock.seconds) // MINUTE)
            live.after(MINUTE)
        assert live.version == 1
        assert live.clock.seconds - began <= 600
        assert counted('tocsin_canaries_total{result="missed"}') - missed == 2
        assert site.project.registry.channels("hosts")["champion"] == 1
        live.after(3_600.0, ticks=4)
        assert live.version == 1, "a version that failed is not followed again"
        good = site.publish(site.fit(3))
        live.follower.tick()
        assert live.version == good


def test_canaries_leave_no_trace(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        site.publish(site.fit(2))
        live.follower.tick()
        found = counted('tocsin_canaries_total{result="found"}')
        rung, state = live.alerts(), dump(live.stream.serving.scorer.state)
        live.after(540.0, ticks=9)
        assert counted('tocsin_canaries_total{result="found"}') - found == 2
        assert len(live.verdicts()) == live.stream.rows == 200
        assert dump(live.stream.serving.scorer.state) == state
        assert live.alerts() == rung
        assert live.version == 2


def test_a_version_that_does_no_worse_is_kept(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        site.publish(site.fit(2))
        kept = counted("tocsin_models_kept_total")
        live.follower.tick()
        assert live.stream.serving.scorer.spare is not None
        feed(live, rng, 4, 4)
        live.after(601.0, ticks=3)
        assert counted("tocsin_models_kept_total") == kept + 1
        assert live.version == 2
        assert live.stream.serving.scorer.spare is None


def test_a_version_that_rings_for_everything_goes(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        site.publish(site.fit(2, spread=0.002))
        live.follower.tick()
        assert live.version == 2
        feed(live, rng, 12, 4)
        live.wait(lambda: _swapped_back(live))
        assert live.version == 1


def _swapped_back(live: Live) -> bool:
    live.follower.tick()
    return live.version == 1


def test_an_attack_rings_with_both_and_nobody_is_blamed(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        site.publish(site.fit(2))
        live.follower.tick()
        feed(live, rng, 12, 4, high=2)
        live.after(601.0, ticks=20)
        assert live.version == 2


def test_rows_that_a_version_fails_on_are_judged_by_the_one_before(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        first = live.stream.serving
        feed(live, rng, 4, 0)
        site.publish(site.fit(2))
        live.follower.tick()
        second = live.stream.serving
        feed(live, rng, 1, 4)
        second.scorer.model.detector.score = _fails  # type: ignore[method-assign]  # no model of ours fails by itself
        feed(live, rng, 1, 5)
        said = [row["model"] for row in live.verdicts()]
        assert said[:50] == [first.digest] * 50
        assert said[50:100] == [second.digest] * 50
        assert len(said) == live.stream.rows
        live.wait(lambda: _swapped_back(live))
        assert live.version == 1


def _fails(x: Matrix) -> Vector:
    raise FloatingPointError("nothing fits")


def test_a_machine_without_the_channel_key_says_loudly_who_must_roll_back(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        deaf = site.publish(site.fit(2, spread=500.0))
        live.follower.tick()
        (site.path.parent / ".tocsin" / "keys" / "channel.key").unlink()
        left = counted("tocsin_channels_left_total")
        live.after(600.0, ticks=3)
        assert live.version == 1
        assert counted("tocsin_channels_left_total") == left + 1
        assert site.project.registry.channels("hosts")["champion"] == deaf
        live.after(3_600.0, ticks=4)
        assert live.version == 1
    with Live(site, version=1) as again:
        again.follower.tick()
        assert again.version == 1, "a restart does not forget it"


def test_the_one_before_keeps_its_own_windows_beside_other_features(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        deaf = site.publish(site.fit(2, config=OTHER_FEATURES, spread=500.0))
        live.follower.tick()
        feed(live, rng, 4, 4)
        live.follower.tick()
        assert live.version == deaf
        feed(live, rng, 1, 8)
        live.after(600.0, ticks=3)
        assert live.version == 1
        feed(live, rng, 1, 9)
        assert {row["state"] for row in live.verdicts()[:50]} == {"ready"}


def test_a_watch_goes_on_after_a_restart(site: Site, rng: np.random.Generator) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        deaf = site.publish(site.fit(2, spread=500.0))
        live.follower.tick()
        assert live.version == deaf
    with Live(site, version=deaf) as again:
        again.follower.resume()
        assert again.stream.serving.scorer.spare is not None
        feed(again, rng, 1, 4)
        again.after(600.0, ticks=3)
        assert again.version == 1


def test_a_full_disk_keeps_no_bad_version_in_charge(
    site: Site, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise NoRoom("disk", "no space left")

    with Live(site) as live:
        feed(live, rng, 4, 0)
        bad = site.publish(site.fit(2, spread=0.002))
        live.follower.tick()
        assert live.version == bad
        feed(live, rng, 12, 4)
        with monkeypatch.context() as disk:
            disk.setattr("tocsin.scoring.checkpoint.write", full)
            disk.setattr("tocsin.registry.private_files.replace", full)
            put_off = counted("tocsin_probations_put_off_total")
            live.wait(lambda: _swapped_back(live))
            assert counted("tocsin_probations_put_off_total") > put_off
            feed(live, rng, 1, 16)
            live.after(1.0)
            assert live.version == 1, "it is not followed again, though nothing could be written down"
        known = checkpoints.read(site.folder / CHECKPOINT)
        assert known is not None
        assert known.version == bad
        live.after(31.0)
        live.wait(lambda: (found := checkpoints.read(site.folder / CHECKPOINT)) is not None and found.version == 1)
        assert Probation.read(site.folder).failed > 0


def test_a_service_that_ends_time_and_again_begins_with_the_version_before(tmp_path: Path) -> None:
    Probation(version=5, before=3, step=7, since=1_000_000).write(tmp_path)
    begun = [version_to_begin_with(tmp_path, 5, 2_000_000, 600.0) for _ in range(MOST_STARTS + 2)]
    assert begun == [5] * (MOST_STARTS - 1) + [3] * 3
    assert version_to_begin_with(tmp_path, 3, 2_000_000, 600.0) == 3
    assert Probation.read(tmp_path).failed == 7


@pytest.mark.parametrize(("now", "begins"), [(2_000_000, 3), (700_000_000, 5)])
def test_a_version_that_can_score_no_row_goes_at_once_while_it_is_watched(
    tmp_path: Path, now: int, begins: int
) -> None:
    Probation(version=5, before=3, step=7, since=1_000_000).write(tmp_path)
    blame(tmp_path, 5, now, 600.0)
    assert version_to_begin_with(tmp_path, 5, now, 600.0) == begins


def test_rows_that_can_not_be_scored_count_against_a_version_with_features_of_its_own(
    site: Site, rng: np.random.Generator
) -> None:
    with Live(site) as live:
        feed(live, rng, 4, 0)
        site.publish(site.fit(2, config=OTHER_FEATURES))
        live.follower.tick()
        feed(live, rng, 4, 4)
        live.follower.tick()
        second = live.stream.serving.scorer
        assert (live.version, second.spare) == (2, None)
        judge = second.model.judge

        def fails_on_some(matrix: FeatureMatrix, entities: Column | None = None) -> Scores:
            if (matrix.values[:, 0] == 9.0).any():
                raise FloatingPointError
            return judge(matrix, entities)

        second.model.judge = fails_on_some  # type: ignore[method-assign]  # no model of ours fails by itself
        live.source.feed(raw(rows(rng, 50, BEGIN + 8 * 50 * MINUTE, high=5)))
        live.wait(lambda: _swapped_back(live))
        assert live.version == 1
        letters = live.stream.requests.ask(live.stream.journal.stored.letters_by_reason)
        assert letters == {"not_scored": 10}


@pytest.mark.parametrize(("version", "now"), [(4, 2_000_000), (5, 700_000_000), (5, -700_000_000)])
def test_starts_count_only_while_this_version_is_watched(tmp_path: Path, version: int, now: int) -> None:
    Probation(version=5, before=3, step=7, since=1_000_000).write(tmp_path)
    assert {version_to_begin_with(tmp_path, version, now, 600.0) for _ in range(MOST_STARTS + 2)} == {version}


def test_a_damaged_probation_is_none(tmp_path: Path) -> None:
    Probation(version=5, before=3, step=7, since=1).write(tmp_path)
    path = tmp_path / "probation.json"
    path.write_bytes(path.read_bytes().replace(b"5", b"6"))
    assert Probation.read(tmp_path) == Probation()

"""A process that publishes and promotes may be killed at any moment: what was acknowledged is there, and whole."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registry.sites import Publishers, Site

Rounds = Callable[[int, int], int]
Tell = Callable[[str], None]
LATEST_S = 0.25
"""A publication takes some tens of milliseconds: kills fall into each of its steps, and between two of them."""
KILLS_A_SITE = 20


@pytest.mark.soak
def test_killed_at_any_moment(publishers: Publishers, tmp_path: Path, seed: int, rounds: Rounds, tell: Tell) -> None:
    moments = random.Random(seed)  # noqa: S311  # when to kill is no secret
    slowest_s, kills = 0.0, rounds(25, 500)
    for kill in range(kills):
        number, again = divmod(kill, KILLS_A_SITE)
        site = Site(tmp_path / f"site{number}", tmp_path)
        if not again:
            assert publishers.publish(site, 0) == 0
        with publishers.publishing(site, 1_000 * (kill + 1)):
            time.sleep(moments.uniform(0.0, LATEST_S))
        site.check()
        site.catch_up()
        slowest_s = max(slowest_s, site.slowest_s)
        assert site.lines("refused") == []
    tell(f"{kills} kills, the slowest opening took {slowest_s:.3f} s")


@pytest.mark.soak
def test_killed_at_each_touch_of_a_file(publishers: Publishers, tmp_path: Path, rounds: Rounds, tell: Tell) -> None:
    template = Site(tmp_path / "template", tmp_path)
    for seed in range(4):
        assert publishers.publish(template, seed) == 0
    places = []
    for touch in range(1, 1_000, rounds(19, 1)):
        site = Site(tmp_path / f"touch{touch}", tmp_path)
        shutil.copytree(template.folder, site.folder)
        shutil.copy(template.acknowledged, site.acknowledged)
        ended = publishers.publish(site, 5, str(touch))
        site.check()
        assert site.lines("refused") == []
        assert publishers.publish(site, 6) == 0, "the registry is stuck after a kill"
        shutil.rmtree(site.folder)
        if ended == 0:
            break
        places += [" ".join(words) for words in site.lines("killed")]
    assert ended == 0, "there is no end to it"
    tell(f"killed at {len(places)} of {touch - 1} touches")
    touched = {place.split()[-1].split("/")[0] for place in places}
    assert touched >= {"registry", ".tocsin"}

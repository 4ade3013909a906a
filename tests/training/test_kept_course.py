"""A fit that is killed goes on from its last round, or begins anew; it never goes on from another's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tocsin import log
from tocsin.config import LimitsConfig
from tocsin.errors import LimitExceeded
from tocsin.system import Project
from tocsin.training.kept_course import KeptCourse
from tocsin.training.limits import Limits

STANDING = {"weights": np.arange(5, dtype=np.float32), "errors": np.array([2.0, 1.0])}

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields: {time: {dtype: time}, host: {dtype: category}, load: {dtype: float}, queue: {dtype: float}}
source: {type: csv, path: rows.csv}
detector: {type: lstm_autoencoder, steps: 4, units: 4, epochs: 6, patience: 0}
alerts: {budget: 2%}
logging: {level: error}
"""


@pytest.fixture
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture
def course(told: list[tuple[str, int, int]], tmp_path: Path) -> KeptCourse:
    return KeptCourse(
        tmp_path / "fit", Limits(LimitsConfig()), lambda stage, done, total=0: told.append((stage, done, total))
    )


def test_what_was_kept_last_is_found_under_its_name_alone(course: KeptCourse) -> None:
    assert course.find("one") is None
    course.keep("one", {"errors": np.empty(0)})
    course.keep("one", STANDING)
    found = course.find("one")
    assert found is not None
    for name, array in STANDING.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert course.find("on") is course.find("other") is None
    course.keep("other", STANDING)
    assert course.find("one") is None


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_damaged_file_is_as_good_as_none(place: int, course: KeptCourse, tmp_path: Path) -> None:
    course.keep("one", STANDING)
    (file,) = (tmp_path / "fit").iterdir()
    kept = bytearray(file.read_bytes())
    kept[place] ^= 1
    for damaged in (bytes(kept), bytes(kept[: len(kept) // 2]), b""):
        file.write_bytes(damaged)
        assert course.find("one") is None


def test_a_disk_that_takes_nothing_ends_no_training(course: KeptCourse, tmp_path: Path) -> None:
    (tmp_path / "fit").write_text("a file where a folder should be")
    before = log.counters().get("tocsin_fits_not_kept_total", 0)
    course.keep("one", STANDING)
    assert log.counters()["tocsin_fits_not_kept_total"] == before + 1
    assert course.find("one") is None


def test_how_far_it_is_is_told_and_a_limit_ends_it_between_two_rounds(
    course: KeptCourse, told: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    course.reached(3, 50)
    assert told == [("learning", 3, 50)]
    late = iter([0.0, 100.0, 100.0])
    limits = Limits(LimitsConfig(train_time=10.0), lambda: next(late))
    with pytest.raises(LimitExceeded, match=r"100\.0 s before round 4 of 50"):
        KeptCourse(tmp_path, limits, lambda *_: None).reached(3, 50)


@pytest.mark.usefixtures("folder")
def test_a_training_that_was_stopped_goes_on_and_makes_the_model_it_would_have_made(
    rng: np.random.Generator, tocsin: Callable[..., CompletedProcess[str]]
) -> None:
    values = rng.normal(size=(600, 2))
    rows = [f"{1_767_571_200 + 60 * (at // 2)},{'ab'[at % 2]},{x:.3f},{y:.3f}" for at, (x, y) in enumerate(values)]
    Path("rows.csv").write_text("\n".join(["time,host,load,queue", *rows, ""]))
    Path("tocsin.yaml").write_text(CONFIG)
    project, rounds = Project.load(Path("tocsin.yaml")), []

    def stopping(stage: str, done: int, total: int = 0, /) -> None:
        if stage == "learning":
            rounds.append((done, total))
            if done == 4:
                raise KeyboardInterrupt

    project.progress = stopping
    with pytest.raises(KeyboardInterrupt):
        project.train()
    assert rounds == [(done, 6) for done in range(5)]
    assert not Path("runs").exists()
    resumed = 'tocsin_fits_resumed_total{detector="lstm_autoencoder"}'
    before = log.counters().get(resumed, 0)
    gone_on = json.loads(tocsin("train", "--no-plots", "--json").stdout)["model"]
    assert log.counters()[resumed] == before + 1
    Path(".tocsin/fit/fit").unlink()
    assert json.loads(tocsin("train", "--no-plots", "--json").stdout)["model"] == gone_on
    assert log.counters()[resumed] == before + 1

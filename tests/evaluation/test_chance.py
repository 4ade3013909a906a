"""The check on the checker: random scores get what chance gives, on any labels and on every real set."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tocsin.evaluation.figures import UNITS
from tocsin.evaluation.measures import Confusion, flag_figures, ranking_figures
from tocsin.evaluation.ranges import range_figures
from tocsin.evaluation.volume import volume_figure
from tocsin.records import Mask


def contains(anomalous: Mask, *, consecutive: bool, seed: int) -> dict[str, bool]:
    """Whether the intervals of random scores hold what chance gives."""
    scores = np.random.default_rng(seed).random(len(anomalous))
    figures = ranking_figures(anomalous, scores, consecutive=consecutive, seed=seed)
    chance = {"average_precision": float(anomalous.mean()), "roc_auc": 0.5}
    held = {}
    for name, value in chance.items():
        low, high = figures[name].low, figures[name].high
        assert low is not None
        assert high is not None
        held[name] = low <= value <= high
    return held


@given(share=st.floats(0.02, 0.6), length=st.integers(1, 40), consecutive=st.booleans())
@settings(max_examples=5, deadline=None)
def test_chance_lies_within_the_intervals_about_as_often_as_they_say(
    share: float, length: int, *, consecutive: bool
) -> None:
    rng = np.random.default_rng(length)
    held = []
    for seed in range(20):
        anomalous = np.repeat(rng.random(4_000 // length + 1) < share, length)
        if 20 <= anomalous.sum() <= len(anomalous) - 20:
            held.append(contains(anomalous, consecutive=consecutive, seed=seed))
    for name in ("average_precision", "roc_auc"):
        assert sum(one[name] for one in held) >= 0.75 * len(held)


def _lines(path: Path, delimiter: str = ",") -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))


def _column(path: Path, name: str, delimiter: str = ",") -> Mask:
    """A column of zeros and ones."""
    names, *lines = _lines(path, delimiter)
    place = names.index(name)
    return np.array([float(line[place]) == 1 for line in lines])


def real_labels(data: Path) -> Iterator[tuple[str, NDArray[np.bool_], bool]]:
    """Every labelled set that comes as one array: its name, its labels, and whether its rows follow each other."""
    for path in sorted((data / "smd").glob("*.npz")) + sorted((data / "asd").glob("*.npz")):
        yield path.stem, np.load(path)["test_label"].astype(bool), True
    for path in sorted((data / "adbench").glob("*.npz")):
        yield path.stem, np.load(path)["y"].astype(bool).ravel(), False
    for path in sorted(data.glob("jumpstarter_d2/test_label/*.gz")):
        with gzip.open(path, "rt") as file:
            yield f"jumpstarter {path.stem}", np.loadtxt(file, delimiter=",").astype(bool).ravel(), True
    for path in sorted((data / "skab" / "data").rglob("*.csv.gz")):
        if "anomaly-free" not in path.parts:
            yield f"skab {path.parent.name} {path.stem}", _column(path, "anomaly", ";"), True
    yield "5g_jamming", _column(data / "5g_jamming" / "merged_data.csv.gz", "Jammer_On"), True
    yield "KDDTest+", np.array([line[41] != "normal" for line in _lines(data / "nsl_kdd" / "KDDTest+.txt.gz")]), False


def test_chance_lies_within_the_interval_on_every_real_set(data: Path) -> None:
    held = {
        name: contains(anomalous, consecutive=consecutive, seed=number)
        for number, (name, anomalous, consecutive) in enumerate(real_labels(data))
    }
    assert len(held) > 60
    for figure in ("average_precision", "roc_auc"):
        missed = [name for name, inside in held.items() if not inside[figure]]
        # An interval of 95 % misses one set in twenty; twice as many may be chance, more are a fault.
        assert len(missed) <= 0.1 * len(held), (figure, missed)


@pytest.mark.parametrize("length", [1, 20])
def test_random_scores_gain_little_from_buffers(length: int, rng: np.random.Generator) -> None:
    anomalous = np.repeat(rng.random(10_000 // length) < 0.05, length)
    figure = volume_figure(anomalous, rng.random(len(anomalous)), np.zeros(len(anomalous), np.intp), 0)
    assert figure.value is not None
    assert figure.value < 2.0 * anomalous.mean()


def test_no_figure_adjusts_points_to_events() -> None:
    """One flagged row of a long event must not count as all of it."""
    anomalous, flagged = np.zeros(1_000, bool), np.zeros(1_000, bool)
    anomalous[100:900], flagged[500] = True, True
    figures = flag_figures(Confusion.count(anomalous, flagged))
    assert figures["recall"].value == 1 / 800
    assert range_figures(anomalous, flagged, np.zeros(1_000, np.intp), 0)["range_recall"].value == 1 / 800
    assert not [name for name in UNITS if "adjusted" in name or name.startswith("pa_")]

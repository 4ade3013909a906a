"""What rows make of each other over time; training that is ended, resumed, and left by its GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tocsin import log
from tocsin.detectors import base_lstm_training as training
from tocsin.detectors.base import State
from tocsin.detectors.base_course import Course
from tocsin.detectors.lstm_autoencoder import LstmAutoencoder
from tocsin.errors import DataError, IntegrityError, MissingExtraError
from tocsin.records import Matrix

STEPS, LAG = 8, 2

SCORE = """
import sys
from pathlib import Path

import numpy as np

from tocsin.detectors.lstm_autoencoder import LstmAutoencoder

arrays = dict(np.load(sys.argv[1], allow_pickle=False))
rows = arrays.pop("rows")
detector = LstmAutoencoder.restore({"steps": rows.shape[1], "units": 6}, arrays, rows.shape[2])
np.save(sys.argv[2], detector.score(rows))
print("torch" in sys.modules)
"""


@pytest.fixture(autouse=True)
def _left_as_it_was() -> Iterator[None]:
    """Whatever a test does, PyTorch is left as it was found."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def small(**more: Any) -> LstmAutoencoder:
    return LstmAutoencoder(**{"steps": STEPS, "units": 6, "epochs": 4, **more})


def following(rng: np.random.Generator, rows: int = 1_500) -> Matrix:
    """Sequences of three columns: the second follows the first two rows later, the third is noise."""
    ahead = np.convolve(rng.normal(size=rows + STEPS + LAG), np.ones(4) / 2, "same")
    table = np.column_stack([ahead[LAG:], 3.0 * ahead[:-LAG] + 40.0, rng.normal(size=len(ahead) - LAG)])
    return np.lib.stride_tricks.sliding_window_view(table, STEPS, axis=0).transpose(0, 2, 1).copy()


def same(one: LstmAutoencoder, other: LstmAutoencoder) -> bool:
    return all(np.array_equal(array, other.state()[name]) for name, array in one.state().items())


def test_a_column_that_no_longer_follows_stands_out(rng: np.random.Generator) -> None:
    x = following(rng)
    detector = small(units=8, epochs=30, batch=16).fit(x[:1_000])
    usual, apart = x[1_000:], x[1_000:].copy()
    apart[:, :, 1] = apart[rng.permutation(len(apart)), :, 1]
    assert np.median(detector.score(apart)) > 2 * np.median(detector.score(usual))
    assert 0.5 < np.median(detector.score(usual)) < 2, "1 is usual"


def test_the_step_and_the_column_of_a_spike_are_named_and_all_reasons_are_the_score(rng: np.random.Generator) -> None:
    x = following(rng)
    detector = small().fit(x)
    spiked = x[:STEPS].copy()
    spiked[np.arange(STEPS), np.arange(STEPS), 1] += 60.0
    reasons = detector.explain(spiked)
    assert [np.unravel_index(one.argmax(), one.shape) for one in reasons] == [(step, 1) for step in range(STEPS)]
    np.testing.assert_allclose(reasons.sum(axis=(1, 2)), detector.score(spiked))


def test_as_many_units_as_columns_do_not_learn_to_repeat_anything(rng: np.random.Generator) -> None:
    x = rng.normal(size=(600, STEPS, 3))
    odd = x[:50].copy()
    odd[:, -1, 0] = 8.0
    detector = small(units=32, epochs=20).fit(x)
    assert np.median(detector.score(odd)) > 1.5 * np.median(detector.score(x))


NAMES = {
    **{f"{layer}.{theirs}_l0": f"{layer}_{ours}" for layer in ("first", "second") for theirs, ours in (
        ("weight_ih", "input"), ("weight_hh", "hidden"), ("bias_ih", "bias"))},
    "output.weight": "output", "output.bias": "output_bias",
}  # fmt: skip
"""PyTorch's names of the weights, and ours; a second bias of each layer stays 0."""


@pytest.mark.parametrize(("columns", "units"), [(1, 1), (3, 6), (20, 5), (5, 33)])
def test_scores_are_made_of_what_pytorch_would_rebuild(columns: int, units: int, rng: np.random.Generator) -> None:
    detector = small(units=units, epochs=2).fit(3.0 + 7.0 * rng.normal(size=(300, STEPS, columns)))
    state = {name: torch.from_numpy(array) for name, array in detector.state().items()}
    with torch.no_grad(), training._alone():
        network = training.Network(columns, units)
        for name, weights in network.named_parameters():
            weights.copy_(state[NAMES[name]] if name in NAMES else torch.zeros_like(weights))
        z = np.clip(5.0 * rng.normal(size=(40, STEPS, columns)), -10.0, 10.0)
        theirs = network(torch.from_numpy(z.astype(np.float32))).numpy()
    np.testing.assert_allclose(detector._rebuilt(z), theirs, atol=1e-5)


def test_a_model_scores_where_pytorch_is_not_loaded(rng: np.random.Generator, tmp_path: Path) -> None:
    x = following(rng, 200)
    detector = small().fit(x)
    np.savez(tmp_path / "state.npz", allow_pickle=False, rows=x, **detector.state())
    words = [sys.executable, "-c", SCORE, str(tmp_path / "state.npz"), str(tmp_path / "scores.npy")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert np.array_equal(np.load(tmp_path / "scores.npy", allow_pickle=False), detector.score(x))


def test_without_pytorch_fit_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, training.__name__)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"(?s)no package 'torch'.*tocsin\[deep\]"):
        small().fit(np.zeros((2, STEPS, 1)))


class Remembering(Course):
    """Keeps what it is given, and ends the fit before a round."""

    def __init__(self, ends_at: int = 1_000) -> None:
        self.ends_at = ends_at
        self.kept: dict[str, State] = {}
        self.rounds: list[tuple[int, int]] = []

    def reached(self, done: int, rounds: int) -> None:
        self.rounds.append((done, rounds))
        if done == self.ends_at:
            raise KeyboardInterrupt

    def find(self, name: str) -> State | None:
        return self.kept.get(name)

    def keep(self, name: str, standing: State) -> None:
        self.kept = {name: standing}


def test_a_training_that_was_ended_goes_on_and_ends_with_the_same_bits(rng: np.random.Generator) -> None:
    x = following(rng, 300)
    whole, ended, resumed, other = (small() for _ in range(4))
    ended.course = course = Remembering(ends_at=2)
    whole.fit(x)
    with pytest.raises(KeyboardInterrupt):
        ended.fit(x)
    assert course.rounds == [(0, 4), (1, 4), (2, 4)]
    resumed.course = other.course = course
    course.ends_at, course.rounds = 1_000, []
    assert same(resumed.fit(x), whole)
    assert course.rounds == [(2, 4), (3, 4)]
    other.fit(x[:200])
    assert course.rounds[2:] == [(0, 4), (1, 4), (2, 4), (3, 4)], "other rows are another training"


def test_it_stops_early_unless_told_otherwise(rng: np.random.Generator) -> None:
    noise = rng.normal(size=(100, STEPS, 2))
    patient, all_of_them = (small(epochs=60, learning_rate=0.1, patience=patience) for patience in (2, 0))
    patient.course, all_of_them.course = Remembering(), Remembering()
    patient.fit(noise)
    all_of_them.fit(noise)
    (errors,) = (standing["errors"] for standing in patient.course.kept.values())
    best = np.minimum.accumulate(errors)
    gains = 1 - best[2:] / best[:-2]
    assert gains[-1] < training.LEAST_GAIN <= gains[:-1].min(initial=1.0)
    assert len(errors) < 60 == len(all_of_them.course.rounds)


Epoch = Callable[..., dict[str, NDArray[Any]]]


def test_a_gpu_that_vanishes_is_told_and_the_training_goes_on_without_it(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second name of the CPU stands for the GPU."""
    x = following(rng, 300)
    whole = small().fit(x)
    epoch: Epoch = training._epoch
    rounds = []

    def vanishing(standing: State, *rest: Any) -> State:
        rounds.append(len(standing["errors"]))
        if rounds == [0, 1, 2]:
            raise RuntimeError("CUDA error: unspecified launch failure\nmore of it")
        return epoch(standing, *rest)

    monkeypatch.setattr(training, "_device", lambda: torch.device("cpu:0"))
    monkeypatch.setattr(training, "_epoch", vanishing)
    before = log.counters().get('tocsin_gpus_lost_total{detector="lstm_autoencoder"}', 0)
    assert same(small().fit(x), whole)
    assert rounds == [0, 1, 2, 2, 3]
    assert log.counters()['tocsin_gpus_lost_total{detector="lstm_autoencoder"}'] == before + 1
    said = capsys.readouterr()
    assert "free the GPU and train again to use it" in said.out + said.err
    assert "launch failure" in said.out + said.err


def test_an_error_of_the_cpu_is_nothing_to_go_on_after(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    def broken(*_: Any) -> State:
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(training, "_device", lambda: training.CPU)
    monkeypatch.setattr(training, "_epoch", broken)
    with pytest.raises(RuntimeError, match="not enough memory"):
        small().fit(following(rng, 100))


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(DataError, match=r"(?s)held-out error of .* after epoch \d+.*smaller learning_rate"):
        small(learning_rate=1e30).fit(np.random.default_rng(0).normal(size=(300, STEPS, 2)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 1}, {"steps": 1_025}, {"units": 0}, {"units": 513}, {"noise": -0.1}, {"noise": np.nan},
        {"clip": 0.0}, {"epochs": 0}, {"patience": -1}, {"batch": 0}, {"learning_rate": np.inf}, {"seed": -1},
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} is .*, wanted"):
        small(**wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", np.zeros(2)),
        ("error", np.zeros(2, dtype=np.float32)),
        ("first_input", np.full((24, 2), np.nan, dtype=np.float32)),
        ("second_hidden", np.full((24, 6), 1e30, dtype=np.float32)),
        ("output", np.zeros((2, 6))),
        ("second_bias", np.zeros(23, dtype=np.float32)),
        ("center", np.zeros((2, 1))),
    ],
)
def test_a_state_that_could_mislead_is_refused(name: str, value: NDArray[Any], rng: np.random.Generator) -> None:
    detector = small(epochs=1).fit(rng.normal(size=(20, STEPS, 2)))
    with pytest.raises(IntegrityError, match=name):
        LstmAutoencoder.restore(detector.parameters(), {**detector.state(), name: value}, 2)

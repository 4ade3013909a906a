"""Reconstruction of a sequence by two LSTM layers: what they cannot rebuild from its other values is unusual.

Source: Malhotra et al., LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection, 2016 (arXiv 1607.00148); noise
on what is to be rebuilt: Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, ICML
2008. Stacked layers without a bottleneck in time learn in a few epochs what the encoder-decoder does not in many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tocsin.arrays import Array
from tocsin.component import optional_packages
from tocsin.detectors.base import Detector, Labels, State
from tocsin.detectors.base_scaling import scaled, scaling, standard_scaling
from tocsin.kernel.sequences import MAX_STEPS
from tocsin.records import Matrix, Vector

MAX_UNITS = 512
LEAST_ERROR = 0.01
"""Share of a column's variance below which its error counts as this much: a column that can be rebuilt exactly must
not ring at its first rounding."""
BLOCKS, HELD_OUT = 50, 5
"""The sequences in so many blocks, every fifth held out: neighbours share most of their rows, and every time of
the history should be judged."""
_LARGEST = 1e6
"""Weights beyond this are no fit."""
_AT_ONCE = 1_024
"""Sequences that are rebuilt together."""


class LstmAutoencoder(Detector):
    """Score a sequence by how badly it is rebuilt from what its rows make of each other, over time.

    Takes columns that move together, with delays and in curved ways, and no longer do. Learns on a GPU where there is
    one (extra `deep`) and scores without PyTorch. Costs minutes for tens of thousands of sequences: try
    `pca_reconstruction` first. On a CPU the same rows and seed give the same bits.

    Parameters
    ----------
    steps
        Rows of an entity that are rebuilt together, 2 to 1,024.
    units
        Width of each layer, 1 to 512. Fewer units than columns have to sum up.
    noise
        Variance of the noise that the network learns to remove, in variances of a column, at least 0. Without noise,
        as many units as columns learn to repeat whatever they are shown.
    clip
        Standard deviations beyond which a value counts no more, greater than 0.
    epochs
        Passes over the training sequences, at least 1.
    patience
        Epochs that together must lower the error of the held-out sequences by a twentieth for training to go on; 0
        never stops. The best weights are kept either way.
    batch
        Sequences that make one step of learning, at least 1.
    learning_rate
        Size of such a step, greater than 0.
    seed
        Of the first weights, the order of the sequences and the noise.

    Raises
    ------
    MissingExtraError
        On fit, if PyTorch is not installed.
    DataError
        On fit, if the training diverges.
    ValueError
        If a parameter is out of range.
    """

    libraries = ("torch",)

    _center: Vector
    _scale: Vector
    _error: NDArray[np.float32]

    def __init__(  # noqa: PLR0913  # each is one line of a config
        self,
        *,
        steps: int = 30,
        units: int = 32,
        noise: float = 0.1,
        clip: float = 10.0,
        epochs: int = 50,
        patience: int = 3,
        batch: int = 64,
        learning_rate: float = 3e-3,
        seed: int = 0,
    ) -> None:
        for name, count, least, most in (
            ("steps", steps, 2, MAX_STEPS),
            ("units", units, 1, MAX_UNITS),
            ("epochs", epochs, 1, 100_000),
            ("patience", patience, 0, 100_000),
            ("batch", batch, 1, 1_000_000),
            ("seed", seed, 0, 2**63 - 1),
        ):
            if not least <= count <= most:
                raise ValueError(f"{name} is {count}, wanted {least} to {most}")
        for name, value in (("clip", clip), ("learning_rate", learning_rate)):
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, wanted a finite number greater than 0")
        if not 0 <= noise <= _LARGEST:
            raise ValueError(f"noise is {noise}, wanted a number of at least 0")
        self.steps = steps
        self.units = units
        self.noise = noise
        self.clip = clip
        self.epochs = epochs
        self.patience = patience
        self.batch = batch
        self.learning_rate = learning_rate
        self.seed = seed

    @classmethod
    def example(cls, folder: Path) -> Self:
        return cls(steps=4, units=8, epochs=5)

    def fit(self, x: Matrix, y: Labels | None = None) -> Self:
        with optional_packages("detector lstm_autoencoder"):
            from tocsin.detectors.base_lstm_training import Recipe, train

        self._center, self._scale = standard_scaling(x[:, -1])  # nearly every row is once the last of a sequence
        sequences = np.empty(x.shape, dtype=np.float32)
        for part in _parts(len(x)):
            sequences[part] = self._standard(x[part])
        held_out = np.arange(len(x)) * BLOCKS // len(x) % HELD_OUT == HELD_OUT - 1
        recipe = Recipe(self.units, self.noise, self.epochs, self.patience, self.batch, self.learning_rate, self.seed)
        for name, array in train(sequences, held_out, recipe, self.course).items():
            setattr(self, f"_{name}", array)
        self._error = self._typical_error(sequences[held_out] if held_out.any() else sequences)
        return self

    def _typical_error(self, sequences: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean squared error of each column, (d,), in single precision: no sum in another order gives another."""
        total = np.zeros(sequences.shape[-1])
        for part in _parts(len(sequences)):
            z = sequences[part].astype(np.float64)
            total += np.square(self._rebuilt(z) - z).sum(axis=(0, 1))
        mean = total / (len(sequences) * self.steps)
        return np.maximum(mean, LEAST_ERROR).astype(np.float32)

    def explain(self, x: Matrix) -> Matrix:
        """Each value's part of the score, (n, steps, d): its squared error over the usual one of its column."""
        return np.concatenate([self._shares(x[part]) for part in _parts(len(x))])

    def score(self, x: Matrix) -> Vector:
        """Mean of all squared errors, each over the usual one of its column: 1 is usual."""
        return np.concatenate([self._shares(x[part]).sum(axis=(1, 2)) for part in _parts(len(x))])

    def _shares(self, x: Matrix) -> Matrix:
        z = self._standard(x)
        shares: Matrix = np.square(self._rebuilt(z) - z) / (self._error * float(self.steps * x.shape[-1]))
        return shares

    def _standard(self, x: Matrix) -> Matrix:
        return scaled(x, self._center, self._scale, self.clip)

    def _rebuilt(self, z: Matrix) -> Matrix:
        """What the network makes of (n, steps, d), in double precision."""
        weights = {name: vars(self)[f"_{name}"].astype(np.float64) for name in self._shapes(0)}
        for layer in ("first", "second"):
            z = _lstm(z, weights[f"{layer}_input"], weights[f"{layer}_hidden"], weights[f"{layer}_bias"])
        rebuilt: Matrix = z @ weights["output"].T + weights["output_bias"]
        return rebuilt

    def state(self) -> State:
        return {name: vars(self)[f"_{name}"] for name in (*self._shapes(0), "center", "scale", "error")}

    def _shapes(self, columns: int) -> dict[str, tuple[int, ...]]:
        """The network's arrays; the rows of `input` and `hidden` are the gates in, forget, cell and out."""
        units = self.units
        layers = {
            f"{layer}_{name}": shape
            for layer, width in (("first", columns), ("second", units))
            for name, shape in (("input", (4 * units, width)), ("hidden", (4 * units, units)), ("bias", (4 * units,)))
        }
        return {**layers, "output": (columns, units), "output_bias": (columns,)}

    def arrays(self, columns: int) -> Mapping[str, Array]:
        weights = {name: Array(s, np.float32, -_LARGEST, _LARGEST) for name, s in self._shapes(columns).items()}
        errors = Array((columns,), np.float32, float(np.finfo(np.float32).tiny), _LARGEST)
        return {**weights, **scaling(columns), "error": errors}


def _lstm(x: Matrix, to_gates: Matrix, hidden_to_gates: Matrix, bias: Vector) -> Matrix:
    """What the units of a layer show after each row of (n, steps, width): (n, steps, units)."""
    n, steps, width = x.shape
    units = len(bias) // 4
    # A gate is (1 + tanh(a / 2)) / 2: one tanh for all of them, and none that overflows.
    half = np.repeat([0.5, 0.5, 1.0, 0.5], units)
    to_gates, hidden_to_gates, bias = to_gates.T * half, hidden_to_gates.T * half, bias * half
    entering = (x.reshape(n * steps, width) @ to_gates + bias).reshape(n, steps, 4 * units)
    shown = np.empty((n, steps, units))
    hidden, cell = np.zeros((n, units)), np.zeros((n, units))
    for step in range(steps):
        gates = np.tanh(entering[:, step] + hidden @ hidden_to_gates)
        enter, forget, fresh, leave = (gates[:, at * units : (at + 1) * units] for at in range(4))
        cell = 0.5 * ((1.0 + forget) * cell + (1.0 + enter) * fresh)
        hidden = 0.5 * (1.0 + leave) * np.tanh(cell)
        shown[:, step] = hidden
    return shown


def _parts(rows: int) -> Iterator[slice]:
    """At least one, so that no rows make an empty answer."""
    return (slice(start, start + _AT_ONCE) for start in range(0, max(rows, 1), _AT_ONCE))

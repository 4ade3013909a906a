"""How an LSTM autoencoder learns: the only file of it that needs PyTorch.

An epoch is a function of where the training stands. Whether it stands there since the epoch before, since a run that
was killed, or since a GPU that is gone, makes no difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from tocsin import observe
from tocsin.detectors.base_course import Course
from tocsin.errors import DataError

Numbers = NDArray[np.float32]
Standing = dict[str, NDArray[Any]]
"""Where a training stands: `weights`, `mean` and `square` of their gradients, and the `best` weights, (p,) each, and
the held-out `errors` of the epochs done."""

DETECTOR = "lstm_autoencoder"
CPU = torch.device("cpu")
THREADS = 1
"""So that sums are split in one way everywhere. Layers this small gain little from more, and lose all of it, and more,
where the cores have other work."""
STEEPEST = 1.0
"""Norm to which a gradient is cut: one odd batch must not undo an epoch."""
LEAST_GAIN = 0.05
"""Share by which the held-out error must fall while patience lasts: what comes later costs much and finds little."""
_JUDGED = 1_024
"""Held-out sequences that are judged at once."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training is to do, as the parameters of `lstm_autoencoder` say it."""

    units: int
    noise: float
    epochs: int
    patience: int
    batch: int
    learning_rate: float
    seed: int


class Network(nn.Module):
    """Two LSTM layers, and what their units make of each column."""

    def __init__(self, columns: int, units: int) -> None:
        super().__init__()
        self.first = nn.LSTM(columns, units, batch_first=True)
        self.second = nn.LSTM(units, units, batch_first=True)
        self.output = nn.Linear(units, columns)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction of (n, steps, d)."""
        reconstruction: Tensor = self.output(self.second(self.first(x)[0])[0])
        return reconstruction


def train(sequences: Numbers, held_out: NDArray[np.bool_], recipe: Recipe, course: Course) -> dict[str, Numbers]:
    """The weights that rebuilt the held-out ones of these sequences, (n, steps, d), best.

    Raises
    ------
    DataError
        If the training diverges.
    """
    name = _name(sequences, held_out, recipe)
    with _alone():
        standing = course.find(name)
        if standing is None:
            standing = _beginning(sequences.shape[-1], recipe)
        else:
            observe.fit_resumed(DETECTOR, len(standing["errors"]))
        device, there = _device(), None
        while not _ended(standing["errors"], recipe):
            done = len(standing["errors"])
            course.reached(done, recipe.epochs)
            try:
                there = there or _split(sequences, held_out, device)
                standing = _epoch(standing, *there, recipe)
            except RuntimeError as error:
                if device == CPU:
                    raise
                observe.gpu_lost(DETECTOR, done, str(error).partition("\n")[0])
                device, there = CPU, None
            else:
                course.keep(name, standing)
        return _arrays(standing["best"], sequences.shape[-1], recipe.units)


def _name(sequences: Numbers, held_out: NDArray[np.bool_], recipe: Recipe) -> str:
    """SHA-256, in hex, of all that every epoch depends on."""
    total = hashlib.sha256(repr((recipe, sequences.shape, torch.__version__)).encode())
    total.update(held_out.data)
    total.update(sequences.data)
    return total.hexdigest()


def _beginning(columns: int, recipe: Recipe) -> Standing:
    size = sum(weights.numel() for weights in Network(columns, recipe.units).parameters())
    edge = recipe.units**-0.5
    weights = np.random.default_rng(recipe.seed).uniform(-edge, edge, size).astype(np.float32)
    nothing = np.zeros_like(weights)
    return {"weights": weights, "mean": nothing, "square": nothing, "best": weights, "errors": np.empty(0)}


def _ended(errors: NDArray[np.float64], recipe: Recipe) -> bool:
    if len(errors) > recipe.patience > 0:
        best = np.minimum.accumulate(errors)
        if best[-1] > (1 - LEAST_GAIN) * best[-1 - recipe.patience]:
            return True
    return len(errors) >= recipe.epochs


def _device() -> torch.device:
    return torch.device("cuda") if torch.cuda.is_available() else CPU


@contextmanager
def _alone() -> Iterator[None]:
    """PyTorch as a training wants it, and then as it was found: its threads, its state of chance."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.random.fork_rng(devices=()):
            yield
    finally:
        torch.set_num_threads(before)


def _split(sequences: Numbers, held_out: NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """All sequences, and the places of those to learn from and of the held-out ones; with only one kind, both."""
    held, learnt = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    places = (learnt if len(learnt) else held, held if len(held) else learnt)
    there = torch.from_numpy(sequences).to(device)
    return there, torch.from_numpy(places[0]).to(device), torch.from_numpy(places[1]).to(device)


def _epoch(standing: Standing, sequences: Tensor, learnt: Tensor, held: Tensor, recipe: Recipe) -> Standing:
    """Where the training stands after one more pass over the sequences to learn from."""
    epoch, device = len(standing["errors"]), sequences.device
    batches = range(0, len(learnt), recipe.batch)
    network = Network(sequences.shape[-1], recipe.units).to(device)
    optimizer = _restored(network, standing, epoch * len(batches), recipe)
    order = np.random.default_rng([recipe.seed, epoch])
    shuffled = learnt[torch.from_numpy(order.permutation(len(learnt))).to(device)]
    noise = torch.Generator(device).manual_seed(int(order.integers(2**62)))
    for start in batches:
        clean = sequences[shuffled[start : start + recipe.batch]]
        noisy = torch.empty_like(clean).normal_(0.0, recipe.noise**0.5, generator=noise).add_(clean)
        optimizer.zero_grad()
        mse_loss(network(noisy), clean).backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it without types
        nn.utils.clip_grad_norm_(network.parameters(), STEEPEST)
        optimizer.step()
    error = _error(network, sequences, held)
    if not np.isfinite(error):
        got = f"a held-out error of {error} after epoch {epoch + 1}"
        raise DataError(DETECTOR, got, "a finite one", "try a smaller learning_rate")
    observe.epoch_ended(DETECTOR, epoch + 1, error)
    weights = _flat(list(network.parameters()))
    moments = [optimizer.state[weights] for weights in network.parameters()]
    return {
        "weights": weights,
        "mean": _flat([moment["exp_avg"] for moment in moments]),
        "square": _flat([moment["exp_avg_sq"] for moment in moments]),
        "best": weights if error < standing["errors"].min(initial=np.inf) else standing["best"],
        "errors": np.append(standing["errors"], error),
    }


def _restored(network: Network, standing: Standing, steps: int, recipe: Recipe) -> torch.optim.Adam:
    """The optimizer of the network, both as they stood."""
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    places = list(network.parameters())
    pieces = zip(*(_pieces(standing[name], network) for name in ("weights", "mean", "square")), strict=True)
    with torch.no_grad():
        for place, (weights, mean, square) in zip(places, pieces, strict=True):
            place.copy_(weights)
            optimizer.state[place] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": mean.to(place.device, copy=True),
                "exp_avg_sq": square.to(place.device, copy=True),
            }
    return optimizer


def _pieces(flat: Numbers, network: Network) -> list[Tensor]:
    """One array as tensors of the shapes of the network's weights."""
    weights = list(network.parameters())
    pieces = torch.split(torch.from_numpy(flat.copy()), [weight.numel() for weight in weights])
    return [piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True)]


def _flat(tensors: list[Tensor]) -> Numbers:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu().numpy()


def _error(network: Network, sequences: Tensor, held: Tensor) -> float:
    """Mean squared error of the held-out sequences."""
    total = 0.0
    with torch.no_grad():
        for places in torch.split(held, _JUDGED):
            clean = sequences[places]
            total += mse_loss(network(clean), clean).item() * len(places)
    return total / len(held)


def _arrays(flat: Numbers, columns: int, units: int) -> dict[str, Numbers]:
    """The weights by the names under which a model keeps them; PyTorch adds up two biases where one would do."""
    network = Network(columns, units)
    names = (name for name, _ in network.named_parameters())
    found = {name: piece.numpy() for name, piece in zip(names, _pieces(flat, network), strict=True)}
    layers = {
        f"{layer}_{name}": array
        for layer in ("first", "second")
        for name, array in (
            ("input", found[f"{layer}.weight_ih_l0"]),
            ("hidden", found[f"{layer}.weight_hh_l0"]),
            ("bias", found[f"{layer}.bias_ih_l0"] + found[f"{layer}.bias_hh_l0"]),
        )
    }
    return {**layers, "output": found["output.weight"], "output_bias": found["output.bias"]}

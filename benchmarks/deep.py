"""The LSTM autoencoder: how long it learns, and what it finds on SMD beside principal components.

small     800 sequences of 30 rows and 100 columns, standard normal, all 50 epochs, early stopping off
large     50,000 such sequences: seconds for one epoch on the CPU, and on a GPU where there is one
smd       AP on each machine. `hosts/metrics` as it is shipped, and with `lstm_autoencoder` as it is shipped, on the
          columns as they are, since the network sees 30 rows of them. Peer: reconstruction by the components that
          hold 90 % of the variance, row by row and as the mean of ten rows, as the data's own notes give it. Machines
          1-6 and 2-1 chose the network (layers one behind the other, noise, 30 rows), the other two were only judged
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
import torch
from benchmarks.telemetry import DATA, MACHINES, config_of, rows_of, scores_of
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score

from tocsin import log
from tocsin.detectors import base_lstm_training as training
from tocsin.detectors.base_course import Course
from tocsin.detectors.lstm_autoencoder import LstmAutoencoder

STEPS, COLUMNS = 30, 100
SMALL, LARGE = 800, 50_000
EPOCHS = 50
ALLOWED_S = 30.0
RAW_COLUMNS = 'features: {columns: ["*"], derive: [], aside: []}'
SMOOTHED = 10
"""Rows of which the smoothed peer's score is the mean."""


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    log.configure("error")
    torch.zeros(1)
    small, large, smd = _small(), _large(), {}
    print("small", small, "large", large)
    with TemporaryDirectory() as name:
        for machine in MACHINES:
            smd[machine] = _smd(Path(name), machine)
            print("smd", machine, smd[machine])
    above = [machine for machine, found in smd.items() if found["lstm"] > max(found["pca"], found["pca_mean_of_ten"])]
    bars = {
        f"{SMALL} sequences, {EPOCHS} epochs in <= {ALLOWED_S:g} s": small["wall_s"] <= ALLOWED_S,
        "average precision above PCA's, smoothed or not, on at least one SMD machine": bool(above),
    }
    results = {"small": small, "large": large, "smd": smd, "smd_above": above, "bars": bars}
    print(bars)
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _small() -> dict[str, float]:
    sequences = np.random.default_rng(0).normal(size=(SMALL, STEPS, COLUMNS))
    detector = LstmAutoencoder(steps=STEPS, epochs=EPOCHS, patience=0)
    found = _timed(lambda: detector.fit(sequences))
    found["score_one_ms"] = 1e3 * min(_timed(lambda: detector.score(sequences[:1]))["wall_s"] for _ in range(50))
    found["sequences_scored_per_s"] = SMALL / min(_timed(lambda: detector.score(sequences))["wall_s"] for _ in range(3))
    return found


def _large() -> dict[str, Any]:
    sequences = np.random.default_rng(0).standard_normal((LARGE, STEPS, COLUMNS), dtype=np.float32)
    held_out = np.arange(LARGE) % 5 == 0
    shipped = LstmAutoencoder()
    recipe = training.Recipe(
        shipped.units, shipped.noise, 1, 0, shipped.batch, shipped.learning_rate, shipped.seed
    )  # fmt: skip

    def epoch() -> dict[str, float]:
        return _timed(lambda: training.train(sequences, held_out, recipe, Course()))

    with patch.object(training, "_device", lambda: training.CPU):
        found: dict[str, Any] = {"cpu": epoch()}
    if torch.cuda.is_available():
        epoch()
        return found | {"gpu": epoch(), "gpu_name": torch.cuda.get_device_name()}
    return found | {"gpu": "no GPU"}


def _timed(work: Callable[[], Any]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _smd(folder: Path, machine: str) -> dict[str, float]:
    file = DATA / "smd" / f"machine-{machine}.npz"
    with np.load(file) as arrays:
        before, after = (arrays[name].astype(np.float64) for name in ("train", "test"))
        truth = arrays["test_label"] == 1
    errors = _pca_errors(before, after)
    scores = {
        "lstm": _ours(folder, file, RAW_COLUMNS + "\n        detector: {type: lstm_autoencoder}"),
        "hosts_metrics": _ours(folder, file, ""),
        "pca": errors,
        "pca_mean_of_ten": np.convolve(errors, np.ones(SMOOTHED) / SMOOTHED)[: len(errors)],
    }
    return {name: float(average_precision_score(truth, score)) for name, score in scores.items()}


def _ours(folder: Path, file: Path, more: str) -> NDArray[np.float64]:
    config = config_of(
        folder,
        f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: 60}}}}}}
        source: {{type: npz, path: {file}, array: train}}
        test: {{array: test}}
        {more}
        """,
    )
    return scores_of(*rows_of(config))


def _pca_errors(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    center, spread = before.mean(axis=0), before.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    peer = PCA(0.9).fit((before - center) / scale)
    z = (after - center) / scale
    return np.asarray(np.square(z - peer.inverse_transform(peer.transform(z))).mean(axis=1))


if __name__ == "__main__":
    main(Path(__file__).parent / "results" / "deep.json")

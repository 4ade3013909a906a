"""Our walks and sums beside the libraries whose models they take over: the same scores on every set of the data folder.

Each library learns from the numeric fields of a set, its arrays are taken over, and both score rows that it has not
learnt from: scikit-learn's isolation forest, xgboost's boosted trees, PyTorch's LSTM layers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import xgboost
from sklearn.ensemble import IsolationForest as ScikitForest

from tocsin import log
from tocsin.bench.cases import Case, named
from tocsin.bench.run import rows_of
from tocsin.detectors.base_lstm_training import Network
from tocsin.detectors.isolation_forest import IsolationForest
from tocsin.detectors.lstm_autoencoder import LstmAutoencoder
from tocsin.errors import TocsinError
from tocsin.kernel.boosting import from_xgboost
from tocsin.records import Batch, Matrix, Vector
from tocsin.schema import Schema
from tocsin.system import Project
from tocsin.training.history import source_of

BAR = 1e-6
ROWS = 2_000
"""To learn from and to score, each, evenly spread: differences hang on values and models, not on how many rows."""
STEPS, UNITS = 5, 8

Scores = tuple[Vector, Vector]
"""Theirs and ours."""


def main(out: Path) -> None:
    folder = Path(os.environ.get("TOCSIN_DATA", ""))
    if not (folder / "adbench").is_dir():
        raise SystemExit("TOCSIN_DATA does not name the folder of real data")
    sets: dict[str, dict[str, dict[str, float]]] = {}
    left_out: dict[str, str] = {}
    for case in named((), folder):
        try:
            with log.quiet():
                found = differences(*tables(case))
        except TocsinError as error:
            left_out[f"{case.set} {case.name}"] = error.problem.got
            continue
        sets.setdefault(case.set, {})[case.name] = found
        print(f"{case.set:12} {case.name:50} " + "  ".join(f"{name} {apart:.1e}" for name, apart in found.items()))
    worst = {name: max(case[name] for cases in sets.values() for case in cases.values()) for name in LIBRARIES}
    figures = {
        "largest_difference": worst,
        "bars": {f"{name} at most {BAR:g}": apart <= BAR for name, apart in worst.items()},
        "cases": sum(map(len, sets.values())),
        "sets": {name: {library: max(case[library] for case in cases.values()) for library in LIBRARIES}
                 for name, cases in sets.items()},
        "left_out": left_out,
    }  # fmt: skip
    print(json.dumps({name: figures[name] for name in ("largest_difference", "cases", "left_out")}, indent=2))
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def tables(case: Case) -> tuple[Matrix, Matrix]:
    """Numeric fields of rows to learn from and of others, NaN as the median; deviations, as a model prepares them.

    Raises
    ------
    TocsinError
        If nothing can be read.
    """
    with TemporaryDirectory() as folder:
        project = Project(case.config(Path(folder)))
        config = project.met(source_of(project.config))
        train, test, _ = rows_of(project, config)
    schema = config.schema_
    seen = table(schema, train)
    middle = np.nan_to_num(np.nanmedian(np.where(np.isnan(seen).all(axis=0), 0.0, seen), axis=0))
    parts = [np.where(np.isnan(rows), middle, rows) for rows in (seen, table(schema, test))]
    mean, deviation = parts[0].mean(axis=0), parts[0].std(axis=0)
    scaled = [(rows - mean) / np.where(deviation > 0, deviation, 1.0) for rows in parts]
    return scaled[0], scaled[1]


def table(schema: Schema, rows: Batch) -> Matrix:
    chosen = np.unique(np.linspace(0, rows.rows - 1, ROWS).astype(int))
    return np.column_stack([rows[name][chosen].astype(np.float64) for name in schema.numeric])


def differences(train: Matrix, test: Matrix) -> dict[str, float]:
    """The largest difference of a score, relative where it is above 1, by library."""
    found = {}
    for name, scored in LIBRARIES.items():
        theirs, ours = scored(train, test)
        found[name] = float((np.abs(theirs - ours) / np.maximum(np.abs(theirs), 1.0)).max())
    return found


def forest(train: Matrix, test: Matrix) -> Scores:
    theirs = ScikitForest(random_state=0).fit(train)
    return -theirs.score_samples(test), IsolationForest.from_scikit_learn(theirs).score(test)


def boosted(train: Matrix, test: Matrix) -> Scores:
    """Log-odds that a row lies further out than most: it is the walk that matters here, not what is learnt."""
    far = np.abs(train).sum(axis=1).argsort(kind="stable").argsort() >= 0.8 * len(train)
    parameters = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
    theirs = xgboost.train(parameters, xgboost.DMatrix(train, far), 50)
    margin = theirs.predict(xgboost.DMatrix(test), output_margin=True).astype(np.float64)
    return margin, from_xgboost(theirs.save_raw("json")).margin(np.asarray(test, dtype=np.float32).astype(np.float64))


def recurrent(train: Matrix, test: Matrix) -> Scores:
    ours = LstmAutoencoder(steps=STEPS, units=UNITS, epochs=1).fit(sequences(train))
    state, rows = ours.state(), sequences(test)
    network = Network(rows.shape[-1], UNITS).double()
    layers = {f"{layer}.{kind}_l0": state[f"{layer}_{part}"] for layer in ("first", "second") for kind, part in
              (("weight_ih", "input"), ("weight_hh", "hidden"), ("bias_ih", "bias"))}  # fmt: skip
    weights = {**layers, "output.weight": state["output"], "output.bias": state["output_bias"]}
    weights |= {f"{layer}.bias_hh_l0": np.zeros(4 * UNITS) for layer in ("first", "second")}
    network.load_state_dict({name: torch.tensor(array.astype(np.float64)) for name, array in weights.items()})
    z = np.clip((rows - state["center"]) / state["scale"], -ours.clip, ours.clip)
    with torch.no_grad():
        rebuilt = network(torch.tensor(z)).numpy()
    return (np.square(rebuilt - z) / state["error"]).mean(axis=(1, 2)), ours.score(rows)


def sequences(rows: Matrix) -> Matrix:
    return np.lib.stride_tricks.sliding_window_view(rows, STEPS, axis=0).transpose(0, 2, 1).copy()


LIBRARIES: Mapping[str, Callable[[Matrix, Matrix], Scores]] = {
    "isolation_forest": forest,
    "xgboost": boosted,
    "lstm_autoencoder": recurrent,
}

"""The preset `hosts/metrics` on metrics of servers, chosen on every second machine and judged on the others.

What was chosen: detector, its share of variance, clip and steps, by mean average precision over the machines of
`CHOOSING` alone. What is judged: the machines of `JUDGING`, here, with the preset as it is shipped.

The peer is the smoothed PCA of the data's own notes: scikit-learn's, 90 % of the variance, on standardised columns, its
reconstruction error averaged over the last 10 rows. The same without standardising stands beside it: these sets come
scaled to their own range, and there it is the stronger one, but on raw units it fails.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from benchmarks.telemetry import config_of, rows_of, scores_of
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from tocsin import log
from tocsin.evaluation.volume import volume_figure
from tocsin.records import LABEL, Mask

DATA = Path(os.environ.get("TOCSIN_DATA", ""))
MACHINES: Mapping[str, tuple[str, ...]] = {
    "smd": ("machine-1-6", "machine-2-1", "machine-2-2", "machine-3-3"),
    "asd": tuple(f"omi-{server}" for server in range(1, 9)),
    "jumpstarter": tuple(f"service{service}" for service in range(15)),
}
CHOOSING = {name: machines[0::2] for name, machines in MACHINES.items()}
JUDGING = {name: machines[1::2] for name, machines in MACHINES.items()}
INTERVAL_S = {"smd": 60, "asd": 300, "jumpstarter": 60}
SMOOTHED = 10
MEAN_BAR, EACH_BAR = 1.15, 1.0

Numbers = NDArray[np.float64]
Figures = dict[str, float]


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    results: dict[str, Any] = {}
    for half, machines in (("choosing", CHOOSING), ("judging", JUDGING)):
        for name, chosen in machines.items():
            each = {machine: figures_of(name, machine) for machine in chosen}
            results.setdefault(half, {})[name] = {"mean": _mean(each.values()), "machines": each}
            print(half, name, orjson.dumps(results[half][name]["mean"]).decode())
    results["bars"] = _bars(results["judging"])
    print(orjson.dumps(results["bars"]).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def figures_of(name: str, machine: str) -> dict[str, Figures]:
    """Average precision and VUS-PR of ours and of both peers on the test rows of one machine."""
    with TemporaryDirectory() as folder:
        config, train, test = rows_of(config_of(Path(folder), _config(name, machine)))
        raw = [np.column_stack([rows[metric] for metric in config.schema_.found]) for rows in (train, test)]
        truth = test[LABEL] == 1
        scores = {
            "ours": scores_of(config, train, test),
            "peer": _peer(StandardScaler().fit(raw[0]).transform(np.vstack(raw)), train.rows),
            "peer_unscaled": _peer(np.vstack(raw), train.rows),
        }
    return {side: _figures(truth, found) for side, found in scores.items()}


def _config(name: str, machine: str) -> str:
    place = DATA / {"jumpstarter": "jumpstarter_d2"}.get(name, name)
    head = f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: {INTERVAL_S[name]}}}}}}}"""
    if name == "jumpstarter":
        file = f"{machine}.csv.gz"
        return f"""{head}
        source: {{type: csv, path: {place}/train/{file}, columns: {[f"metric_{at}" for at in range(1, 20)]}}}
        test: {{path: {place}/test/{file}}}
        test_labels: {{array: {place}/test_label/{file}}}"""
    return f"""{head}
        source: {{type: npz, path: {place}/{machine}.npz, array: train}}
        test: {{array: test}}
        test_labels: {{array: {place}/{machine}.npz, series: test_label}}"""


def _peer(raw: Numbers, training: int) -> Numbers:
    """Reconstruction error of the rows behind the training rows, each averaged with those before it."""
    train, test = raw[:training], raw[training:]
    pca = PCA(0.9, random_state=0).fit(train)
    error = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean(axis=1)
    sums = np.cumsum(np.concatenate([[0.0], np.full(SMOOTHED - 1, error[0]), error]))
    return np.asarray((sums[SMOOTHED:] - sums[:-SMOOTHED]) / SMOOTHED)


def _figures(truth: Mask, scores: Numbers) -> Figures:
    volume = volume_figure(truth, scores, np.zeros(len(truth), dtype=np.intp), seed=0)
    return {"average_precision": float(average_precision_score(truth, scores)), "vus_pr": float(volume.value or 0.0)}


def _mean(each: Any) -> dict[str, Figures]:
    found: list[dict[str, Figures]] = list(each)
    return {
        side: {name: float(np.mean([item[side][name] for item in found])) for name in found[0][side]}
        for side in found[0]
    }


def _bars(judged: Mapping[str, Any]) -> dict[str, bool]:
    precision = {
        name: [found["mean"][side]["average_precision"] for side in ("ours", "peer")] for name, found in judged.items()
    }
    ours, peer = np.mean(list(precision.values()), axis=0)
    return {
        f"mean average precision >= {MEAN_BAR} x smoothed PCA": bool(ours >= MEAN_BAR * peer),
        **{f"{name} >= {EACH_BAR} x smoothed PCA": bool(a >= EACH_BAR * b) for name, (a, b) in precision.items()},
    }

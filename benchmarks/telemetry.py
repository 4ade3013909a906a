"""The presets as they are shipped on real labelled telemetry, beside scikit-learn's forest on the same rows.

No parameter is set here but what a user must say: where the files are, how far apart rows without a clock lie. The
peer is `IsolationForest` with its defaults (100 trees, seed 0) on the raw columns, as the data's own notes give it.

asd       learn from `train`, judge on `test`, mean of 8 servers
smd       the same, 4 machines; jumpstarter: the same, 15 services in raw units. All three with the preset's detector,
          with the forest and with `denoising_reconstruction`
cisco     learn from a router's rows without labels, judge the same rows ("whole", as the peer's figure is given), and
          learn from the first 45 %, judge the rest ("forward"); an anomaly is an event of the router's own
nezha     the front service, up to four minutes behind the last fault, learnt from without labels
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as Peer
from sklearn.metrics import average_precision_score, roc_auc_score

from tocsin import log
from tocsin.config import load
from tocsin.config.parsing import Config
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, SECOND, Batch
from tocsin.system import Project
from tocsin.training.history import source_of
from tocsin.training.limits import Limits

DATA = Path(os.environ.get("TOCSIN_DATA", ""))
MACHINES = ("1-6", "2-1", "2-2", "3-3")
OTHERS = {
    "forest": "detector: {type: isolation_forest}",
    "denoising": "detector: {type: denoising_reconstruction}",
}
FORWARD = 0.45
FAULT_S = 240
"""How long a fault of the Nezha set counts: it names no end."""

Figures = dict[str, float]
Numbers = NDArray[np.float64]


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    with TemporaryDirectory() as name:
        folder = Path(name)
        results: dict[str, Any] = {
            **_servers(folder),
            **{
                f"{name}_{detector}": found
                for detector, more in OTHERS.items()
                for name, found in _servers(folder, more).items()
            },
            "cisco_bgpclear": _cisco(folder, "bgpclear_first"),
            "cisco_portflap": _cisco(folder, "portflap_first"),
            "nezha_22": _nezha(folder, "2022-08-22"),
            "nezha_23": _nezha(folder, "2022-08-23"),
        }
    results["bars"] = _bars(results)
    for title, found in results.items():
        print(title, orjson.dumps(found).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _bars(results: dict[str, Any]) -> dict[str, bool]:
    return {
        "asd average_precision > 0.154": results["asd"]["ours"]["average_precision"] > 0.154,
        "cisco own-node roc_auc > 0.693": results["cisco_bgpclear"]["whole"]["ours"]["roc_auc"] > 0.693,
        "nezha 22nd roc_auc > 0.645": results["nezha_22"]["ours"]["roc_auc"] > 0.645,
        "nezha 23rd roc_auc > 0.752": results["nezha_23"]["ours"]["roc_auc"] > 0.752,
    }


def _servers(folder: Path, more: str = "") -> dict[str, dict[str, Figures]]:
    """Means over the machines of each set, with the preset or with `more` lines of config."""
    return {
        "asd": _mean(_asd(folder, server, more) for server in range(1, 9)),
        "jumpstarter": _mean(_jumpstarter(folder, service, more) for service in range(15)),
        "smd": _mean(_smd(folder, machine, more) for machine in MACHINES),
    }


def _asd(folder: Path, server: int, more: str = "") -> dict[str, Figures]:
    file = DATA / "asd" / f"omi-{server}.npz"
    return _arrays(folder, file, 300, more)


def _smd(folder: Path, machine: str, more: str = "") -> dict[str, Figures]:
    return _arrays(folder, DATA / "smd" / f"machine-{machine}.npz", 60, more)


def _arrays(folder: Path, file: Path, interval_s: int, more: str) -> dict[str, Figures]:
    config = config_of(
        folder,
        f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: {interval_s}}}}}}}
        source: {{type: npz, path: {file}, array: train}}
        test: {{array: test}}
        test_labels: {{array: {file}, series: test_label}}
        {more}
        """,
    )
    config, train, test = rows_of(config)
    with np.load(file) as arrays:
        peer = -Peer(random_state=0).fit(arrays["train"]).score_samples(arrays["test"])
    return _both(test[LABEL] == 1, scores_of(config, train, test), peer)


def _jumpstarter(folder: Path, service: int, more: str = "") -> dict[str, Figures]:
    """Raw units, no header, no clock."""
    place, name = DATA / "jumpstarter_d2", f"service{service}.csv.gz"
    config = config_of(
        folder,
        f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: 60}}}}}}
        source: {{type: csv, path: {place}/train/{name}, columns: {[f"metric_{at}" for at in range(1, 20)]}}}
        test: {{path: {place}/test/{name}}}
        test_labels: {{array: {place}/test_label/{name}}}
        {more}
        """,
    )
    config, train, test = rows_of(config)
    raw = (np.column_stack([rows[metric] for metric in config.schema_.found]) for rows in (train, test))
    before, after = raw
    peer = -Peer(random_state=0).fit(before).score_samples(after)
    return _both(test[LABEL] == 1, scores_of(config, train, test), peer)


def _cisco(folder: Path, experiment: str, nodes: Sequence[str] = ()) -> dict[str, Any]:
    """Mean over the routers that had an event of their own, or over these."""
    with (DATA / "cisco_telemetry" / f"ground_truth_{experiment}.txt").open() as file:
        nodes = nodes or sorted({event["Node"] for event in csv.DictReader(file)})
    whole, forward = [], []
    for node in nodes:
        config, rows = _router(folder, experiment, node)
        truth = rows[LABEL] == 1
        raw = _with_changes(np.column_stack([rows[name] for name in config.schema_.found]))
        whole.append(_both(truth, scores_of(config, rows, rows), -Peer(random_state=0).fit(raw).score_samples(raw)))
        first = int(FORWARD * rows.rows)
        if truth[first:].any():
            before, after = rows.take(slice(first)), rows.take(slice(first, None))
            peer = -Peer(random_state=0).fit(raw[:first]).score_samples(raw[first:])
            forward.append(_both(truth[first:], scores_of(config, before, after, warm=True), peer))
    return {"routers": len(whole), "whole": _mean(whole), "forward_routers": len(forward), "forward": _mean(forward)}


def _router(folder: Path, experiment: str, node: str) -> tuple[Config, Batch]:
    place = DATA / "cisco_telemetry"
    config = config_of(
        folder,
        f"""
        preset: hosts/routers
        schema: {{leave_out: [column_1]}}
        source: {{type: csv, path: {place}/{node}{experiment}.csv.gz}}
        labels: {{windows: {place}/ground_truth_{experiment}.txt, series: {node}}}
        """,
    )
    config, rows, _ = rows_of(config)
    return config, rows


def _with_changes(raw: Numbers) -> Numbers:
    """Counters and first differences, gaps filled forward: what the peer's published figure rests on."""
    filled = np.array(raw)
    for row in range(1, len(filled)):
        gaps = np.isnan(filled[row])
        filled[row, gaps] = filled[row - 1, gaps]
    filled = np.nan_to_num(filled)
    return np.hstack([filled, np.vstack([np.zeros((1, filled.shape[1])), np.diff(filled, axis=0)])])


def _nezha(folder: Path, day: str) -> dict[str, Figures]:
    """Rows up to the end of the last fault; the hours behind it carry no listed one."""
    place = DATA / "nezha_metrics" / day
    faults = orjson.loads((place / f"{day}-fault_list.json").read_bytes())
    starts = sorted(int(fault["inject_timestamp"]) for hour in faults.values() for fault in hour)
    (folder / "faults.json").write_bytes(orjson.dumps([{"start": s, "end": s + FAULT_S} for s in starts]))
    config = config_of(
        folder,
        f"""
        preset: services/mesh
        source: {{type: csv, path: {place}/metric/front_service.csv.gz}}
        labels: {{windows: faults.json}}
        """,
    )
    config, rows, _ = rows_of(config)
    rows = rows.take(rows["timestamp"] <= (starts[-1] + FAULT_S) * SECOND)
    text = gzip.decompress((place / "metric" / "front_service.csv.gz").read_bytes()).decode()
    raw = np.array([[float(value) for value in row[3:]] for row in list(csv.reader(io.StringIO(text)))[1:]])
    raw = raw[: rows.rows]
    return _both(rows[LABEL] == 1, scores_of(config, rows, rows), -Peer(random_state=0).fit(raw).score_samples(raw))


def config_of(folder: Path, text: str) -> Config:
    path = folder / "tocsin.yaml"
    lines = [line.removeprefix("        ") for line in text.splitlines()]
    path.write_text("\n".join(["version: 1", "name: real", *lines, ""]), "utf-8")
    return load(path)


def rows_of(config: Config) -> tuple[Config, Batch, Batch]:
    """The config with the columns that were found, the rows of its source, and those of its test source if any."""
    project, limits = Project(config), Limits(config.limits)
    config = project.met(source_of(config))
    train = project.reader.read(source_of(config), config.labels, limits).batch
    if config.test is None:
        return config, train, Batch({})
    return config, train, project.reader.read(config.test, config.test_labels or config.labels, limits).batch


def scores_of(config: Config, train: Batch, test: Batch, *, warm: bool = False) -> Numbers:
    """Scores of a model that was told no label; `warm`: the test rows follow the training rows."""
    unlabelled = Batch({name: column for name, column in train.items() if not name.startswith("_l")})
    model = AnomalyModel(Design.of(config)).fit(unlabelled, unlabelled)
    state = model.start()
    if warm:
        model.features(train, state)
    return model.score(test, state).score


def _both(truth: NDArray[np.bool_], ours: Numbers, peer: Numbers) -> dict[str, Figures]:
    return {"ours": _figures(truth, ours), "peer": _figures(truth, peer)}


def _figures(truth: NDArray[np.bool_], scores: Numbers) -> Figures:
    return {
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
    }


def _mean(found: Any) -> dict[str, Figures]:
    each = list(found)
    return {
        side: {name: float(np.mean([item[side][name] for item in each])) for name in ("roc_auc", "average_precision")}
        for side in ("ours", "peer")
    }

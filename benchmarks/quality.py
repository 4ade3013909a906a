"""Ranking quality on real labelled sets, ours and scikit-learn's on the same rows and seeds.

NSL-KDD: learn from normal rows of the 20 % training file, judge on KDDTest+, mean of 10 seeds, and the shipped seed by
way of `tocsin evaluate --json`. Zeek: learn from benign connections of day 008, judge on day 010.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from sklearn.ensemble import IsolationForest as Peer
from sklearn.metrics import average_precision_score, roc_auc_score

from tocsin import log
from tocsin.component import PartSpec
from tocsin.config import Config, load
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, Batch
from tocsin.system import Project
from tocsin.training.limits import Limits
from tocsin.training.split import Parts, split

EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = 10


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    with TemporaryDirectory() as folder:
        results = {
            "nsl_kdd": compare(Path(folder), "nsl_kdd.yaml"),
            "nsl_kdd_shipped": shipped(Path(folder), "nsl_kdd.yaml"),
            "zeek": compare(Path(folder), "zeek.yaml"),
            "zeek_shipped": shipped(Path(folder), "zeek.yaml"),
        }
    results["bars"] = bars(results)
    for name, item in results.items():
        print(name, orjson.dumps(item).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def bars(results: dict[str, Any]) -> dict[str, bool]:
    """What the figures are held against."""
    nsl, zeek = results["nsl_kdd"], results["zeek_shipped"]
    shipped_figures = results["nsl_kdd_shipped"]
    return {
        "nsl_kdd roc_auc >= peer - 0.003": nsl["ours"]["roc_auc"] >= nsl["peer"]["roc_auc"] - 0.003,
        "nsl_kdd average_precision >= peer - 0.003": nsl["ours"]["average_precision"]
        >= nsl["peer"]["average_precision"] - 0.003,
        "nsl_kdd shipped roc_auc >= 0.930": shipped_figures["roc_auc"] >= 0.930,
        "nsl_kdd shipped average_precision >= 0.945": shipped_figures["average_precision"] >= 0.945,
        "zeek roc_auc >= 0.97": zeek["roc_auc"] >= 0.97,
    }


def rows_of(folder: Path, example: str) -> tuple[Config, Parts, Batch]:
    """The example's rows, read once: parts of the history, and the test rows."""
    path = folder / example
    shutil.copy(EXAMPLES / example, path)
    config = load(path)
    project, limits = Project(config), Limits(config.limits)
    assert config.source is not None
    assert config.test is not None
    history = project.reader.read(config.source, config.labels, limits)
    test = project.reader.read(config.test, config.labels, limits)
    return config, split(history.batch, config.schema_, config.split, test_elsewhere=True), test.batch


def compare(folder: Path, example: str) -> dict[str, Any]:
    """Mean figures over the seeds, ours and the peer's on the same prepared rows."""
    config, parts, test = rows_of(folder, example)
    truth = test[LABEL] == 1
    ours, peer = [], []
    for seed in range(SEEDS):
        spec = PartSpec("isolation_forest", {"seed": seed})
        model = AnomalyModel(Design.of(config.model_copy(update={"detector": spec})))
        model.fit(parts.train, parts.calibration)
        x = model.prepared(model.features(test, model.start()).values)
        normal = parts.train.take(parts.train[LABEL] != 1)
        training = model.prepared(model.features(normal, model.start()).values)
        ours.append(figures(truth, model.detector.score(x)))
        peer.append(figures(truth, -Peer(random_state=seed).fit(training).score_samples(x)))
    return {"seeds": SEEDS, "rows": len(truth), "ours": mean(ours), "peer": mean(peer)}


def figures(truth: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> dict[str, float]:
    return {
        "roc_auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
    }


def mean(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([result[name] for result in results])) for name in results[0]}


def shipped(folder: Path, example: str) -> dict[str, float]:
    """The example as a user runs it."""
    tocsin = [str(Path(sys.executable).with_name("tocsin")), "-c", str(folder / example), "--log-level", "error"]
    subprocess.run([*tocsin, "train", "--no-plots"], check=True, env=os.environ, stdout=subprocess.DEVNULL)
    done = subprocess.run([*tocsin, "evaluate", "--json", "--no-plots"], check=True, capture_output=True)
    found = orjson.loads(done.stdout)["report"]["figures"]
    return {name: found[name]["value"] for name in ("roc_auc", "average_precision", "recall", "false_positive_rate")}

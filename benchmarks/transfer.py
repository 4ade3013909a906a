"""What a model is worth on a machine that it has not learnt from: learnt on one, judged on all others of a set.

smd, asd, jumpstarter   the preset `hosts/metrics` as it is shipped; `own` is the mean over machines of the model judged
                        on the machine it learnt from, `other` the mean over all pairs of two machines, `random` that of
                        random scores. No bar: it tells how far a model may travel.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from tocsin import log
from tocsin.bench.cases import named
from tocsin.bench.run import rows_of, untold
from tocsin.evaluation.measures import Ranking, average_precision, roc_auc
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, Batch
from tocsin.system import Project
from tocsin.training.history import source_of

DATA = Path(os.environ.get("TOCSIN_DATA", ""))

Figures = dict[str, float]


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    results = {name: _transfer(name) for name in ("smd", "asd", "jumpstarter")}
    for name, found in results.items():
        print(name, orjson.dumps(found).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _transfer(name: str) -> dict[str, Any]:
    models: list[AnomalyModel] = []
    tests: list[Batch] = []
    for case in named((name,), DATA):
        with TemporaryDirectory() as folder:
            project = Project(case.config(Path(folder)))
            config = project.met(source_of(project.config))
            train, test, _ = rows_of(project, config)
            models.append(AnomalyModel(Design.of(config)).fit(untold(train), untold(train)))
            tests.append(test)
    own: list[Figures] = []
    other: list[Figures] = []
    random: list[Figures] = []
    rng = np.random.default_rng(0)
    for place, test in enumerate(tests):
        truth = test[LABEL] == 1
        random.append(_figures(truth, rng.random(len(truth))))
        for learnt_on, model in enumerate(models):
            (own if learnt_on == place else other).append(_figures(truth, model.score(test).score))
    return {"machines": len(models), "own": _mean(own), "other": _mean(other), "random": _mean(random)}


def _figures(truth: Any, scores: Any) -> Figures:
    ranking = Ranking.of(truth, scores)
    return {
        "roc_auc": float(roc_auc(ranking.anomalies, ranking.normals)),
        "average_precision": float(average_precision(ranking.anomalies, ranking.normals)),
    }


def _mean(found: list[Figures]) -> Figures:
    return {name: float(np.mean([item[name] for item in found])) for name in found[0]}

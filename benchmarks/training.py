"""A whole training on NSL-KDD, read to registry, beside scikit-learn's fit and score on the same arrays.

In process, after imports, without plots. The peer starts from a matrix in memory, fits the rows we fit and scores all
rows of the file; we start from the gzipped file and end with a version on disk, judged on the rows held back.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import orjson
from sklearn.ensemble import IsolationForest as Peer

from tocsin import log
from tocsin.config import load
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL
from tocsin.system import Project
from tocsin.training.limits import Limits, peak_memory_bytes
from tocsin.training.split import split

EXAMPLE = Path(__file__).parents[1] / "examples" / "nsl_kdd.yaml"
ROUNDS = 5


def main(out: Path) -> None:
    """Measure, print, write the JSON."""
    log.configure("error")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tocsin.yaml"
        shutil.copy(EXAMPLE, path)
        config = load(path).model_copy(update={"test": None})  # judged on rows held back from the training file
        ours = [timed(lambda: Project(config).train()) for _ in range(ROUNDS)]
        with_test = [timed(lambda: Project(load(path)).train()) for _ in range(ROUNDS)]
        peak = peak_memory_bytes()
        project, limits = Project(config), Limits(config.limits)
        assert config.source is not None
        history = project.reader.read(config.source, config.labels, limits)
    parts = split(history.batch, config.schema_, config.split, test_elsewhere=False)
    model = AnomalyModel(Design.of(config)).fit(parts.train, parts.calibration)
    normal = parts.train.take(parts.train[LABEL] != 1)
    training = model.prepared(model.features(normal, model.start()).values)
    rows = model.prepared(model.features(history.batch, model.start()).values)
    peer = [timed(lambda: Peer(random_state=0).fit(training).score_samples(rows)) for _ in range(ROUNDS)]
    ratio = median(ours) / median(peer)
    results = {
        "ours_s": median(ours),
        "peer_fit_and_score_s": median(peer),
        "ratio": ratio,
        "ours_and_a_test_file_read_and_judged_s": median(with_test),
        "peak_memory_bytes": peak,
        "bars": {"ratio <= 5": ratio <= 5, "peak memory <= 500 MB": peak <= 500e6},
    }
    print(orjson.dumps(results, option=orjson.OPT_INDENT_2).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def timed(step: object) -> float:
    """Seconds that a call takes."""
    assert callable(step)
    start = perf_counter()
    step()
    return perf_counter() - start

"""One configuration on the pumps of the Skoltech Anomaly Benchmark, under the protocol of its outlier board.

Of each of the 34 files the first 400 rows are learnt from, without labels, and all that follow are judged; F1, false
alarm rate and missing alarm rate are of the rows of all files together. The level is 4/3 of the 99th percentile of the
scores of the training rows, which is what the board's convolutional autoencoder does.

The windows were chosen on every second file (`CHOOSING`); the figure of the board is of all files, that of the
files on which nothing was chosen stands beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from benchmarks.telemetry import config_of, rows_of

from tocsin import log
from tocsin.evaluation.measures import Confusion, flag_figures
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import LABEL, Batch, Mask

FOLDER = Path(os.environ.get("TOCSIN_DATA", "")) / "skab" / "data"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/[0-9]*.csv.gz"))
CHOOSING = FILES[0::2]
JUDGING = FILES[1::2]
TRAINING = 400
BOARD = {"Conv-AE": 0.78, "MSET": 0.78, "T-squared+Q (PCA)": 0.76, "LSTM-AE": 0.74, "Isolation forest": 0.29}
BAR = 0.76

CONFIG = """
        schema:
          time: datetime
          fields: {{datetime: {{dtype: time}}}}
          others: {{optional: true}}
          leave_out: [changepoint]
        source: {{type: csv, path: {path}, delimiter: ";"}}
        labels: {{column: anomaly, normal: ["0", "0.0"]}}
        features:
          columns: ["*"]
          derive: [{{type: rolling, columns: ["*"], statistics: [mean, std], windows: [15s]}}]
          aside: ["*"]
        detector: {{type: pca_reconstruction, steps: 5}}
        alerts: {{budget: 1%}}
"""


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    log.configure("error")
    found = {file: flagged(file) for file in FILES}
    results: dict[str, Any] = {
        "all": _figures([found[file] for file in FILES]),
        "judging": _figures([found[file] for file in JUDGING]),
        "every row flagged": _figures([(truth, np.ones_like(truth)) for truth, _ in found.values()]),
        "board": BOARD,
    }
    results["bars"] = {f"F1 >= {BAR}": results["all"]["f1"] >= BAR}
    for title, figures in results.items():
        print(title, orjson.dumps(figures).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def flagged(file: str) -> tuple[Mask, Mask]:
    """Which of the judged rows of a file are anomalies, and which are flagged."""
    with TemporaryDirectory() as folder:
        config, rows, _ = rows_of(config_of(Path(folder), CONFIG.format(path=FOLDER / file)))
    unlabelled = Batch({name: column for name, column in rows.items() if not name.startswith("_l")})
    train = unlabelled.take(slice(TRAINING))
    scores = AnomalyModel(Design.of(config)).fit(train, train).score(unlabelled).score
    level = 4 / 3 * np.quantile(scores[:TRAINING], 0.99)
    return rows[LABEL][TRAINING:] == 1, scores[TRAINING:] > level


def _figures(found: Sequence[tuple[Mask, Mask]]) -> dict[str, float | None]:
    truth, flags = (np.concatenate(side) for side in zip(*found, strict=True))
    figures = flag_figures(Confusion.count(truth, flags))
    names = {"f1": "f1", "false_alarm_rate": "false_positive_rate", "missing_alarm_rate": "false_negative_rate"}
    return {name: figures[figure].value for name, figure in names.items()}

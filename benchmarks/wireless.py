"""The wireless presets as they are shipped on real links and radios, beside scikit-learn's forest on the same rows.

rutgers   learn from traces of the least noise, judge every noise at transmitters that training never saw
radio     learn from reports without jammer, judge every fifth block of 500 reports

The files are those that `examples/rutgers_traces.py` and `examples/jamming_blocks.py` write. Ours is what `tocsin
train` reports, a part of the training rows held back for the alert level; the peer is the mean of five seeds of
`IsolationForest` with its defaults, fitted on all normal training rows: on PRR and on mean, deviation, least and
largest RSSI of a trace (0 where nothing was heard), and on all numeric columns of the radio.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as Peer
from sklearn.metrics import average_precision_score, roc_auc_score

DATA = Path(os.environ.get("TOCSIN_DATA", ""))
EXAMPLES = Path(__file__).parents[1] / "examples"
SEEDS = 5
TRACE = ("packet_loss", "signal_strength", "signal_strength_std", "signal_strength_min", "signal_strength_max")
BARS = {"rutgers": 0.721, "radio": 0.784}

Figures = dict[str, float]


def main(out: Path) -> None:
    """Measure, print a table, write the JSON."""
    results: dict[str, Any] = {
        "rutgers": _compare("rutgers_traces.py", "wifi_rutgers", "preset: wifi/links", "label", _of_trace),
        "radio": _compare("jamming_blocks.py", "5g_jamming", "preset: wifi/radio", "Jammer_On", numbers_of_report),
    }
    results["bars"] = {f"{name} roc_auc > {bar}": results[name]["ours"]["roc_auc"] > bar for name, bar in BARS.items()}
    for name, found in results.items():
        print(name, orjson.dumps(found).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _compare(example: str, data: str, preset: str, label: str, columns: Any) -> dict[str, Any]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, EXAMPLES / example, DATA / data, folder], check=True)
        train, test = (pl.read_csv(folder / f"{part}.csv", infer_schema_length=None) for part in ("train", "test"))
        normal = train.filter(pl.col(label).cast(pl.String).is_in(["normal", "0"]))
        truth = ~test[label].cast(pl.String).is_in(["normal", "0"]).to_numpy()
        scores = [-Peer(random_state=seed).fit(columns(normal)).score_samples(columns(test)) for seed in range(SEEDS)]
        peer = [
            {"roc_auc": float(roc_auc_score(truth, s)), "average_precision": float(average_precision_score(truth, s))}
            for s in scores
        ]
        return {
            "rows": test.height,
            "ours": _ours(folder, preset, label),
            "peer": {name: float(np.mean([item[name] for item in peer])) for name in peer[0]},
        }


def _ours(folder: Path, preset: str, label: str) -> Figures:
    text = f"version: 1\nname: wireless\n{preset}\nsource: {{type: csv, path: train.csv}}\ntest: {{path: test.csv}}\n"
    (folder / "tocsin.yaml").write_text(f'{text}labels: {{column: {label}, normal: [normal, "0"]}}\n', "utf-8")
    tocsin = [str(Path(sys.executable).with_name("tocsin")), "-c", str(folder / "tocsin.yaml"), "--log-level", "error"]
    done = subprocess.run([*tocsin, "train", "--no-plots", "--json"], check=True, capture_output=True)
    found = orjson.loads(done.stdout)["report"]["figures"]
    return {name: found[name]["value"] for name in ("roc_auc", "average_precision")}


def _of_trace(rows: pl.DataFrame) -> NDArray[np.float64]:
    return rows.select(TRACE).with_columns(pl.all().fill_null(0.0)).to_numpy()


def numbers_of_report(rows: pl.DataFrame) -> NDArray[np.float64]:
    jammer = [name for name in rows.columns if name.startswith("Jammer")]
    kept = rows.drop(
        [*jammer, "Cell_ID", "RNTI", "Time_Delta", "Meas_Gap", "Connected"]
    )  # the last two hold keystrokes
    return kept.select(pl.selectors.numeric()).to_numpy().astype(np.float64)

"""What `tocsin tune` gains on real telemetry, and what it loses when it is killed: nothing that was finished.

Each set is searched as a user would: by detectors, or a forest's size, and by how columns are scaled and clipped. The
search sees the training rows of the set alone. It says whether the best is a gain on rows that no trial saw. Beside
that stands what both configs reach on the labelled test rows of the set, which the search never sees: where anomalies
were injected, a gain in finding those need not be one in finding real ones.

nsl_kdd                 attacks in the training rows are labelled: average precision at the budget of 5 %
asd, smd, jumpstarter   no label in the training rows: recall of injected anomalies at the budget of 3 alerts a day

The killed search runs on generated rows. It is killed with SIGKILL at a random moment behind its first trial, 20 times
over, and then runs to its end. A trial counts as finished once the process said so.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from benchmarks.telemetry import DATA, _figures, config_of, rows_of, scores_of

from tocsin import log
from tocsin.config.parsing import Config
from tocsin.config.places import with_values
from tocsin.records import LABEL
from tocsin.system import Project

KILLS = 20
PREPARED = """
          preparation.scale: [auto, robust]
          preparation.clip: [null, 3.0, 10.0]"""
DETECTORS = f"""
        tune:
         sampler: grid
         search:
          detector: [{{type: isolation_forest}}, {{type: robust_zscore}}, {{type: denoising_reconstruction}}]{PREPARED}
        """
FOREST = f"""
        tune:
         sampler: grid
         search:
          detector.trees: [50, 100, 200]
          detector.samples: [64, 256, 1024]{PREPARED}
        """
SETS = {
    "nsl_kdd": f"""
        preset: flows/nsl_kdd
        source: {{path: {DATA}/nsl_kdd/KDDTrain+_20Percent.txt.gz}}
        test: {{path: {DATA}/nsl_kdd/KDDTest+.txt.gz}}
        detector: {{type: isolation_forest}}
        alerts: {{budget: 5%}}{FOREST}""",
    **{
        name: f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: {interval_s}}}}}}}
        source: {{type: npz, path: {DATA}/{file}, array: train}}
        test: {{array: test}}
        test_labels: {{array: {DATA}/{file}, series: test_label}}{DETECTORS}"""
        for name, file, interval_s in (("asd", "asd/omi-1.npz", 300), ("smd", "smd/machine-1-6.npz", 60))
    },
    "jumpstarter": f"""
        preset: hosts/metrics
        schema: {{fields: {{timestamp: {{interval_s: 60}}}}}}
        source:
         type: csv
         path: {DATA}/jumpstarter_d2/train/service0.csv.gz
         columns: {[f"metric_{at}" for at in range(1, 20)]}
        test: {{path: {DATA}/jumpstarter_d2/test/service0.csv.gz}}
        test_labels: {{array: {DATA}/jumpstarter_d2/test_label/service0.csv.gz}}{DETECTORS}""",
}
SEARCH = """\
version: 1
name: killed
preset: services
source: {type: synthetic, kind: services, days: 4, seed: 5}
labels: {column: label}
detector: {type: robust_zscore}
tune: {sampler: grid, search: {detector.min_scale: {low: 0.1, high: 20.0, step: 0.1}}}
"""
POINTS = 200
SAID = re.compile(r"Trial finished\..*number=(\d+) value=(\S+)")


def main(out: Path) -> None:
    """Search, kill, print, write the JSON."""
    log.configure("error")
    results: dict[str, Any] = {name: _searched(text) for name, text in SETS.items()}
    results["killed"] = _killed(KILLS)
    results["better_on_test_rows"] = {
        name: found["test"]["tuned"]["average_precision"] > found["test"]["config"]["average_precision"]
        for name, found in results.items()
        if name in SETS and found["gained"]
    }
    results["bars"] = {
        "each set has a gain on rows that no trial saw, or no gain is said": all(
            found["gained"] == bool(found["untouched"] and (found["untouched"]["low"] or 0) > 0)
            for name, found in results.items()
            if name in SETS
        ),
        f"0 finished trials lost in {KILLS} kills": results["killed"]["lost"] == 0,
    }
    for title, found in results.items():
        print(title, orjson.dumps(found).decode())
    out.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))


def _searched(text: str) -> dict[str, Any]:
    with TemporaryDirectory() as name:
        config = config_of(Path(name), text)
        began = time.monotonic()
        found = Project(config).tune()
        seconds = time.monotonic() - began
        met, _, _ = rows_of(config)
        tuned = with_values(met, found.values)
        test = {"config": _on_test(config, met), "tuned": _on_test(config, tuned)}
    return {
        "objective": found.objective,
        "trials": found.trials,
        "in_trials": {"config": found.before, "best": found.after},
        "untouched": asdict(found.gain) if found.gain else None,
        "gained": found.gained,
        "values": dict(found.values),
        "test": test,
        "seconds": round(seconds, 1),
    }


def _on_test(config: Config, chosen: Config) -> dict[str, float]:
    """A model of all training rows on the test rows."""
    _, train, test = rows_of(config)
    if LABEL in train:
        train = train.take(train[LABEL] != 1)
    return _figures(test[LABEL] == 1, scores_of(chosen, train, test))


def _killed(kills: int) -> dict[str, Any]:
    """Trials that the process said were finished, and that a later look at the study does not find as they were."""
    moments, said, lost = np.random.default_rng(0), dict[int, float](), 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tocsin.yaml").write_text(SEARCH, "utf-8")
        for _ in range(kills):
            said |= _run(folder, moments.uniform(0.0, 1.5))
            there = _finished(folder)
            lost += sum(number not in there or abs(there[number] - value) > 1e-12 for number, value in said.items())
        before = len(said)
        _run(folder, None)
        there = _finished(folder)
        lost += sum(number not in there for number in said) + POINTS - len(there)
    return {"kills": kills, "finished_before_the_last": before, "finished": len(there), "lost": lost}


def _run(folder: Path, kill_after_s: float | None) -> dict[int, float]:
    """What a search said it had finished until it was killed, so long after its first trial, or until its end."""
    words = [sys.executable, "-c", "from tocsin.cli import main; main()", "tune", "--workers", "2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        assert run.stderr is not None
        lines = [run.stderr.readline()]
        while lines[-1] and not SAID.search(lines[-1].decode()):
            lines.append(run.stderr.readline())
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            run.send_signal(signal.SIGKILL)
        lines += run.stderr.readlines()
    found = (SAID.search(line.decode()) for line in lines)
    return {int(match[1]): float(match[2]) for match in found if match}


def _finished(folder: Path) -> dict[int, float]:
    with sqlite3.connect(folder / ".tocsin" / "tune.db") as study:
        rows = study.execute(
            "SELECT number, value FROM trials JOIN trial_values USING (trial_id) WHERE state = 'COMPLETE'"
        )
        return dict(rows.fetchall())

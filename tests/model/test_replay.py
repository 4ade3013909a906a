"""A model scores its golden rows in a child first; whatever ends the child refuses the model and nothing else."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tocsin import log
from tocsin.config import parse
from tocsin.errors import IntegrityError
from tocsin.model import replay as replays
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import Bundle
from tocsin.model.design import Design
from tocsin.model.replay import FORBIDDEN, MAX_MARKERS, replay, replay_once
from tocsin.records import SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema: {time: time, fields: {time: {dtype: time}, load: {}}}
detector: {type: isolation_forest, trees: 20}
alerts: {budget: 1%}
"""
REPLAYED = "tocsin_models_replayed_total"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    load = np.random.default_rng(0).normal(0.5, 0.05, 400)
    rows = Batch({"time": (1_700_000_000 + 60 * np.arange(400)) * SECOND, "load": load})
    return AnomalyModel(Design.of(parse(CONFIG))).fit(rows, rows).bundle({})


def other(bundle: Bundle, name: str, change: float) -> Bundle:
    return Bundle(bundle.content, {**bundle.arrays, name: bundle.arrays[name] + change}, bundle.notes)


def test_a_model_is_replayed_once_for_a_machine(bundle: Bundle, tmp_path: Path) -> None:
    markers = tmp_path / "deep" / "replayed"
    before = log.counters().get(REPLAYED, 0)
    for _ in range(2):
        replay_once(bundle, markers)
    assert log.counters()[REPLAYED] == before + 1
    (marker,) = markers.iterdir()
    assert marker.read_text("ascii") == bundle.digest
    marker.write_text("half")
    replay_once(bundle, markers)
    assert log.counters()[REPLAYED] == before + 2
    assert marker.read_text("ascii") == bundle.digest


def test_markers_do_not_grow_without_end(bundle: Bundle, tmp_path: Path) -> None:
    for number in range(MAX_MARKERS + 10):
        (tmp_path / f"{number:064x}").write_text("old")
    replay_once(bundle, tmp_path)
    assert len(list(tmp_path.iterdir())) == MAX_MARKERS
    before = log.counters()[REPLAYED]
    replay_once(bundle, tmp_path)
    assert log.counters()[REPLAYED] == before


def test_where_no_marker_can_be_written_a_model_is_replayed_each_time(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    before = log.counters().get(REPLAYED, 0)
    for _ in range(2):
        replay_once(bundle, tmp_path / "file" / "markers")
    assert log.counters()[REPLAYED] == before + 2


@pytest.mark.parametrize(("name", "complaint"), [("golden.scores", "golden rows"), ("detector.left", r"forest\.left")])
def test_what_the_child_refuses_is_refused_with_its_reason(
    name: str, complaint: str, bundle: Bundle, tmp_path: Path
) -> None:
    changed = other(bundle, name, 1)
    with pytest.raises(IntegrityError, match=complaint):
        replay_once(changed, tmp_path)
    assert not list(tmp_path.iterdir()), "a model that was refused has no marker"


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "ended by SIGXCPU"),
        ("import time; time.sleep(60)", "took more than 0.5 s"),
        ("raise SystemExit(78)", "failed with code 78, wanted scores of its golden rows with at most 5.. MiB"),
        ("pass", "failed with code 0"),
        ("""sys.stdout.write('{"scores": [0.5]}')""", "other scores in its replay"),
    ],
)
def test_however_a_child_ends_it_is_an_integrity_error(
    script: str, complaint: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write('R')\nsys.stdout.flush()\n{script}\n")
    stand_in.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    monkeypatch.setattr(replays, "WALL_S", 0.5)
    with pytest.raises(IntegrityError, match=complaint):
        replay(bundle)


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 9))", FORBIDDEN),
        ("import subprocess; subprocess.run(['true'])", FORBIDDEN),
        ("import os; os.fork()", FORBIDDEN),
        ("open('written', 'w')", FORBIDDEN),
        ("import os; os.unlink('kept')", FORBIDDEN),
        ("import numpy; numpy.ones(2**26)", 1),
        ("open('kept').read()", 0),
    ],
)
def test_a_child_can_do_nothing_but_answer(attempt: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    script = f"from tocsin.model.replay import _confine; _confine(2**28); {attempt}"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]

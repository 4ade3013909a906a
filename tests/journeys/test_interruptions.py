"""Work that cannot go on ends with a sentence, and leaves nothing half done."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]

WITHOUT_MATPLOTLIB = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
"""As on a machine where the extra `report` is not installed."""

LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
"""A child of a shell's background job is deaf to Ctrl-C; at a terminal nobody is."""


@pytest.mark.parametrize(
    ("limit", "got", "wanted"),
    [
        ("memory: 1MB", r"\d+ MB before [\w ]+", "at most 1 MB"),
        ("train_time: 1ms", r"\d+\.\d s before [\w ]+", "at most 0.001 s"),
    ],
)
def test_beyond_a_limit_nothing_is_published(
    limit: str, got: str, wanted: str, configure: Callable[..., Path], tocsin: Run
) -> None:
    learnt = json.loads(tocsin("train", "--promote", "--no-plots", "--json").stdout)
    configure(more=f"limits: {{{limit}}}\n")
    ended = tocsin("train", "--promote")
    assert ended.returncode == 1
    assert re.search(rf"✗ \$\.limits\.{limit.partition(':')[0]}\n  got {got}, wanted {wanted}\n", ended.stderr)
    assert "Hint: nothing was published; give less history, fewer features or a higher limit" in ended.stderr
    listed = json.loads(tocsin("models", "list", "--json").stdout)
    assert [version["digest"] for version in listed["versions"]] == [learnt["model"]]
    assert len(list(Path("runs").iterdir())) == 1


def test_without_the_extra_for_pictures_there_are_none_and_the_rest_is_done(
    site: Path, tocsin: Run, in_child: Run
) -> None:
    ended = in_child("train", "--promote", before=WITHOUT_MATPLOTLIB)
    assert (ended.returncode, "Verdict: passed" in ended.stdout) == (0, True)
    assert "no package 'matplotlib' in this environment; they need pip install 'tocsin[report]'" in ended.stderr
    assert re.search(r"Model registered\..*version=1", ended.stderr)
    assert json.loads(tocsin("models", "list", "--json").stdout)["channels"] == {"candidate": 1, "champion": 1}
    plain = in_child("train", "--no-plots", before=WITHOUT_MATPLOTLIB)
    assert (plain.returncode, "Verdict: passed" in plain.stdout) == (0, True)


def test_ctrl_c_ends_a_training_without_a_trace(
    site: Path, configure: Callable[..., Path], tocsin: Run, lines: list[str]
) -> None:
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    broken = lines[1].rpartition(",")[0]
    (site / "data" / "many.csv").write_text("\n".join([lines[0], broken, *lines[1:] * 100]), "utf-8")
    configure(("type: csv", "type: csv, rows: 100"))
    words = [sys.executable, "-c", LISTENING + "from tocsin.cli import main; main()", "train", "--no-plots"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr is not None
        assert "Rows quarantined." in training.stderr.readline(), "it has begun, and has most rows before it"
        training.send_signal(signal.SIGINT)
        printed, said = training.communicate(timeout=60)
    assert training.returncode == 130
    assert "Stopped; nothing half done was published." in said
    assert "Traceback" not in said
    assert printed == ""
    assert tocsin("models", "verify").returncode == 0
    assert len(json.loads(tocsin("models", "list", "--json").stdout)["versions"]) == 1
    assert len(list((site / "runs").iterdir())) == 1


@pytest.mark.usefixtures("folder")
def test_ctrl_c_is_how_one_stops_to_follow_a_source(tocsin: Run) -> None:
    rows = [f"{1_767_571_200 + 60 * minute},here,{1_000 + minute % 7}" for minute in range(600)]
    Path("rows.csv").write_text("\n".join(["timestamp,device_id,proc_count", *rows, ""]))
    config = (
        "version: 1\nname: live\nschema:\n  time: timestamp\n  entity: device_id\n  fields:\n"
        "    timestamp: {dtype: time}\n    device_id: {dtype: category}\n    proc_count: {dtype: float}\n"
        "features: {columns: [proc_count]}\ndetector: {type: robust_zscore}\nalerts: {budget: 1%}\n"
        "sinks: [{type: jsonl, path: alerts.jsonl}]\nsource: "
    )
    Path("tocsin.yaml").write_text(config + "{type: csv, path: rows.csv}\n")
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    Path("tocsin.yaml").write_text(config + "{type: host, interval: 100ms}\n")
    words = [sys.executable, "-c", LISTENING + "from tocsin.cli import main; main()", "score", "--output", "scores.csv"]
    with subprocess.Popen([*words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        for _ in range(600):
            if Path("alerts.jsonl").exists() and Path("alerts.jsonl").read_text():
                break
            time.sleep(0.1)
        following.send_signal(signal.SIGINT)
        printed, said = following.communicate(timeout=60)
    assert following.returncode == 0, said
    found = json.loads(printed)
    assert found["rows"] >= found["flagged"] >= found["alerts"] >= 1
    assert len(Path("scores.csv").read_text().splitlines()) == found["rows"] + 1


UNWRITABLE = {
    "registry": (
        'registry: {path: "data/rows.csv/registry"}\n',
        "root/000001.json",
        "a refused write (Not a directory)",
    ),
    "site key": (
        'privacy: {key_file: "data/rows.csv/keys/site.key"}\n',
        "data/rows.csv/keys",
        "no access to it (Not a directory)",
    ),
}


@pytest.mark.parametrize("place", UNWRITABLE)
def test_a_folder_that_cannot_be_written_is_named(
    place: str, site: Path, configure: Callable[..., Path], tocsin: Run
) -> None:
    more, where, got = UNWRITABLE[place]
    configure(more=more)
    ended = tocsin("train", "--no-plots")
    assert ended.returncode == 1
    assert f"✗ {where}" in ended.stderr
    assert f"\n  got {got}, wanted a f" in ended.stderr
    assert not (site / "registry").exists()


@pytest.mark.parametrize(
    "words",
    [
        "score data/rows.csv --output data/rows.csv/scores.csv",
        "data generate data/rows.csv/made.csv --days 0.1",
        "init -c data/rows.csv/tocsin.yaml",
    ],
)
def test_an_output_that_cannot_be_written_is_named(words: str, site: Path, tocsin: Run) -> None:
    assert tocsin("train", "--no-plots").returncode == 0
    ended = tocsin(*words.split())
    assert ended.returncode == 1
    assert re.search(r"✗ \S*data\S*\n  got (Not|Is) a directory, wanted a file or a folder", ended.stderr)


def test_a_sink_that_cannot_be_written_stops_scoring(site: Path, configure: Callable[..., Path], tocsin: Run) -> None:
    configure(("path: alerts.jsonl", 'path: "data/rows.csv/alerts.jsonl"'))
    assert tocsin("train", "--no-plots").returncode == 0
    ended = tocsin("score", "data/rows.csv")
    assert ended.returncode == 1
    assert "✗ sink jsonl data/rows.csv/alerts.jsonl" in ended.stderr
    assert "wanted a file that can be written" in ended.stderr

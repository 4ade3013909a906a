"""A mistake in a config is met with its place, what was found, what was wanted and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]

ROLLING = "{columns: [bytes], derive: [{type: rolling, columns: [bytes], windows: [10m], statistics: [mean]}]}"
FOREST = "{type: isolation_forest, tress: 7}"

MISTAKES = {
    "an unknown key": (
        [("detector:", "detektor:")],
        ("tocsin.yaml:14  $.detektor", 'unknown key "detektor"', "one of: version, ", 'did you mean "detector"?'),
    ),
    "an unknown key of a field": (
        [("unit: packets", "units: packets")],
        ("tocsin.yaml:10  $.schema.fields.packets.units", 'unknown key "units"', "one of: ", 'did you mean "unit"?'),
    ),
    "an unknown part": (
        [("robust_zscore", "robust_zscor")],
        ("tocsin.yaml:14  $.detector.type", '"robust_zscor"', "one of: ", 'did you mean "robust_zscore"?'),
    ),
    "an unknown parameter of a part": (
        [("{type: robust_zscore}", FOREST)],
        ("tocsin.yaml:14  $.detector.tress", 'unknown key "tress"', "one of: trees, ", 'did you mean "trees"?'),
    ),
    "a parameter out of range": (
        [("{type: robust_zscore}", "{type: isolation_forest, trees: 0}")],
        ("tocsin.yaml:14  $.detector", "trees is 0", "1 to ", ""),
    ),
    "an unknown source": (
        [("type: csv", "type: cvs")],
        ("tocsin.yaml:11  $.source.type", '"cvs"', "one of: csv, ", 'did you mean "csv"?'),
    ),
    "an unknown sink": (
        [("type: jsonl", "type: json")],
        ("tocsin.yaml:16  $.sinks[0].type", '"json"', "one of: apprise, console, eve_json, ", 'did you mean "jsonl"?'),
    ),
    "a preset that does not exist": (
        [("name: small", "name: small\npreset: flow")],
        ("tocsin.yaml:3  $.preset", '"flow"', "one of: flows, ", 'did you mean "flows"?'),
    ),
    "a feature of a field that does not exist": (
        [("columns: [bytes, packets]", "columns: [bytes, packet]")],
        ("tocsin.yaml:13  $.features.columns[1]", '"packet"', "a numeric field: ", 'did you mean "packets"?'),
    ),
    "a feature of text": (
        [("columns: [bytes, packets]", "columns: [host]")],
        ("tocsin.yaml:13  $.features.columns[0]", '"host", a', "a numeric field: ", "derive a category"),
    ),
    "windows without a clock": (
        [("  time: time\n", ""), ("{columns: [bytes, packets]}", ROLLING)],
        ("tocsin.yaml:12  $.features (Rolling", "a schema without a clock", "schema.time", "set `time` to a field"),
    ),
    "a budget by the day without a clock": (
        [("  time: time\n", ""), ("budget: 1%", "budget: 3/day")],
        ("tocsin.yaml:14  $.alerts.budget", '"3/day" without a clock', "a share of the rows such as 1%", ""),
    ),
    "a budget that is no rate": (
        [("budget: 1%", "budget: some")],
        ("tocsin.yaml:15  $.alerts.budget", "'some'", "a rate such as 3/day", ""),
    ),
    "an unknown target": (
        [("alerts:", "gate: {roc_auk: '>= 0.9'}\nalerts:")],
        ("tocsin.yaml:15  $.gate.roc_auk", '"roc_auk"', "one of: ", 'did you mean "roc_auc"?'),
    ),
    "a variable that is not set": (
        [("data/*.csv", "${NO_SUCH_FOLDER}/*.csv")],
        ("tocsin.yaml:11  $.source.path", "${NO_SUCH_FOLDER}, which is not set", "an environment", "export NO_SUCH"),
    ),
    "a config for a newer Tocsin": ([("version: 1", "version: 2")], ("tocsin.yaml:1  $.version", "2", "1", "")),
    "no source": (
        [('source: {type: csv, path: "data/*.csv"}\n', "")],
        ("$.source", "nothing", "a source", "for example source: {type: csv"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_met_with_help(mistake: str, configure: Configure, tocsin: Run, site: Path) -> None:
    changes, (place, got, wanted, hint) = MISTAKES[mistake]
    configure(*changes)
    done = tocsin("train")
    assert done.returncode == 2
    assert f"✗ {place}" in done.stderr
    assert f"\n  got {got}" in done.stderr
    assert f", wanted {wanted}" in done.stderr or not wanted
    assert f"\n  Hint: {hint}" in done.stderr or not hint
    assert "Traceback" not in done.stderr
    assert not (site / "registry").exists()


def test_every_mistake_is_told_at_once(configure: Configure, tocsin: Run) -> None:
    changes = [("robust_zscore", "robust_zscor"), ("[bytes, packets]", "[bytez, packetz]"), ("jsonl,", "jsn,")]
    configure(*changes, more="gate: {recal: '>= 0.9'}\n")
    checked = tocsin("check", "--json")
    assert checked.returncode == 2
    document = json.loads(checked.stdout)
    assert document["status"] == "invalid"
    assert [problem["where"].partition("  ")[2] for problem in document["problems"]] == [
        "$.features.columns[0]",
        "$.features.columns[1]",
        "$.detector.type",
        "$.gate.recal",
        "$.sinks[0].type",
    ]
    assert "The config is invalid: 5 problems." in tocsin("check").stdout


@pytest.mark.parametrize(
    ("text", "place", "got"),
    [
        ("a: [1, 2", "tocsin.yaml:1", "expected ',' or ']'"),
        ("version: 1\n\tname: tab", "tocsin.yaml:2", "found character '\\t'"),
        ("name: a\0b", "tocsin.yaml", "unacceptable character #x0000"),
        ("just words", "tocsin.yaml", "a str, wanted a mapping"),
        ("", "tocsin.yaml  $.version", "nothing, wanted a value"),
        ("name: !!python/object:os.system x", "tocsin.yaml:1", "could not determine a constructor"),
    ],
)
def test_what_is_no_config_is_told_so(text: str, place: str, got: str, site: Path, tocsin: Run) -> None:
    (site / "tocsin.yaml").write_text(text, "utf-8")
    done = tocsin("train")
    assert done.returncode == 2
    assert f"✗ {place}" in done.stderr
    assert f"got {got}" in done.stderr


def test_a_config_that_is_not_there_is_told_how_to_begin(site: Path, tocsin: Run) -> None:
    done = tocsin("train", "-c", "nowhere.yaml")
    assert done.returncode == 2
    assert "✗ nowhere.yaml" in done.stderr
    assert "Hint: tocsin init --preset flows writes a first config" in done.stderr
    folder = tocsin("train", "-c", site / "data")
    assert (folder.returncode, "Is a directory" in folder.stderr) == (2, True)


def test_a_source_that_cannot_be_read_makes_a_config_partial(configure: Configure, tocsin: Run) -> None:
    configure(("data/*.csv", "dato/*.csv"))
    assert tocsin("check").returncode == 0
    connected = tocsin("check", "--connect")
    assert connected.returncode == 1
    assert "✗ tocsin.yaml:11  $.source (csv)\n  got no file matching 'dato/*.csv'" in connected.stdout
    assert "The config is partial" in connected.stdout

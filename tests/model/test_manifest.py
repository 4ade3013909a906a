"""A manifest says what is described, within its bounds, or is refused with the place of the first oddity."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import orjson
import pytest

from tocsin.config import parse
from tocsin.errors import IntegrityError
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.bundle import Bundle
from tocsin.model.design import Design
from tocsin.model.manifest import Notes, checked
from tocsin.records import SECOND, Batch

CONFIG = """\
version: 1
name: hosts
schema:
  time: time
  entity: host
  fields: {time: {dtype: time}, host: {dtype: category}, load: {dtype: float, unit: ratio}}
features: {columns: [load], derive: [{type: rolling, columns: [load], windows: [10m], statistics: [mean]}]}
detector: {type: robust_zscore}
alerts: {budget: 1%}
"""
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    rng = np.random.default_rng(0)
    rows = Batch(
        {
            "time": (1_000_000 + 60 * np.arange(600)) * SECOND,
            "host": np.array(["one", "two"] * 300, dtype=object),
            "load": rng.normal(0.5, 0.05, 600),
        }
    )
    model = AnomalyModel(Design.of(parse(CONFIG)), {DIGEST}).fit(rows, rows)
    return model.bundle({})


def put(bundle: Bundle, path: tuple[str | int, ...], value: Any) -> Bundle:
    content = orjson.loads(orjson.dumps(bundle.content))
    holder: Any = reduce(lambda inside, step: inside[step], path[:-1], content)
    holder[path[-1]] = value
    return Bundle(content, bundle.arrays, bundle.notes)


def without(bundle: Bundle, name: str) -> Bundle:
    return Bundle({key: item for key, item in bundle.content.items() if key != name}, bundle.arrays, bundle.notes)


def test_what_a_model_writes_is_what_is_described_and_comes_back(bundle: Bundle) -> None:
    again = AnomalyModel.from_bundle(bundle).bundle({})
    assert orjson.dumps(again.content, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        bundle.content, option=orjson.OPT_SORT_KEYS
    )
    assert again.digest == bundle.digest


def test_a_model_of_another_release_keeps_its_identity(bundle: Bundle) -> None:
    older = put(bundle, ("code",), "0.0.1")
    assert AnomalyModel.from_bundle(older).digest == older.digest != bundle.digest


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("more",), 1),
        (("code",), "1.0; rm"),
        (("code",), 1),
        (("entities",), 0),
        (("entities",), 2**40),
        (("entities",), "many"),
        (("entities",), True),
        (("share",), 0.0),
        (("share",), 1.5),
        (("share",), None),
        (("inputs",), [DIGEST[:-1]]),
        (("inputs",), [DIGEST + "\n"]),
        (("inputs",), DIGEST),
        (("budget", "per_row"), 0.0),
        (("budget", "per_row"), 1.0),
        (("budget", "per_day"), 3.0),
        (("budget", "per_row"), None),
        (("budget", "cooldown_s"), -1.0),
        (("budget", "cooldown_s"), 1e300),
        (("budget", "per_minute"), 1.0),
        (("schema", "fields", "load", "unit"), 7),
        (("schema", "fields", "load", "unit"), "x" * 5_000),
        (("schema", "fields", "load", "dtype"), "object"),
        (("schema", "fields", "n" * 5_000), {"dtype": "float"}),
        (("schema", "time"), "load"),
        (("schema", "shell"), "true"),
        (("features", "wait"), -1.0),
        (("preparation", "scale"), "other"),
        (("program", "outputs"), []),
        (("program", "outputs"), ["load", "load"]),
        (("program", "outputs"), ["nothing"]),
        (("program", "outputs"), ["load", "\x00"]),
        (("program", "operations"), {}),
        (("program", "operations", 0, "kind"), "../panes"),
        (("program", "operations", 0, "kind"), "k" * 65),
        (("program", "operations", 0, "inputs"), ["n" * 5_000]),
        (("program", "operations", 0, "more"), 1),
        (("program", "operations", 0, "constants"), []),
        (("program", "operations", 0, "constants", "panes"), 10**9),
        (("program", "operations", 0, "constants", "statistics"), []),
        (("program", "time"), "load"),
        (("program", "time"), None),
        (("program", "entity"), "elsewhere"),
        (("program", "key"), ["load"]),
        (("detector", "type"), "no_such"),
        (("detector", "type"), 7),
        (("detector", "min_scale"), "nan"),
        (("threshold_state", "rows"), 10**30),
        (("threshold_state", "promise", "served"), -1.0),
        (("threshold_state", "more"), 1),
    ],
)
def test_a_hostile_value_is_refused_with_its_place(path: tuple[str | int, ...], value: Any, bundle: Bundle) -> None:
    with pytest.raises(IntegrityError) as refused:
        AnomalyModel.from_bundle(put(bundle, path, value))
    problem = refused.value.problem
    assert "cannot be rebuilt" not in problem.got, "only the last resort has caught it"
    assert len(str(problem)) < 3_000


@pytest.mark.parametrize("name", ["kind", "code", "schema", "program", "detector", "budget", "inputs", "share"])
def test_a_missing_key_is_named(name: str, bundle: Bundle) -> None:
    with pytest.raises(IntegrityError, match=rf"\$\.content\.{name}\n  got nothing"):
        AnomalyModel.from_bundle(without(bundle, name))


def test_an_array_that_nobody_knows_is_refused(bundle: Bundle) -> None:
    for name in ("more", "detector.more", "golden.more"):
        with pytest.raises(IntegrityError):
            AnomalyModel.from_bundle(Bundle(bundle.content, {**bundle.arrays, name: np.zeros(1)}, {}))


@pytest.mark.parametrize(
    "notes",
    [
        {"more": 1},
        {"train_seconds": -1.0},
        {"peak_memory_bytes": 1.5},
        {"generated": "yes"},
        {"inputs": {"no digest": "a.csv"}},
        {"seed": -1},
        {"libraries": {"numpy": "1.0\nnew line"}},
        {"parent": "latest"},
        {"data": {"rows": 1, "entities": 1, "from": "<b>", "to": None}},
        {"data": {"rows": 1}},
        {"report": [1]},
    ],
)
def test_hostile_notes_are_refused(notes: dict[str, Any], bundle: Bundle) -> None:
    with pytest.raises(IntegrityError, match=r"\$\.notes"):
        AnomalyModel.from_bundle(Bundle(bundle.content, bundle.arrays, notes))


def test_notes_may_say_nothing_or_all() -> None:
    whole = {
        "report": {"rows": 1},
        "verdict": {"passed": True},
        "train_seconds": 1.5,
        "peak_memory_bytes": 10**9,
        "generated": False,
        "inputs": {DIGEST: "a.csv"},
        "seed": 7,
        "libraries": {"numpy": "2.1.0", "scikit-learn": "1.5.2+local"},
        "parent": DIGEST,
        "data": {"rows": 5, "entities": 2, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00.5Z"},
    }
    for notes in ({}, whole):
        checked(Notes, notes, "$.notes")

"""Mnemosyne, the trainer of Argus_V: YAML with `firebase`, `preprocessing` and `training`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tocsin.cli.imported.forest import BUDGET, SEED, searched
from tocsin.cli.imported.telemetry import schema_of
from tocsin.cli.imported.values import budget, choice, files_in, held_out, number, path, texts, whole
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, kept, meaningless
from tocsin.config.search import MOST_FOLDS
from tocsin.detectors.base_trees import MAX_TREES
from tocsin.presets import read_preset

TREES_STEP = 25

_NO_CLOUD = meaningless("Tocsin reads files of this machine: copy the bucket's folder beside the config")


def _given(_words: Words) -> dict[str, Given]:
    return {
        "name": Given("mnemosyne", "names the model and its folders"),
        "preset": Given("flows", "the flows that Argus_V's trainer and its collector write, in both layouts"),
        "source.type": Given("csv", "Mnemosyne reads CSV files"),
        "source.path": Given("flows/training/*.csv", "put your paths here"),
        "detector.type": Given("isolation_forest", "what Mnemosyne trains; without this, the preset's own"),
    }


def _fields(value: Any) -> tuple[list[str], list[str]]:
    """Fields of the preset that a list of columns means, and the columns that it has no field for."""
    schema = schema_of("flows")
    known = {other: field for field, item in schema.fields.items() for other in (field, *item.aliases)}
    named = texts(value)
    found = [known[column] for column in named if known.get(column) in schema.numeric]
    return found, [column for column in named if known.get(column) not in schema.numeric]


def _logarithms(value: Any, _words: Words) -> Fate:
    wanted, strange = _fields(value)
    if strange:
        raise ValueError(f"wanted numeric columns of flows, not {', '.join(strange)}")
    derived = read_preset("flows")["features"]["derive"]
    (own,) = (feature for feature in derived if feature["type"] == "log_scale")
    more = [name for name in wanted if name not in own["columns"]]
    if not more:
        return Fate("kept", "features.derive of preset flows, which takes the logarithm of all of them")
    own["columns"] += more
    return Fate("kept", "the features of preset flows with these logarithms", {"features.derive": derived})


def _columns(value: Any, _words: Words) -> Fate:
    wanted, strange = _fields(value)
    if strange:
        raise ValueError(f"wanted numeric columns of flows, not {', '.join(strange)}")
    return Fate("kept", "beside the features of preset flows", {"features.columns": wanted})


def _range(value: Any, low: float, high: float) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError("wanted two numbers, the lower one first")
    first, last = (number(end, low, high) for end in value)
    if first > last:
        raise ValueError("wanted the lower end first")
    return first, last


def _share(value: Any, _words: Words) -> Fate:
    low, _ = _range(value, 0.001, 0.5)
    return Fate("kept", f"the lower end; {BUDGET}", {"alerts.budget": budget(low)})


def _trees(value: Any, _words: Words) -> Fate:
    low, high = _range(value, 1, MAX_TREES)
    few, many = whole(1, MAX_TREES)(low), whole(1, MAX_TREES)(high)
    settings = {"detector.trees": many}
    if many - few >= TREES_STEP:
        settings |= searched({"detector.trees": {"low": few, "high": many, "step": TREES_STEP}}).settings
    return Fate("kept", "the upper end, since more trees are steadier; tocsin tune tries all", settings)


def _folds(value: Any, words: Words) -> Fate:
    folds = whole(1, MOST_FOLDS)(value)
    with suppress(ValueError):
        if "tune.search" in _trees(words.get("training.n_estimators_range"), words).settings:
            return Fate("kept", "", {"tune.folds": folds})
    return Fate("no_meaning", "nothing is searched")


TABLE: dict[str, Rule] = {
    "firebase.project_id": _NO_CLOUD,
    "firebase.storage_bucket": _NO_CLOUD,
    "firebase.service_account_path": _NO_CLOUD,
    "firebase.training_data_path": kept("source.path", lambda value: files_in(path(value)), "the folder's CSV files"),
    "firebase.model_output_path": kept("registry.path", path, "versions are kept there"),
    "firebase.cleanup_threshold_hours": meaningless("telemetry is never deleted; registry.keep bounds the versions"),
    "firebase.request_timeout_seconds": meaningless("no server is asked"),
    "preprocessing.log_transform_features": _logarithms,
    "preprocessing.feature_columns": _columns,
    "preprocessing.feature_normalization_method": kept(
        "preparation.scale", choice(standard="standard", robust="robust")
    ),
    "preprocessing.contamination_auto_tune": meaningless("the alert level is always set on calibration rows"),
    "preprocessing.contamination_range": _share,
    "preprocessing.min_samples_for_training": meaningless(
        "at least 100 rows are always asked for, and the report says what the budget would need"
    ),
    "preprocessing.max_model_size_mb": meaningless("a model's size is bounded by its trees; models list shows it"),
    "training.random_state": SEED,
    "training.n_estimators_range": _trees,
    "training.max_samples_range": meaningless(
        "samples are a number of rows here, no share of them: add detector.samples to tune.search"
    ),
    "training.bootstrap_options": meaningless("sub-samples are drawn without replacement"),
    "training.validation_split": held_out,
    "training.cross_validation_folds": _folds,
}
SYSTEM = System("Mnemosyne", TABLE, _given)

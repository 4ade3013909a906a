"""Mnemosyne, the trainer of Argus_V: YAML with `firebase`, `preprocessing` and `training`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from tocsin.cli.imported.forest import BUDGET, SEED, searched
from tocsin.cli.imported.telemetry import schema_of
from tocsin.cli.imported.values import bucket_name, budget, choice, files_in, held_out, number, path, texts, whole
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, kept, meaningless
from tocsin.config.search import MOST_FOLDS
from tocsin.detectors.base_trees import MAX_TREES
from tocsin.presets import read_preset

TREES_STEP = 25

FLOWS, MODELS = "flows/training", "models"
"""Its folders, in the bucket or on this machine, where the config names none."""


def _given(words: Words) -> dict[str, Given]:
    bucket = _bucket_of(words)
    files, versions = _in_bucket(files_in(FLOWS), words), Given(_in_bucket(MODELS, words), "versions are kept there")
    return {
        "name": Given("mnemosyne", "names the model and its folders"),
        "preset": Given("flows", "the flows that Argus_V's trainer and its collector write, in both layouts"),
        "source.type": Given("object_store" if bucket else "csv", "Mnemosyne reads CSV files"),
        "source.url" if bucket else "source.path": Given(files, "put your paths here"),
        **({"registry.path": versions} if bucket else {}),
        "detector.type": Given("isolation_forest", "what Mnemosyne trains; without this, the preset's own"),
    }


def _fields(value: Any) -> tuple[list[str], list[str]]:
    """Fields of the preset that a list of columns means, and the columns that it has no field for."""
    schema = schema_of("flows")
    known = {other: field for field, item in schema.fields.items() for other in (field, *item.aliases)}
    named = texts(value)
    found = [known[column] for column in named if known.get(column) in schema.numeric]
    return found, [column for column in named if known.get(column) not in schema.numeric]


def _bucket_of(words: Words) -> str | None:
    with suppress(ValueError):
        return bucket_name(words.get("firebase.storage_bucket"))
    return None


def _in_bucket(folder: str, words: Words) -> str:
    """A folder of the bucket that the config names, or of this machine where it names none."""
    bucket = _bucket_of(words)
    if bucket and ".." in folder.split("/"):
        raise ValueError("wanted a folder of the bucket, without ..")
    return f"gs://{bucket}/{folder.strip('/')}" if bucket else folder


def _telemetry(value: Any, words: Words) -> Fate:
    files = _in_bucket(files_in(path(value)), words)
    place = "source.url" if _bucket_of(words) else "source.path"
    return Fate("kept", "the folder's CSV files", {place: files})


def _models(value: Any, words: Words) -> Fate:
    return Fate("kept", "versions are kept there", {"registry.path": _in_bucket(path(value), words)})


def _bucket(value: Any, _words: Words) -> Fate:
    return Fate("kept", f"gs://{bucket_name(value)}, in source.url and in registry.path")


def _cleanup(value: Any, _words: Words) -> Fate:
    hours = whole(1, 100_000)(value)
    return Fate("no_meaning", f"telemetry is deleted when you say so: tocsin cleanup training --max-age-hours {hours}")


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
    "firebase.project_id": meaningless("a bucket is found by its name alone"),
    "firebase.storage_bucket": _bucket,
    "firebase.service_account_path": meaningless(
        "no config holds credentials: name the file in the environment, as GOOGLE_APPLICATION_CREDENTIALS"
    ),
    "firebase.training_data_path": _telemetry,
    "firebase.model_output_path": _models,
    "firebase.cleanup_threshold_hours": _cleanup,
    "firebase.request_timeout_seconds": meaningless("a bucket that does not answer is asked again, a few times"),
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
    "preprocessing.max_model_size_mb": kept("registry.max_size", lambda value: f"{whole(1, 10_000)(value)}MB"),
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

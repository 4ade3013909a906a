"""AnalyzerMCPServer: `model_config.yaml`, with `model.hyperparameters` or with the same words right under `model`."""

from __future__ import annotations

from typing import Any

from tocsin.cli.imported.forest import FOREST, SEED, detector
from tocsin.cli.imported.telemetry import knows
from tocsin.cli.imported.values import at_least, level, number, path, split, texts, whole
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, kept, later, meaningless, under

_CALENDAR = {
    "hour_of_day": "hour",
    "day_of_week": "day_of_week",
    "minute_of_hour": "minute",
    "time_since_midnight": "minute_of_day",
    "is_weekend": "is_weekend",
    "is_business_hours": "is_business_hours",
}
_KINDS = ("numeric", "categorical")
_DRIFT = later("Tocsin does not watch for drift yet")
_VERSIONS = meaningless("a version is a number, and its bundle is stored by its digest")
_NO_LOADING = meaningless("a bundle holds arrays and no code: any machine loads it, or refuses it with a reason")
_LOGS = meaningless("log lines go to standard error, as text or as JSON (logging.format)")


def _fields(words: Words) -> dict[str, list[str]]:
    lists = {kind: words.get(f"features.{kind}") for kind in _KINDS}
    return {kind: [str(name) for name in found] if isinstance(found, list) else [] for kind, found in lists.items()}


def _given(words: Words) -> dict[str, Given]:
    named = _fields(words)
    if knows("wifi", named["numeric"], named["categorical"]):
        telemetry = {"preset": Given("wifi", "links of access points and the lines that they log")}
    else:
        kinds = {"timestamp": "time", "device_id": "address"}
        kinds |= dict.fromkeys(named["numeric"], "float") | dict.fromkeys(named["categorical"], "category")
        fields = {name: {"dtype": kind, "optional": kind != "time"} for name, kind in kinds.items()}
        fields["device_id"]["identity"] = True
        telemetry = {
            "schema.time": Given("timestamp", "the clock of the rows"),
            "schema.entity": Given("device_id", "keeps the devices apart"),
            "schema.fields": Given(
                {name: {key: item for key, item in field.items() if item} for name, field in fields.items()},
                "features.numeric and features.categorical; units and ranges may be added",
            ),
        }
    return telemetry | {
        "name": Given("analyzer", "names the model and its folders"),
        "source.type": Given("csv", "rows of the database, exported"),
        "source.path": Given("data/*.csv", "put your paths here"),
        "history.last": Given("30d", "the days that its trainer takes unless told otherwise"),
        "detector.type": Given("isolation_forest", "what AnalyzerMCPServer trains"),
    }


def _derived(_value: Any, words: Words) -> Fate:
    temporal = texts(words.get("features.temporal") or [])
    if strange := [part for part in temporal if part not in _CALENDAR]:
        raise ValueError(f"wanted some of {', '.join(_CALENDAR)}, not {', '.join(strange)}")
    derive: list[dict[str, Any]] = []
    if columns := _fields(words)["categorical"]:
        derive.append({"type": "category", "columns": texts(columns)})
    if temporal:
        derive.append({"type": "calendar", "parts": [_CALENDAR[part] for part in temporal]})
    return Fate("kept", "", {"features.derive": derive})


def _shares(_value: Any, words: Words) -> Fate:
    test = number(words.get("training.test_size", 0.2), 0.01, 0.9)
    calibration = number(words.get("training.validation_size", 0.1), 0.01, 0.9)
    return Fate("kept", "the validation part sets the alert level", split(test, calibration))


TABLE: dict[str, Rule] = {
    "version": meaningless("a config of Tocsin has a version of its own"),
    "model.type": detector,
    **under("model.hyperparameters", FOREST),
    **under("model", FOREST),
    "features.numeric": kept("features.columns", texts),
    "features.categorical": _derived,
    "features.temporal": _derived,
    "training.test_size": _shares,
    "training.validation_size": _shares,
    "training.random_state": SEED,
    "training.n_jobs": FOREST["n_jobs"],
    "storage.directory": kept("registry.path", path),
    "storage.keep_last_n_versions": kept("registry.keep", whole(1, 10_000)),
    "storage.version_format": _VERSIONS,
    "storage.compression": _VERSIONS,
    "storage.backup_enabled": meaningless("versions are never overwritten; back up the registry's folder"),
    "storage.retention_days": kept("registry.max_age", lambda value: f"{whole(1, 3_650)(value)}d"),
    "evaluation.metrics": meaningless("the report holds every figure with its interval"),
    "evaluation.thresholds.accuracy": at_least("accuracy"),
    "evaluation.thresholds.precision": at_least("precision"),
    "evaluation.thresholds.recall": at_least("recall"),
    "evaluation.thresholds.f1_score": at_least("f1"),
    "evaluation.thresholds.roc_auc": at_least("roc_auc"),
    "monitoring.enable_drift_detection": _DRIFT,
    "monitoring.drift_threshold": _DRIFT,
    "logging.level": kept("logging.level", level),
    "logging.format": _LOGS,
    "logging.file": _LOGS,
    "compatibility": _NO_LOADING,
}
SYSTEM = System("AnalyzerMCPServer", TABLE, _given)

"""Helios: options of its training and evaluation scripts, and the environment of its detection service."""

from __future__ import annotations

from typing import Any

from tocsin.cli.imported.forest import FOREST, searched
from tocsin.cli.imported.values import exported, level, number, path
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, kept, later, meaningless

_MADE_UP = "Helios learns from telemetry that it makes up; put your own here instead"
_WINDOWS = later("rows come summed up per service and interval; Tocsin does not make them of events yet")
_SERVER = later("Tocsin does not serve over HTTP yet")
_STREAM = later("Tocsin reads files; streams come later")
_STORE = meaningless("alerts go to sinks; there is no database")
_FOREST = frozenset({"n_estimators", "max_samples", "random_state", "grid_search"})
_MODEL = meaningless("models are versions in the registry: tocsin models list")


def _given(words: Words) -> dict[str, Given]:
    made_up = not {"days", "interval", "anomaly_rate"}.isdisjoint(words)
    source = (
        {"source.type": Given("synthetic", _MADE_UP), "source.kind": Given("services", "golden signals of services")}
        if made_up
        else {
            "source.type": Given("csv", "a row per service and interval"),
            "source.path": Given("data/*.csv", "put your paths here"),
        }
    )
    labels = {"labels.column": Given("label", "of the generator")} if made_up else {}
    forest = {} if _FOREST.isdisjoint(words) else {"detector.type": Given("isolation_forest", "what Helios trains")}
    return {
        "name": Given("helios", "names the model and its folders"),
        "preset": Given("services", "golden signals of services, with the features and the targets of Helios"),
        **source,
        **labels,
        **forest,
    }


def _days(value: Any) -> float:
    return number(value, 0.01, 366)


def _interval(value: Any) -> str:
    return f"{number(value, 0.01, 1_440):g}m"


def _test(value: Any, _words: Words) -> Fate:
    return Fate("kept", "", {"test.type": "csv", "test.path": path(value), "test_labels.column": "is_anomaly"})


def _grid(value: Any, _words: Words) -> Fate:
    """Its contamination is the budget, and no search's to move; every cut of a tree draws from all columns."""
    if str(value).lower() not in ("true", "1", "yes"):
        return Fate("no_meaning", "nothing is searched unless the config says what")
    return searched({"detector.trees": [50, 100, 150], "detector.samples": [128, 256, 512]})


TABLE: dict[str, Rule] = {
    "days": kept("source.days", _days),
    "interval": kept("source.interval", _interval, "minutes"),
    "anomaly_rate": kept("source.anomaly_rate", lambda value: number(value, 0, 0.5)),
    "grid_search": _grid,
    "output_dir": exported("helios"),
    "save_data": meaningless("tocsin train --export helios always writes training_data.csv"),
    "model": _MODEL,
    "scaler": meaningless("scaling is a part of the model"),
    "test_days": meaningless("the last part of history is kept for the test: see split"),
    "test_data": _test,
    "save_predictions": meaningless("tocsin train --export helios writes predictions.csv, and so does tocsin evaluate"),
    **FOREST,
    "anomaly_threshold": meaningless("a score has no fixed line: the alert level is set from alerts.budget"),
    "model_path": _MODEL,
    "scaler_path": _MODEL,
    "window_size_minutes": _WINDOWS,
    "min_events_per_window": _WINDOWS,
    "log_level": kept("logging.level", level),
    **dict.fromkeys(("api_host", "api_port", "metrics_port"), _SERVER),
    **dict.fromkeys(("kafka_brokers", "kafka_topic_events", "kafka_topic_alerts", "kafka_group_id"), _STREAM),
    **dict.fromkeys(("db_host", "db_port", "db_name", "db_user", "db_password", "db_sslmode"), _STORE),
}
SYSTEM = System("Helios", TABLE, _given, lambda word: word.lstrip("-").replace("-", "_").lower())

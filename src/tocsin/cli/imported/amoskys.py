"""AMOSKYS: the CONFIG mapping of its machine-learning pipeline, as JSON or YAML."""

from __future__ import annotations

from typing import Any

from tocsin.cli.imported.forest import SEED
from tocsin.cli.imported.values import choice, exported, held_out, path
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, meaningless

_WINDOWS = meaningless("AMOSKYS never used it; windows are named feature by feature in features.derive")
_LINES = meaningless("a row is judged by what is usual for its device, not by a fixed line")
_EXPORT = meaningless("tocsin train --export amoskys writes both CSV and Parquet files")
_MOCK = meaningless("telemetry is made up on demand alone: tocsin data generate, or source: {type: synthetic}")


def _given(_words: Words) -> dict[str, Given]:
    return {
        "name": Given("amoskys", "names the model and its folders"),
        "preset": Given("hosts/amoskys", "hosts and network devices under the names and with the features of AMOSKYS"),
        "source.type": Given("csv", "no write-ahead log was named"),
        "source.path": Given("data/*.csv", "put your paths here"),
        "detector.type": Given("isolation_forest", "the detector of AMOSKYS that needs no labels"),
    }


def _log(value: Any, _words: Words) -> Fate:
    said = "device telemetry, each envelope once; for the flows in the same log take preset flows/amoskys"
    return Fate("kept", said, {"source.type": "sqlite_wal", "source.path": path(value), "source.message": "device"})


def _scale(value: Any, _words: Words) -> Fate:
    if value == "minmax":
        return Fate("not_yet", "columns are scaled by deviations or by quartiles; preparation.scale stays auto")
    return Fate("kept", "", {"preparation.scale": choice(robust="robust", standard="standard")(value)})


TABLE: dict[str, Rule] = {
    "wal_db_path": _log,
    "output_dir": exported("amoskys"),
    "window_size_sec": _WINDOWS,
    "step_size_sec": _WINDOWS,
    "entropy_bins": _WINDOWS,
    "quantiles": _WINDOWS,
    "cpu_threshold": _LINES,
    "memory_threshold": _LINES,
    "connections_threshold": _LINES,
    "disk_io_threshold": _LINES,
    "scaler_type": _scale,
    "log_transform_features": meaningless("AMOSKYS has no such columns; log_scale in features.derive does it"),
    "validation_split": held_out,
    "random_seed": SEED,
    "stratify_by": meaningless("history is divided by time; split: {by: entity} keeps each device in one part"),
    "save_csv": _EXPORT,
    "save_parquet": _EXPORT,
    "compression": meaningless("Parquet files are packed with zstd"),
    "mock_samples": _MOCK,
    "mock_devices": _MOCK,
    "mock_timespan_hours": _MOCK,
}
SYSTEM = System("AMOSKYS", TABLE, _given)

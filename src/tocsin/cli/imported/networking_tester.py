"""Networking Tester: the JSON config of its MLOps pipeline, flat or with mappings inside each other."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from tocsin.cli.imported.forest import FOREST, detector
from tocsin.cli.imported.telemetry import schema_of
from tocsin.cli.imported.values import at_least, name, number, path, text, texts
from tocsin.cli.imported.words import Fate, Given, Rule, System, Words, kept, later, meaningless, under

_RUN = meaningless("every training leaves a folder in runs/ and a version in the registry")
_OTHER = later("Tocsin has no such detector yet; an isolation forest stands in for it")
_FIGURES = {
    "accuracy": "accuracy",
    "precision_anomaly": "precision",
    "recall_anomaly": "recall",
    "f1_score_anomaly": "f1",
    "f1_score": "macro_f1",  # as its evaluation writes it
    "f1_score_macro": "macro_f1",
    "f1_score_weighted": "weighted_f1",
}
_BAR = 0.75
"""Its own default."""


def _given(words: Words) -> dict[str, Given]:
    own = {} if _own_columns(words) else {"preset": Given("frames", "feature vectors of captured frames")}
    return own | {
        "name": Given("networking-tester", "names the model and its folders"),
        "source.type": Given("csv", "Networking Tester reads CSV files"),
        "source.path": Given("data/*.csv", "put your paths here"),
        "detector.type": Given("isolation_forest", "the detector of Networking Tester that needs no labels"),
        "alerts.budget": Given("5%", "the share of rows that may ring"),
    }


def _own_columns(words: Words) -> list[str]:
    """The columns that a schema of their own must hold, since the preset has no field for all of them."""
    try:
        columns = texts(words.get("feature_columns"))
    except ValueError:
        return []
    return [] if set(columns) <= schema_of("frames").fields.keys() else columns


def _columns(value: Any, words: Words) -> Fate:
    columns = texts(value)
    if _own_columns(words):
        fields = {column: {"dtype": "float"} for column in columns}
        return Fate("kept", "numbers without units and without a clock", {"schema.fields": fields})
    numbers = [column for column in columns if column in schema_of("frames").numeric]
    rest = [column for column in columns if column not in numbers]
    said = f"without {', '.join(rest)}: the clock, or addresses, which tell who and not what" if rest else ""
    if not numbers:
        raise ValueError("wanted columns that hold numbers")
    return Fate("kept", said, {"features.columns": numbers, "features.derive": []})


def _rows(place: str) -> Rule:
    def rule(value: Any, _words: Words) -> Fate:
        file = path(value)
        kind = {".parquet": "parquet", ".json": "jsonl", ".jsonl": "jsonl"}.get(PurePosixPath(file).suffix, "csv")
        return Fate("kept", "", {f"{place}.type": kind, f"{place}.path": file})

    return rule


def _promotion(value: Any, words: Words) -> Fate:
    bar = number(value, 0, 1)
    return at_least(_figure(words.get("promotion_metric_name", "f1_score")))(bar, words)


def _promoting(value: Any, words: Words) -> Fate:
    figure = _figure(value)
    try:
        bar = number(words.get("promotion_metric_threshold", _BAR), 0, 1)
    except ValueError as error:
        raise ValueError("wanted promotion_metric_threshold to be a number from 0 to 1") from error
    return at_least(figure)(bar, words)


def _figure(value: Any) -> str:
    figure = _FIGURES.get(text(value))
    if figure is None:
        raise ValueError(f"wanted promotion_metric_name to be one of: {', '.join(_FIGURES)}")
    return figure


def _spelled(word: str) -> str:
    """`model: {name: …}` says what `model_name` does."""
    joined = word.replace(".", "_")
    return joined if word not in TABLE and joined in TABLE else word


TABLE: dict[str, Rule] = {
    "model_name": kept("name", name),
    "model_version": meaningless("versions are numbered by the registry"),
    "model_type": detector,
    "training_data_source": _rows("source"),
    "data_source": _rows("source"),
    "evaluation_data_source": _rows("test"),
    "performance_analysis_feature_source": meaningless("the report measures latency and memory while it is made"),
    "output_base_dir": _RUN,
    "output_model_path": _RUN,
    "output_metrics_path": _RUN,
    "feature_columns": _columns,
    **under("isolation_forest_params", FOREST),
    **FOREST,
    "gmm_params": _OTHER,
    "vae_params": _OTHER,
    "promotion_metric_name": _promoting,
    "promotion_metric_threshold": _promotion,
}
SYSTEM = System("Networking Tester", TABLE, _given, _spelled)

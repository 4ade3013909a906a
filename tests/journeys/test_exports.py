"""A training in the files of the founding systems: their names, columns and keys, and values that are true."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from tocsin.cli.exporting import ExportFormat
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.training.exports import Format

Run = Callable[..., CompletedProcess[str]]
PNG = b"\x89PNG\r\n\x1a\n"

TABLES = ("canonical_telemetry_full", "train_features", "val_features")
PICTURES = ("feature_correlations.png", "normalized_distributions.png", "temporal_patterns.png")
AMOSKYS = {
    *(f"{name}.{ending}" for name in TABLES for ending in ("csv", "parquet")),
    *PICTURES,
    "feature_metadata.json",
    "pipeline_summary.json",
    "training_results/training_summary.json",
}
HELIOS = {
    "training_metrics.json",
    "model_config.json",
    "training_data.csv",
    "evaluation_metrics.json",
    "predictions.csv",
    "confusion_matrix.png",
    "roc_curve.png",
    "precision_recall_curve.png",
    "score_distribution.png",
    "feature_importance.png",
    "calibration.png",
    "detection_delay.png",
    "alerts_by_day.png",
}
NETWORKING_TESTER = {
    "training_run_config.json",
    "evaluation_metrics.json",
    "classification_report.json",
    "confusion_matrix.csv",
    "performance_analysis_results/performance_analysis_details.csv",
    "performance_analysis_results/performance_analysis_summary.json",
    "model_metadata.json",
    "model/manifest.json",
    "model/arrays.bin",
}
FRAMES = """\
version: 1
name: frames
preset: frames
source: {type: synthetic, kind: frames, days: 2, anomaly_rate: 0.05, seed: 5}
labels: {column: label}
alerts: {budget: 2%}
"""
HOSTS = """\
version: 1
name: devices
preset: hosts
source: {type: synthetic, kind: hosts, days: 2, entities: 3, seed: 5}
labels: {column: label}
alerts: {budget: 2%}
"""
SERVICES = """\
version: 1
name: signals
preset: services
source: {type: synthetic, kind: services, days: 9, anomaly_rate: 0.05, attacks_from_day: 7}
labels: {column: label}
alerts: {budget: 2%}
"""


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def trained(tocsin: Run, *words: str) -> Path:
    """Where a training put its files; whatever its verdict, it must have come to one."""
    done = tocsin("train", "--no-plots", "--json", *words)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return Path(json.loads(done.stdout)["folder"])


def test_amoskys_finds_its_files_columns_and_keys(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(HOSTS, "utf-8")
    where = trained(tocsin, "--export", "amoskys") / "exports" / "amoskys"
    assert files(where) == AMOSKYS
    assert all((where / name).read_bytes().startswith(PNG) for name in PICTURES)

    frames = {name: pl.read_parquet(where / f"{name}.parquet") for name in TABLES}
    whole = frames["canonical_telemetry_full"]
    assert whole.columns[:4] == ["id", "timestamp", "device_id", "is_anomaly"]
    assert whole.columns[-1] == "tocsin_generated"
    assert whole["tocsin_generated"].all()
    assert all(frame.columns == whole.columns for frame in frames.values())
    assert whole["id"].to_list() == list(range(1, whole.height + 1))
    assert whole["timestamp"].is_sorted()
    ids = [frames[name]["id"].to_list() for name in TABLES[1:]]
    assert sorted(ids[0] + ids[1]) == whole["id"].to_list()
    for name, frame in frames.items():
        shown = pl.read_csv(where / f"{name}.csv", infer_schema_length=None)
        assert shown.columns == frame.columns
        assert shown["id"].to_list() == frame["id"].to_list()
        feature = shown.columns[4]
        assert shown[feature].to_list() == frame[feature].to_list()

    metadata = document(where / "feature_metadata.json")
    features = metadata["numeric_features"]
    assert features == whole.columns[4:-1]
    assert metadata["total_features"] == len(features) + 4
    assert metadata["feature_count"] == {"numeric": len(features), "categorical": 1, "other": 3}
    learnt = whole.filter(pl.col("id").is_in(ids[0]))
    statistics = metadata["sample_statistics"]
    assert statistics.keys() == {"mean", "std", "min", "max"}
    assert statistics["mean"]["cpu_avg_pct"] == pytest.approx(learnt["cpu_avg_pct"].mean())

    summary = document(where / "pipeline_summary.json")
    assert (summary["data_source"], summary["status"], summary["tocsin_generated"]) == ("mock", "success", True)
    assert summary["train_samples"] + summary["val_samples"] == whole.height
    assert summary["devices"] == whole["device_id"].n_unique() == 3
    assert set(summary["output_files"]) == AMOSKYS - {"pipeline_summary.json"}
    training = document(where / "training_results" / "training_summary.json")
    assert (training["n_training_samples"], training["n_validation_samples"]) == (len(ids[0]), len(ids[1]))
    assert training["results"].keys() == set(training["models_trained"]) == {"denoising_reconstruction"}
    assert training["measured_on"] == "test rows that the model never saw"


def test_train_and_validation_features_are_what_a_detector_can_take(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(HOSTS, "utf-8")
    trained(tocsin, "--export", "amoskys", "--export-to", "out/ml_pipeline")
    for name in TABLES[1:]:
        frame = pl.read_parquet(folder / "out" / "ml_pipeline" / f"{name}.parquet")
        x = frame.drop("id", "timestamp", "device_id", "is_anomaly", "tocsin_generated").to_numpy()
        assert np.isfinite(x).all()
        assert set(frame["is_anomaly"].unique()) <= {0, 1}


def test_helios_finds_its_files_columns_and_keys(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(SERVICES, "utf-8")
    run = trained(tocsin, "--export", "helios", "--export-to", "models")
    assert files(folder / "models") == HELIOS
    report = document(run / "report.json")
    figures = {name: figure["value"] for name, figure in report["figures"].items()}

    metrics = document(folder / "models" / "training_metrics.json")
    assert metrics["confusion_matrix"] == report["confusion"]
    for theirs, ours in (("accuracy", "accuracy"), ("f1_score", "f1"), ("false_positive_rate", "false_positive_rate")):
        assert metrics[theirs] == figures[ours]
    verdict = document(run / "verdict.json")
    met = {item["target"]: item["passed"] if item["asked"] else None for item in verdict["judgements"]}
    assert metrics["targets_met"] == met
    config = document(folder / "models" / "model_config.json")
    assert config["metrics"] == metrics
    assert config["hyperparameters"].keys() >= {"min_scale"}

    rows = lines(folder / "models" / "training_data.csv")
    assert len(rows) == config["training_samples"]
    assert rows[0].keys() >= {"event_count", "error_rate", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
                              "latency_std", "hour_of_day", "timestamp", "is_anomaly", "tocsin_generated"}  # fmt: skip
    evaluation = document(folder / "models" / "evaluation_metrics.json")
    counts = evaluation["metrics"]["confusion_matrix"]
    assert counts["true_positives"] == metrics["confusion_matrix"]["tp"]
    predictions = lines(folder / "models" / "predictions.csv")
    assert list(predictions[0])[:5] == ["timestamp", "true_label", "predicted_label", "anomaly_score", "correct"]
    assert len(predictions) == evaluation["test_samples"]
    right = [row["true_label"] == row["predicted_label"] for row in predictions]
    assert [row["correct"] for row in predictions] == [str(found).lower() for found in right]
    assert max(row["timestamp"] for row in rows) < min(row["timestamp"] for row in predictions)
    assert all(document(folder / "models" / f"{name}.json")["tocsin_generated"] for name in
               ("training_metrics", "model_config", "evaluation_metrics"))  # fmt: skip


def test_networking_tester_finds_its_files_and_keys(folder: Path, tocsin: Run) -> None:
    (folder / "tocsin.yaml").write_text(FRAMES, "utf-8")
    run = trained(tocsin, "--export", "networking-tester")
    where = run / "exports" / "networking-tester"
    assert files(where) == NETWORKING_TESTER
    report = document(run / "report.json")
    figures = {name: figure["value"] for name, figure in report["figures"].items()}
    metrics = document(where / "evaluation_metrics.json")
    assert (metrics["f1_score"], metrics["f1_score_anomaly"]) == (figures["macro_f1"], figures["f1"])
    assert metrics["num_predictions"] == metrics["anomaly_count_predicted"] + metrics["normal_count_predicted"]
    counts = report["confusion"]
    assert metrics["confusion_matrix"] == [[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]]
    assert [int(row["predicted_anomaly"]) for row in lines(where / "confusion_matrix.csv")] == [
        counts["fp"],
        counts["tp"],
    ]
    config = document(where / "training_run_config.json")
    metadata = document(where / "model_metadata.json")
    assert config["model_name"] == "frames"
    assert metadata["evaluation_metrics"] == metrics
    assert AnomalyModel.load(where / metadata["model_artifact_path_in_run_abs"]).program.outputs == tuple(
        config["feature_columns"]
    )
    analysis = where / "performance_analysis_results"
    details = lines(analysis / "performance_analysis_details.csv")
    summary = document(analysis / "performance_analysis_summary.json")
    assert len(details) == summary["total_packets"] == metrics["num_predictions"]
    small = sum(row["size_class"] == "small" for row in details)
    assert summary["small_packet_share"] == pytest.approx(small / len(details))
    assert all(document(path)["tocsin_generated"] for path in where.rglob("*.json") if path.name != "manifest.json")


@pytest.mark.parametrize("system", ["amoskys", "helios", "networking-tester"])
def test_real_rows_say_nothing_of_being_generated_and_stay_pseudonyms(system: str, site: Path, tocsin: Run) -> None:
    where = trained(tocsin, "--export", system) / "exports" / system
    for path in where.rglob("*"):
        if path.suffix in (".csv", ".json"):
            text = path.read_text("utf-8")
            assert "203.0.113" not in text
            assert '"tocsin_generated": true' not in text
            assert "tocsin_generated" not in text.splitlines()[0]
    if system == "amoskys":
        assert document(where / "pipeline_summary.json")["data_source"] == "csv"


@pytest.mark.parametrize("system", ["amoskys", "helios", "networking-tester"])
def test_without_labels_nothing_is_claimed(system: str, configure: Callable[..., Path], tocsin: Run) -> None:
    configure(("labels: {column: label, normal: [normal]}\n", ""))
    where = trained(tocsin, "--export", system) / "exports" / system
    if system == "amoskys":
        results = document(where / "training_results" / "training_summary.json")["results"]["robust_zscore"]
        assert pl.read_parquet(where / "train_features.parquet")["is_anomaly"].null_count() > 0
    elif system == "networking-tester":
        results = document(where / "evaluation_metrics.json")
        results["precision"], results["reasons"]["precision"] = (
            results["precision_anomaly"],
            results["reasons"]["precision_anomaly"],
        )
        assert {row["predicted_normal"] for row in lines(where / "confusion_matrix.csv")} == {""}
    else:
        results = document(where / "training_metrics.json")
        assert results["confusion_matrix"] is None
        assert {row["true_label"] + row["correct"] for row in lines(where / "predictions.csv")} == {""}
        assert files(where) == HELIOS - {f"{name}.png" for name in (
            "confusion_matrix", "roc_curve", "precision_recall_curve", "calibration", "detection_delay",
            "alerts_by_day",
        )}  # fmt: skip
    assert results["precision"] is None
    assert "no labels" in results["reasons"]["precision"]


def test_rows_without_a_clock_have_no_temporal_patterns(configure: Callable[..., Path], tocsin: Run) -> None:
    configure(("  time: time\n  entity: host\n", ""), ("    time: {dtype: time}\n", ""))
    where = trained(tocsin, "--export", "amoskys") / "exports" / "amoskys"
    assert files(where) == AMOSKYS - {"temporal_patterns.png"}
    assert pl.read_parquet(where / "val_features.parquet")["timestamp"].null_count() > 0
    assert "temporal_patterns.png" not in document(where / "pipeline_summary.json")["output_files"]


def test_test_rows_from_elsewhere_are_the_validation_rows(
    configure: Callable[..., Path], site: Path, lines: list[str], tocsin: Run
) -> None:
    (site / "later.csv").write_text("\n".join([lines[0], *lines[-100:]]) + "\n", "utf-8")
    configure(more='test: {path: "later.csv"}\n')
    where = trained(tocsin, "--export", "amoskys") / "exports" / "amoskys"
    assert pl.read_parquet(where / "val_features.parquet").height == 100
    assert pl.read_parquet(where / "canonical_telemetry_full.parquet").height == 1_300


def test_a_formula_in_a_name_stays_text(configure: Callable[..., Path], site: Path, tocsin: Run) -> None:
    rows = (site / "data" / "rows.csv").read_text("utf-8").replace("bytes", "=cmd", 1)
    (site / "data" / "rows.csv").write_text(rows, "utf-8")
    configure(("bytes: {dtype: float", '"=cmd": {dtype: float'), ("[bytes, packets]", '["=cmd", packets]'))
    where = trained(tocsin, "--export", "amoskys") / "exports" / "amoskys"
    assert (where / "train_features.csv").read_text("utf-8").splitlines()[0].split(",")[4] == "'=cmd"
    assert pl.read_parquet(where / "train_features.parquet").columns[4] == "=cmd"


def test_a_feature_named_as_a_column_of_the_file_makes_room(
    configure: Callable[..., Path], site: Path, tocsin: Run
) -> None:
    rows = (site / "data" / "rows.csv").read_text("utf-8").replace("bytes", "id", 1)
    (site / "data" / "rows.csv").write_text(rows, "utf-8")
    configure(("bytes: {dtype: float", "id: {dtype: float"), ("[bytes, packets]", "[id, packets]"))
    where = trained(tocsin, "--export", "amoskys") / "exports" / "amoskys"
    frame = pl.read_parquet(where / "canonical_telemetry_full.parquet")
    assert frame.columns == ["id", "timestamp", "device_id", "is_anomaly", "id_feature", "packets"]


def test_a_folder_that_holds_something_is_refused_before_anything_is_trained(site: Path, tocsin: Run) -> None:
    (site / "models").mkdir()
    (site / "models" / "mine").touch()
    refused = tocsin("train", "--export", "helios", "--export-to", "models")
    assert (refused.returncode, (site / "runs").exists()) == (1, False)
    assert "models" in refused.stderr
    assert tocsin("train", "--export-to", "elsewhere").returncode == 2
    assert tocsin("train", "--export", "excel").returncode == 2


def test_an_export_that_fails_registers_nothing(site: Path, in_child: Callable[..., CompletedProcess[str]]) -> None:
    """As where the disk is full: no file may grow beyond 60 kB, and the table of all rows is larger."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
    refused = in_child("train", "--no-plots", "--export", "amoskys", "--export-to", "out", before=limited)
    assert (refused.returncode, "File too large" in refused.stderr) == (1, True), refused.stderr
    assert not (site / "out").exists()
    assert list((site / "runs").iterdir()) == []
    assert not (site / "registry").exists()


def test_a_missing_extra_is_told_before_anything_is_trained(
    site: Path, in_child: Callable[..., CompletedProcess[str]]
) -> None:
    done = in_child("train", "--export", "amoskys", before="import sys; sys.modules['polars'] = None")
    assert (done.returncode, (site / "runs").exists()) == (1, False)
    assert "tocsin[data]" in done.stderr


def test_every_format_can_be_named() -> None:
    assert {str(name) for name in ExportFormat} == set(get_args(Format))

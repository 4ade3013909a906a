"""Configs of the five founding systems become configs of Tocsin, and every word of theirs is answered for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import structlog
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.cli import main
from tocsin.cli.import_config import Format
from tocsin.cli.imported.reading import MAX_BYTES, Foreign, read
from tocsin.cli.imported.systems import SYSTEMS, recognised, words_of
from tocsin.cli.imported.words import translate
from tocsin.cli.imported.writing import config_text
from tocsin.config import Config, load, parse
from tocsin.system import check

Run = Callable[..., CompletedProcess[str]]

MNEMOSYNE = """\
firebase:
  project_id: your-project-id
  storage_bucket: your-project-id.appspot.com
  service_account_path: ~/.config/gcloud/service-account.json
  training_data_path: flows/training
  model_output_path: models
  cleanup_threshold_hours: 24

preprocessing:
  log_transform_features: [bytes_in, bytes_out, packets_in, packets_out, duration]
  feature_normalization_method: standard
  contamination_auto_tune: true
  contamination_range: [0.01, 0.1]
  min_samples_for_training: 1000
  max_model_size_mb: 100

training:
  random_state: 42
  n_estimators_range: [50, 200]
  max_samples_range: [0.5, 1.0]
  bootstrap_options: [true, false]
  validation_split: 0.2
  cross_validation_folds: 3
"""
AMOSKYS = """\
{
  "wal_db_path": "data/wal/flowagent.db", "output_dir": "data/ml_pipeline",
  "window_size_sec": 60, "step_size_sec": 30, "entropy_bins": 50, "quantiles": [0.25, 0.5, 0.75, 0.95, 0.99],
  "cpu_threshold": 80, "memory_threshold": 85, "connections_threshold": 50, "disk_io_threshold": 1000,
  "scaler_type": "robust", "log_transform_features": ["network_bytes", "disk_io", "process_count"],
  "validation_split": 0.2, "random_seed": 42, "stratify_by": "device_id",
  "save_csv": true, "save_parquet": true, "compression": "snappy",
  "mock_samples": 1000, "mock_devices": 5, "mock_timespan_hours": 24
}
"""
NETWORKING_TESTER = """\
{
\t"model_name": "Network Anomaly Detector",
\t"model_version": "1.0.0",
\t"model_type": "isolation_forest",
\t"training_data_source": "data\\\\ml_training_data\\\\sample_training_data.csv",
\t"evaluation_data_source": "data/ml_training_data/sample_evaluation_data.csv",
\t"output_base_dir": "data/mlops_artifacts",
\t"feature_columns": ["feature1", "feature2", "feature3", "feature4", "feature5"],
\t"isolation_forest_params": {"n_estimators": 100, "contamination": 0.05, "max_samples": "auto", "random_state": 42},
\t"promotion_metric_name": "f1_score",
\t"promotion_metric_threshold": 0.75
}
"""
HELIOS = """\
# train_model.py, and the detection service
export DAYS=14
INTERVAL="5"
ANOMALY_RATE=0.05   # of the generator
GRID_SEARCH=true
OUTPUT_DIR=models
SAVE_DATA=true
CONTAMINATION=0.05
ANOMALY_THRESHOLD=-0.5
WINDOW_SIZE_MINUTES=5
MIN_EVENTS_PER_WINDOW=10
DB_PASSWORD=correct-horse
LOG_LEVEL=INFO
"""
ANALYZER = """\
version: '1.0.0'
model:
  type: isolation_forest
  hyperparameters:
    n_estimators: 100
    max_samples: auto
    contamination: 0.1
    random_state: 42
features:
  numeric:
    - signal_strength
    - connection_time
    - packet_loss
  categorical:
    - device_type
    - connection_type
  temporal:
    - hour_of_day
    - day_of_week
training:
  test_size: 0.2
  validation_size: 0.1
  random_state: 42
  n_jobs: -1
storage:
  directory: models
  version_format: '%Y%m%d_%H%M%S'
  keep_last_n_versions: 5
evaluation:
  metrics: [accuracy, precision, recall, f1_score]
  thresholds: {accuracy: 0.8, precision: 0.7, recall: 0.7, f1_score: 0.7}
logging:
  level: INFO
  format: '%(asctime)s - %(name)s - %(levelname)s - %(message)s'
  file: logs/model_training.log
"""
CONFIGS = {
    "mnemosyne": MNEMOSYNE,
    "amoskys": AMOSKYS,
    "networking_tester": NETWORKING_TESTER,
    "helios": HELIOS,
    "analyzer": ANALYZER,
}


@pytest.fixture
def tocsin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["tocsin", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        structlog.reset_defaults()
        printed = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return CompletedProcess(words, code, printed.out, printed.err)

    return call


def imported(tocsin: Run, text: str, *words: str) -> tuple[Config, dict[str, str]]:
    """The config that a text becomes, and the fate of each of its words."""
    Path("foreign").write_text(text, "utf-8")
    Path("tocsin.yaml").unlink(missing_ok=True)
    done = tocsin("import-config", "foreign", "--json", *words)
    found = json.loads(done.stdout)
    assert "words" in found, done.stdout
    fates = {word["word"]: word["fate"] for word in found["words"]}
    assert done.returncode == int(not {"unknown", "unfit"}.isdisjoint(fates.values()))
    return load(Path("tocsin.yaml")), fates


@pytest.mark.parametrize("system", CONFIGS)
def test_a_founding_config_is_recognised_and_becomes_a_valid_one(system: str, tocsin: Run) -> None:
    Path("foreign").write_text(CONFIGS[system], "utf-8")
    done = tocsin("import-config", "foreign")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tocsin check" in done.stdout
    assert tocsin("check").returncode == 0
    assert recognised(read(Path("foreign")), Path("foreign")) == system


@pytest.mark.parametrize("system", CONFIGS)
def test_every_word_is_told_on_the_screen_and_in_the_file(system: str, tocsin: Run) -> None:
    Path("foreign").write_text(CONFIGS[system], "utf-8")
    shown = tocsin("import-config", "foreign").stdout
    written = Path("tocsin.yaml").read_text("utf-8")
    words = words_of(SYSTEMS[system], read(Path("foreign")))
    assert len(words) >= 10
    assert [word.path for word in words if f"  {word.path}: " not in shown] == []
    assert [word.path for word in words if f"{word.path} (line {word.line})" not in written] == []


@pytest.mark.parametrize("system", CONFIGS)
def test_every_value_says_where_it_came_from(system: str, tocsin: Run) -> None:
    imported(tocsin, CONFIGS[system])
    lines = Path("tocsin.yaml").read_text("utf-8").splitlines()
    values = [number for number, line in enumerate(lines) if ": " in line and not line.lstrip().startswith("#")]
    inside = [number for number in values if lines[number - 1].rstrip().endswith(":") or number - 1 in values]
    assert [lines[at] for at in values if "#" not in lines[at] + lines[at - 1] and at not in inside] == []


def test_mnemosyne_keeps_its_flows_its_forest_and_its_shares(tocsin: Run) -> None:
    config, fates = imported(tocsin, MNEMOSYNE)
    assert (config.preset, config.source and config.source.parameters["path"]) == ("flows", "flows/training/*.csv")
    assert config.detector.to_json() == {"type": "isolation_forest", "trees": 200, "seed": 42}
    assert (config.preparation.scale, config.registry.path) == ("standard", "models")
    assert (config.split.train, config.split.calibration) == (0.6, 0.2)
    assert config.alerts.budget.per_row == pytest.approx(0.01)
    assert fates["training.max_samples_range"] == fates["training.cross_validation_folds"] == "not_yet"
    assert fates["firebase.project_id"] == "no_meaning"
    assert "service-account.json" not in Path("tocsin.yaml").read_text("utf-8")


def test_a_logarithm_that_the_preset_lacks_is_added_to_its_features(tocsin: Run) -> None:
    text = MNEMOSYNE.replace("[bytes_in, bytes_out, packets_in, packets_out, duration]", "[bytes_in, dst_port]")
    config, _ = imported(tocsin, text)
    logarithms = next(feature for feature in config.features.derive if feature.type == "log_scale")
    assert logarithms.parameters["columns"][-1] == "dst_port"
    assert {feature.type for feature in config.features.derive} >= {"rolling", "category", "ratio"}


def test_amoskys_reads_its_log_and_never_makes_rows_up(tocsin: Run) -> None:
    config, fates = imported(tocsin, AMOSKYS)
    assert config.preset == "hosts"
    assert config.source is not None
    assert config.source.to_json() == {
        "type": "sqlite_wal",
        "path": "data/wal/flowagent.db",
        "message": "device",
    }
    assert config.schema_.key == ("idempotency_key",)
    assert (config.preparation.scale, config.detector.parameters["seed"]) == ("robust", 42)
    assert {fates[word] for word in fates if word.startswith("mock_")} == {"no_meaning"}


def test_networking_tester_keeps_its_columns_its_files_and_its_promotion_rule(tocsin: Run) -> None:
    config, _ = imported(tocsin, NETWORKING_TESTER)
    assert config.name == "network-anomaly-detector"
    assert config.schema_.numeric == ("feature1", "feature2", "feature3", "feature4", "feature5")
    assert config.source is not None
    assert config.test is not None
    assert config.source.parameters["path"] == "data/ml_training_data/sample_training_data.csv"
    assert config.test.parameters["path"] == "data/ml_training_data/sample_evaluation_data.csv"
    assert config.gate == {"macro_f1": ">= 0.75 when labelled"}
    assert config.alerts.budget.per_row == pytest.approx(0.05)


def test_helios_keeps_its_generator_in_the_open_and_tells_no_password(tocsin: Run) -> None:
    config, fates = imported(tocsin, HELIOS)
    assert config.source is not None
    made_up = {"type": "synthetic", "kind": "services", "days": 14, "interval": "5m", "anomaly_rate": 0.05}
    assert config.source.to_json() == made_up
    assert (config.alerts.budget.text, config.logging.level) == ("5%", "info")
    assert (fates["GRID_SEARCH"], fates["ANOMALY_THRESHOLD"], fates["DB_PASSWORD"]) == (
        "not_yet", "no_meaning", "no_meaning",
    )  # fmt: skip
    assert "correct-horse" not in Path("tocsin.yaml").read_text("utf-8")


def test_networking_testers_frames_are_those_of_the_preset(tocsin: Run) -> None:
    columns = '["timestamp", "frame_length", "ip_ttl", "dst_port", "ip_src", "payload_length"]'
    five = '["feature1", "feature2", "feature3", "feature4", "feature5"]'
    config, _ = imported(tocsin, NETWORKING_TESTER.replace(five, columns))
    assert config.preset == "frames"
    assert config.features.columns == ("frame_length", "ip_ttl", "dst_port", "payload_length")


def test_helios_is_read_as_a_mapping_of_options_too(tocsin: Run) -> None:
    config, fates = imported(tocsin, "--contamination: 0.03\ntest-data: prod.csv\nn_estimators: '150'\n")
    assert config.source is not None
    assert config.test is not None
    assert (config.source.type, config.test.parameters["path"]) == ("csv", "prod.csv")
    assert (config.alerts.budget.text, config.detector.parameters["trees"]) == ("3%", 150)
    assert set(fates.values()) == {"kept"}


def test_the_analyzer_keeps_its_features_its_targets_and_its_versions(tocsin: Run) -> None:
    config, _ = imported(tocsin, ANALYZER)
    assert config.features.columns == ("signal_strength", "connection_time", "packet_loss")
    assert [feature.to_json() for feature in config.features.derive] == [
        {"type": "category", "columns": ["device_type", "connection_type"]},
        {"type": "calendar", "parts": ["hour", "day_of_week"]},
    ]
    assert config.gate == {figure: f">= {bar} when labelled" for figure, bar in
                           (("accuracy", 0.8), ("precision", 0.7), ("recall", 0.7), ("f1", 0.7))}  # fmt: skip
    assert (config.split.train, config.split.calibration, config.registry.keep) == (0.7, 0.1, 5)


def test_the_analyzers_words_right_under_model_mean_the_same(tocsin: Run) -> None:
    nested = "  hyperparameters:\n    n_estimators: 100\n    max_samples: auto\n    contamination: 0.1\n"
    flat = nested.replace("  hyperparameters:\n", "").replace("    ", "  ")
    text = ANALYZER.replace(nested, flat).replace("    random_state: 42\nfeatures", "  random_state: 42\nfeatures")
    assert flat in text
    one, other = imported(tocsin, ANALYZER)[0], imported(tocsin, text)[0]
    assert one.model_dump() == other.model_dump()


def test_columns_of_no_preset_get_a_schema_of_their_own(tocsin: Run) -> None:
    config, _ = imported(tocsin, ANALYZER.replace("signal_strength", "snr").replace("device_type", "chipset"))
    assert config.preset is None
    assert (config.schema_.time, config.schema_.identities) == ("timestamp", ("device_id",))
    assert config.schema_.fields["snr"].dtype == "float"
    assert config.schema_.fields["chipset"].dtype == "category"


def test_an_unknown_word_is_told_with_the_nearest_one(tocsin: Run) -> None:
    Path("foreign").write_text(MNEMOSYNE.replace("random_state", "random_sate") + "ghost: {most: 3}\n", "utf-8")
    done = tocsin("import-config", "foreign")
    assert done.returncode == 1
    assert 'training.random_sate: did you mean "training.random_state"?' in done.stdout
    assert "ghost.most: Mnemosyne has no such word" in done.stdout
    assert "ghost.most (line 24) is unknown" in Path("tocsin.yaml").read_text("utf-8")
    assert tocsin("check").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("random_state: 42", "random_state: soon", "training.random_state"),
        ("random_state: 42", "random_state: true", "training.random_state"),
        ("[50, 200]", "[200, 50]", "training.n_estimators_range"),
        ("[50, 200]", "[50, 2000000]", "training.n_estimators_range"),
        ("[0.01, 0.1]", ".nan", "preprocessing.contamination_range"),
        ("[0.01, 0.1]", "[0.01, 0.9]", "preprocessing.contamination_range"),
        ("split: 0.2", "split: 1.5", "training.validation_split"),
        ("method: standard", "method: minmax", "preprocessing.feature_normalization_method"),
        ("path: models", 'path: "${HOME}/models"', "firebase.model_output_path"),
        ("path: models", 'path: "a\\u001b[31m"', "firebase.model_output_path"),
        ("path: flows/training", "path: 7", "firebase.training_data_path"),
        ("[bytes_in, bytes_out,", "[bytes_on, bytes_out,", "preprocessing.log_transform_features"),
    ],
)
def test_a_value_that_does_not_fit_is_told_and_the_rest_is_kept(old: str, new: str, word: str, tocsin: Run) -> None:
    assert old in MNEMOSYNE
    config, fates = imported(tocsin, MNEMOSYNE.replace(old, new))
    assert [name for name, fate in fates.items() if fate == "unfit"] == [word]
    assert config.preset == "flows"


def test_two_words_for_one_place_are_no_riddle(tocsin: Run) -> None:
    assert imported(tocsin, ANALYZER)[0].detector.parameters["seed"] == 42
    config, fates = imported(tocsin, ANALYZER.replace("  random_state: 42\n  n_jobs", "  random_state: 7\n  n_jobs"))
    assert (config.detector.parameters["seed"], fates["training.random_state"]) == (42, "unfit")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no system knows"),
        ("- a\n- b\n", "a list"),
        ("a: 1\nb: 2\n", "no system knows"),
        ("output_dir: a\nn_estimators: 5\nvalidation_split: 0.1\n", "alike"),
        ("a: &x [1]\nb: *x\n", "alias"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("a: !!int x\n", "a tag such as"),
        ("a: !!timestamp x\n", "a tag such as"),
        ("days: 1\ndays: 2\n", "twice"),
        ("DAYS=1\nDAYS=2\n", "twice"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "levels"),
        ("{" * 3 + "\n", "expected"),
        ("days: 1\n" + "#" * MAX_BYTES, "more than 65,536 bytes"),
        ("days: \udcff\n", "no readable text file"),
    ],
)
def test_what_is_no_config_is_refused_and_nothing_is_written(text: str, told: str, tocsin: Run) -> None:
    Path("foreign").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = tocsin("import-config", "foreign")
    assert (done.returncode, Path("tocsin.yaml").exists()) == (2, False)
    assert told in done.stderr.replace("\n", " ")


def test_a_config_is_never_replaced_and_a_name_can_be_given(tocsin: Run) -> None:
    Path("foreign").write_text("days: 3\n", "utf-8")
    assert tocsin("import-config", "foreign").returncode == 2
    assert tocsin("import-config", "foreign", "--format", "helios", "-o", "mine.yaml").returncode == 0
    again = tocsin("import-config", "foreign", "--format", "helios", "-o", "mine.yaml")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


@pytest.mark.parametrize("system", CONFIGS)
def test_rules_survive_any_value(system: str) -> None:
    table = SYSTEMS[system].table
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("auto")
    values = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=5
    )
    one = read_as_whole(system)

    @settings(deadline=None, max_examples=25)
    @given(word=st.sampled_from(sorted(table)), value=values)
    def survives(word: str, value: Any) -> None:
        *above, last = word.split(".")
        foreign: dict[str, Any] = yaml.safe_load(yaml.safe_dump(one))
        inner = foreign
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = value
        translation = translate(SYSTEMS[system], words_of(SYSTEMS[system], Foreign(foreign, {})))
        assert len(translation.fates) >= 10
        check(parse(config_text(translation, "\x1b[31m")))

    survives()


def read_as_whole(system: str) -> dict[str, Any]:
    if system == "helios":
        return dict(line.removeprefix("export ").split("=") for line in HELIOS.splitlines() if "=" in line)
    found: dict[str, Any] = yaml.safe_load(CONFIGS[system].replace("\t", " "))
    return found


def test_every_system_can_be_named() -> None:
    assert {str(name) for name in Format} == {"auto", *SYSTEMS}

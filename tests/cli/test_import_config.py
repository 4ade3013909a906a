"""Configs of the five founding systems become configs of Tocsin, and every word of theirs is answered for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tocsin.cli.import_config import Format
from tocsin.cli.imported.reading import read
from tocsin.cli.imported.systems import SYSTEMS, recognised, words_of
from tocsin.config import Config

Run = Callable[..., CompletedProcess[str]]
Texts = Mapping[str, str]
Imported = Callable[..., tuple[Config, dict[str, str]]]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_founding_config_is_recognised_and_becomes_a_valid_one(system: str, tocsin: Run, founding: Texts) -> None:
    Path("foreign").write_text(founding[system], "utf-8")
    done = tocsin("import-config", "foreign")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tocsin check" in done.stdout
    assert tocsin("check").returncode == 0
    assert recognised(read(Path("foreign")), Path("foreign")) == system


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_word_is_told_on_the_screen_and_in_the_file(system: str, tocsin: Run, founding: Texts) -> None:
    Path("foreign").write_text(founding[system], "utf-8")
    shown = tocsin("import-config", "foreign").stdout
    written = Path("tocsin.yaml").read_text("utf-8")
    words = words_of(SYSTEMS[system], read(Path("foreign")))
    assert len(words) >= 10
    assert [word.path for word in words if f"  {word.path}: " not in shown] == []
    assert [word.path for word in words if f"{word.path} (line {word.line})" not in written] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_value_says_where_it_came_from(system: str, imported: Imported, founding: Texts) -> None:
    imported(founding[system])
    lines = Path("tocsin.yaml").read_text("utf-8").splitlines()
    values = [number for number, line in enumerate(lines) if ": " in line and not line.lstrip().startswith("#")]
    inside = [number for number in values if lines[number - 1].rstrip().endswith(":") or number - 1 in values]
    assert [lines[at] for at in values if "#" not in lines[at] + lines[at - 1] and at not in inside] == []


def test_mnemosyne_keeps_its_flows_its_forest_and_its_shares(imported: Imported, founding: Texts) -> None:
    config, fates = imported(founding["mnemosyne"])
    assert config.source is not None
    url = "gs://your-project-id.appspot.com/flows/training/*.csv"
    assert (config.preset, config.source.to_json()) == ("flows", {"type": "object_store", "url": url})
    assert config.detector.to_json() == {"type": "isolation_forest", "trees": 200, "seed": 42}
    assert (config.preparation.scale, config.registry.path) == ("standard", "gs://your-project-id.appspot.com/models")
    assert config.registry.max_size == 100_000_000
    assert (config.split.train, config.split.calibration) == (0.6, 0.2)
    assert config.alerts.budget.per_row == pytest.approx(0.01)
    assert config.tune is not None
    assert (config.tune.sampler, config.tune.folds) == ("grid", 3)
    assert config.tune.points("detector.trees") == (50, 75, 100, 125, 150, 175, 200)
    assert fates["training.max_samples_range"] == "no_meaning"
    assert fates["firebase.project_id"] == "no_meaning"
    assert fates["firebase.service_account_path"] == "no_meaning"
    assert "service-account.json" not in Path("tocsin.yaml").read_text("utf-8")


def test_mnemosyne_without_a_bucket_reads_this_machine(imported: Imported, founding: Texts) -> None:
    config, _ = imported(founding["mnemosyne"].replace("  storage_bucket: your-project-id.appspot.com\n", ""))
    assert config.source is not None
    assert config.source.to_json() == {"type": "csv", "path": "flows/training/*.csv"}
    assert config.registry.path == "models"


def test_a_bucket_that_is_none_is_told(imported: Imported, founding: Texts) -> None:
    _, fates = imported(founding["mnemosyne"].replace("your-project-id.appspot.com", "../else where"))
    assert fates["firebase.storage_bucket"] == "unfit"


def test_no_path_leads_out_of_a_bucket(imported: Imported, founding: Texts) -> None:
    text = founding["mnemosyne"].replace("flows/training", "../else/where").replace("path: models", "path: a/../../b")
    config, fates = imported(text)
    assert {fates["firebase.training_data_path"], fates["firebase.model_output_path"]} == {"unfit"}
    assert config.source is not None
    assert ".." not in str(config.source.to_json()) + config.registry.path


def test_a_promotion_rule_that_does_not_fit_says_which_word(tocsin: Run, founding: Texts) -> None:
    text = founding["networking_tester"].replace('"f1_score"', '"beauty"').replace("0.75", "2")
    Path("foreign").write_text(text, "utf-8")
    shown = " ".join(tocsin("import-config", "foreign").stdout.split())
    assert "promotion_metric_name: got 'beauty', wanted promotion_metric_name to be one of" in shown
    assert "promotion_metric_threshold: got 2, wanted a number from 0 to 1" in shown


def test_a_logarithm_that_the_preset_lacks_is_added_to_its_features(imported: Imported, founding: Texts) -> None:
    own = "[bytes_in, bytes_out, packets_in, packets_out, duration]"
    config, _ = imported(founding["mnemosyne"].replace(own, "[bytes_in, dst_port]"))
    logarithms = next(feature for feature in config.features.derive if feature.type == "log_scale")
    assert logarithms.parameters["columns"][-1] == "dst_port"
    assert {feature.type for feature in config.features.derive} >= {"rolling", "category", "ratio"}


def test_amoskys_reads_its_log_and_never_makes_rows_up(imported: Imported, founding: Texts) -> None:
    config, fates = imported(founding["amoskys"])
    assert config.preset == "hosts/amoskys"
    assert config.source is not None
    assert config.source.to_json() == {
        "type": "sqlite_wal",
        "path": "data/wal/flowagent.db",
        "message": "device",
    }
    assert config.schema_.key == ("idempotency_key",)
    assert (config.preparation.scale, config.detector.parameters["seed"]) == ("robust", 42)
    assert {fates[word] for word in fates if word.startswith("mock_")} == {"no_meaning"}


def test_networking_tester_keeps_its_columns_its_files_and_its_promotion_rule(
    imported: Imported, founding: Texts
) -> None:
    config, _ = imported(founding["networking_tester"])
    assert config.name == "network-anomaly-detector"
    assert config.schema_.numeric == ("feature1", "feature2", "feature3", "feature4", "feature5")
    assert config.source is not None
    assert config.test is not None
    assert config.source.parameters["path"] == "data/ml_training_data/sample_training_data.csv"
    assert config.test.parameters["path"] == "data/ml_training_data/sample_evaluation_data.csv"
    assert config.gate == {"macro_f1": ">= 0.75 when labelled"}
    assert config.alerts.budget.per_row == pytest.approx(0.05)


def test_networking_tester_may_nest_its_words(imported: Imported, founding: Texts) -> None:
    flat, _ = imported(founding["networking_tester"])
    nested = json.loads(founding["networking_tester"])
    for group, keys in (("model", ("name", "version", "type")), ("promotion", ("metric_name", "metric_threshold"))):
        nested[group] = {key: nested.pop(f"{group}_{key}") for key in keys}
    nested |= nested.pop("isolation_forest_params")
    config, fates = imported(json.dumps(nested))
    assert config.model_dump() == flat.model_dump()
    assert set(fates.values()) <= {"kept", "no_meaning"}


def test_a_file_of_the_environment_is_named_and_never_copied(tocsin: Run, folder: Path, founding: Texts) -> None:
    (folder / "foreign").write_text(founding["analyzer"], "utf-8")
    (folder / ".env").write_text("DB_PASSWORD=correct-horse\nDB_HOST=10.1.2.3\n", "utf-8")
    done = tocsin("import-config", "foreign")
    assert (done.returncode, "DB_PASSWORD" in done.stdout) == (0, True)
    assert "correct-horse" not in done.stdout + (folder / "tocsin.yaml").read_text("utf-8")
    assert "10.1.2.3" not in done.stdout


def test_helios_keeps_its_generator_in_the_open_and_tells_no_password(imported: Imported, founding: Texts) -> None:
    config, fates = imported(founding["helios"])
    assert config.source is not None
    made_up = {"type": "synthetic", "kind": "services", "days": 14, "interval": "5m", "anomaly_rate": 0.05}
    assert config.source.to_json() == made_up
    assert (config.alerts.budget.text, config.logging.level) == ("5%", "info")
    assert config.tune is not None
    assert config.tune.search == {"detector.trees": (50, 100, 150), "detector.samples": (128, 256, 512)}
    assert (fates["ANOMALY_THRESHOLD"], fates["DB_PASSWORD"]) == ("no_meaning", "no_meaning")
    assert "correct-horse" not in Path("tocsin.yaml").read_text("utf-8")


def test_networking_testers_frames_are_those_of_the_preset(imported: Imported, founding: Texts) -> None:
    columns = '["timestamp", "frame_length", "ip_ttl", "dst_port", "ip_src", "payload_length"]'
    five = '["feature1", "feature2", "feature3", "feature4", "feature5"]'
    config, _ = imported(founding["networking_tester"].replace(five, columns))
    assert config.preset == "frames"
    assert config.features.columns == ("frame_length", "ip_ttl", "dst_port", "payload_length")


def test_helios_is_read_as_a_mapping_of_options_too(imported: Imported) -> None:
    config, fates = imported("--contamination: 0.03\ntest-data: prod.csv\nn_estimators: '150'\n")
    assert config.source is not None
    assert config.test is not None
    assert (config.source.type, config.test.parameters["path"]) == ("csv", "prod.csv")
    assert (config.alerts.budget.text, config.detector.parameters["trees"]) == ("3%", 150)
    assert set(fates.values()) == {"kept"}


def test_the_analyzer_keeps_its_features_its_targets_and_its_versions(imported: Imported, founding: Texts) -> None:
    config, _ = imported(founding["analyzer"])
    assert config.features.columns == ("signal_strength", "connection_time", "packet_loss")
    assert [feature.to_json() for feature in config.features.derive] == [
        {"type": "category", "columns": ["device_type", "connection_type"]},
        {"type": "calendar", "parts": ["hour", "day_of_week"]},
    ]
    targets = {name: f">= {bar} when labelled" for name, bar in
               (("accuracy", 0.8), ("precision", 0.7), ("recall", 0.7), ("f1", 0.7))}  # fmt: skip
    assert config.gate == {"anomaly_rate": "<= 20%", **targets}
    assert (config.split.train, config.split.calibration, config.registry.keep) == (0.7, 0.1, 5)
    assert config.history.last == 30 * 86_400.0


def test_versions_that_grow_old_go_as_the_analyzer_says(imported: Imported, founding: Texts) -> None:
    config, _ = imported(founding["analyzer"].replace("keep_last_n_versions: 5", "retention_days: 30"))
    assert config.registry.max_age == 30 * 86_400.0


def test_every_time_of_day_of_the_analyzers_trainer_is_known(imported: Imported, founding: Texts) -> None:
    words = ("minute_of_hour", "time_since_midnight", "is_weekend", "is_business_hours")
    text = founding["analyzer"].replace("    - day_of_week\n", "".join(f"    - {word}\n" for word in words))
    config, _ = imported(text)
    parts = ["hour", "minute", "minute_of_day", "is_weekend", "is_business_hours"]
    assert config.features.derive[1].to_json() == {"type": "calendar", "parts": parts}


def test_the_analyzers_words_right_under_model_mean_the_same(imported: Imported, founding: Texts) -> None:
    nested = "  hyperparameters:\n    n_estimators: 100\n    max_samples: auto\n    contamination: 0.1\n"
    flat = nested.replace("  hyperparameters:\n", "").replace("    ", "  ")
    text = founding["analyzer"].replace(nested, flat)
    text = text.replace("    random_state: 42\nfeatures", "  random_state: 42\nfeatures")
    assert flat in text
    one, other = imported(founding["analyzer"])[0], imported(text)[0]
    assert one.model_dump() == other.model_dump()


def test_columns_of_no_preset_get_a_schema_of_their_own(imported: Imported, founding: Texts) -> None:
    config, _ = imported(founding["analyzer"].replace("signal_strength", "snr").replace("device_type", "chipset"))
    assert config.preset is None
    assert (config.schema_.time, config.schema_.identities) == ("timestamp", ("device_id",))
    assert config.schema_.fields["snr"].dtype == "float"
    assert config.schema_.fields["chipset"].dtype == "category"


def test_every_system_can_be_named() -> None:
    assert {str(name) for name in Format} == {"auto", *SYSTEMS}

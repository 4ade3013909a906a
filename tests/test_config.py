"""A config tells all its problems at once, with line, path and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.component import PartSpec
from tocsin.config import load, parse
from tocsin.errors import ConfigError

GOOD = """\
version: 1
name: edge-flows
preset: flows
source: {type: csv, path: "data/*.csv"}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_preset_lies_underneath() -> None:
    config = parse(GOOD)
    assert config.schema_.entity == "src_ip"
    assert config.detector.type == "robust_zscore"


def test_values_are_merged_and_a_part_of_another_type_replaces_the_whole() -> None:
    config = parse(GOOD + "detector: {type: isolation_forest}\nschema: {fields: {dst_port: {maximum: 1024}}}\n")
    assert config.detector == PartSpec("isolation_forest", {})
    assert config.schema_.fields["dst_port"].maximum == 1024
    assert config.schema_.fields["dst_port"].minimum == 0


def test_the_test_source_inherits_from_the_source() -> None:
    config = parse('version: 1\nname: a\npreset: flows/nsl_kdd\nsource: {path: "a.gz"}\ntest: {path: "b.gz"}\n')
    assert config.test is not None
    assert config.test.parameters["path"] == "b.gz"
    assert len(config.test.parameters["columns"]) == 43


def test_every_problem_comes_at_once_with_line_path_and_hint() -> None:
    found = problems(GOOD + "detektor: {type: x}\nalerts: {budget: lots}\nlimits: {entities: 0}\n")
    assert len(found) == 3
    assert any(text.startswith("tocsin.yaml:5  $.detektor") and 'did you mean "detector"?' in text for text in found)
    assert any("tocsin.yaml:6  $.alerts.budget" in text and "3/day" in text for text in found)
    assert any("tocsin.yaml:7  $.limits.entities" in text for text in found)


def test_an_unknown_key_in_a_section_names_that_sections_keys() -> None:
    (found,) = problems(GOOD + "alerts: {cooldwon: 2m}\n")
    assert 'did you mean "cooldown"?' in found
    assert "budget" in found


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("server: {listen: '0.0.0.0:8643'}", "got 0.0.0.0:8643, wanted keys where others can reach it"),
        ("server: {listen: '127.0.0.1:99999'}", "got port 99999, wanted at most 65535"),
        ("server: {behind_proxy: a.example}", "got 'a.example', wanted a list"),
        ("stream: 3", "got 3, wanted a mapping"),
        ("stream: {journal: ''}", "got '', wanted text of a length of at least 1"),
        ("stream: {dry_run: perhaps}", "got 'perhaps', wanted true or false"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_a_config(line: str, told: str) -> None:
    (found,) = problems(f"{GOOD}{line}\n")
    assert told in found


def test_a_shadow_is_a_channel_or_a_number() -> None:
    assert parse(GOOD + "stream: {shadow: 3}\n").stream.shadow == "3"


def test_an_unknown_preset_is_named() -> None:
    (found,) = problems(GOOD.replace("preset: flows\n", "preset: flow\n"))
    assert 'did you mean "flows"?' in found


def test_an_unknown_preset_hides_no_other_mistake_and_makes_none_up() -> None:
    text = GOOD.replace("preset: flows\n", "preset: flow\n").replace("type: csv, ", "") + "alerts: {budget: lots}\n"
    found = problems(text)
    assert len(found) == 2
    assert any("$.alerts.budget" in problem for problem in found)


def test_a_key_twice_is_a_problem() -> None:
    assert any("twice" in text for text in problems(GOOD + "name: other\n"))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "version: [1\n", "version: 1\nname: ../../etc\n"])
def test_what_is_no_config_is_refused_with_a_sentence(text: str) -> None:
    assert problems(text)


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tocsin init"):
        load(tmp_path / "tocsin.yaml")


def test_words_of_yaml_1_1_stay_words() -> None:
    config = parse(GOOD + "labels: {column: label, normal: [no, off]}\n")
    assert config.labels is not None
    assert config.labels.normal == ("no", "off")


def test_environment_variables_are_put_in_and_missing_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWS_AT", "/data")
    config = parse(GOOD.replace("data/*.csv", "${FLOWS_AT}/*.csv"))
    assert config.source is not None
    assert config.source.parameters["path"] == "/data/*.csv"
    monkeypatch.delenv("FLOWS_AT")
    assert any("FLOWS_AT" in text for text in problems(GOOD.replace("data/*.csv", "${FLOWS_AT}/*.csv")))


@pytest.mark.parametrize(
    ("text", "per_day", "per_row"),
    [
        ("3/day", 3.0, None),
        ("1/hour", 24.0, None),
        ("7/week", 1.0, None),
        ("5/1000 rows", None, 0.005),
        ("1%", None, 0.01),
    ],
)
def test_budgets_are_rates(text: str, per_day: float | None, per_row: float | None) -> None:
    budget = parse(GOOD + f"alerts: {{budget: {text}}}\n").alerts.budget
    assert budget.per_day == pytest.approx(per_day)
    assert budget.per_row == pytest.approx(per_row)


@pytest.mark.parametrize("text", ["0/day", "100%", "-1/day", "3", "1/fortnight"])
def test_a_budget_that_is_no_rate_is_refused(text: str) -> None:
    assert problems(GOOD + f'alerts: {{budget: "{text}"}}\n')


def test_labels_come_from_one_place() -> None:
    assert any("exactly one" in text for text in problems(GOOD + "labels: {column: a, windows: b.json}\n"))


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    path = tmp_path / "tocsin.yaml"
    path.write_text(GOOD)
    assert load(path).resolve("registry") == tmp_path / "registry"


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "[" * 3_000 + "]" * 3_000, "? [a]\n: b\n"])
def test_yaml_that_grows_or_turns_on_itself_is_refused_at_once(text: str) -> None:
    assert problems(text)


@pytest.mark.parametrize(
    "line",
    [
        "alerts: {budget: {per_day: -5}}",
        "alerts: {budget: " + "9" * 400 + "/day}",
        "alerts: {cooldown: 99999999999d}",
        "alerts: {at_most: 1%}",
        "alerts: {budget: 1%, adapt: true}",
        "registry: {keep: 99999999999999999999999999}",
        'registry: {path: ""}',
        'registry: {path: "a\\0b"}',
        "labels: {windows: a.json, normal: [x]}",
        "labels: {column: a, series: x}",
        "test_labels: {column: a}",
        "folder: elsewhere",
    ],
)
def test_what_could_not_work_or_would_have_no_effect_is_a_problem(line: str) -> None:
    assert problems(GOOD + line + "\n")


def test_a_target_of_the_preset_can_be_taken_away() -> None:
    assert "roc_auc" in parse(GOOD).gate
    assert "roc_auc" not in parse(GOOD + "gate: {roc_auc: null}\n").gate


METRICS = """\
version: 1
name: metrics
schema:
  time: time
  fields: {time: {dtype: time}}
  others: {optional: true}
features:
  columns: ["*"]
  derive:
    - {type: rate, columns: ["*"]}
    - {type: rolling, columns: ["*_per_s", time], statistics: [mean], windows: [1m]}
  aside: ["*_per_s"]
"""


def test_a_star_stands_for_every_column_that_was_found() -> None:
    config = parse(METRICS).with_columns(["time", "cpu", "disk"])
    assert config.features.columns == ("cpu", "disk")
    assert config.features.derive[0].parameters["columns"] == ("cpu", "disk")
    assert config.features.derive[1].parameters["columns"] == ("cpu_per_s", "disk_per_s", "time")
    assert config.features.derive[1].parameters["windows"] == ("1m",)
    assert config.features.aside == ("cpu_per_s", "disk_per_s")
    assert config.schema_.found == ("cpu", "disk")


def test_where_a_schema_names_all_its_fields_a_star_is_a_name_like_any_other() -> None:
    config = parse(GOOD)
    assert config.with_columns(["more"]) is config


@pytest.mark.parametrize("value", ["!!int x", "!!float {}", "!!timestamp soon", "!!binary ü", "!!set [a]"])
def test_a_tag_that_lies_about_its_value_is_a_problem_and_no_trace(value: str) -> None:
    (problem,) = problems(f"version: {value}\n")
    assert "YAML without anchors and aliases" in problem


def test_what_a_training_finds_is_not_written_by_hand() -> None:
    (problem,) = problems(METRICS.replace("others: {optional: true}", "found: [cpu]"))
    assert "$.schema.found" in problem


def test_a_text_that_no_path_can_be_is_refused_where_it_stands() -> None:
    assert problems(GOOD.replace("data/*.csv", "data/\\0.csv")) == [
        "tocsin.yaml:4  $.source.path\n  got a NUL character, wanted text without one"
    ]


def test_no_more_is_read_than_a_config_may_have() -> None:
    with pytest.raises(ConfigError, match="got more bytes, wanted at most 1,048,576"):
        load(Path("/dev/zero"))


def test_only_a_config_that_is_not_there_is_to_be_begun(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tocsin init"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert caught.value.problem.hint == ""

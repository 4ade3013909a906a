"""What is to be trained follows from the config, and what does not fit is told all at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tocsin.config import Config, parse
from tocsin.errors import ConfigError, Problem, SchemaError
from tocsin.model.design import Design, check_design, problems_in

BASE = """\
version: 1
name: hosts
schema:
  {clock}
  fields:
    time: {{dtype: time}}
    host: {{dtype: address, identity: true}}
    load: {{dtype: float, minimum: 0}}
    balance: {{dtype: float}}
    jobs: {{dtype: integer}}
"""


def config(more: str = "", clock: str = "time: time") -> Config:
    return parse(BASE.format(clock=clock) + more)


def places(more: str, clock: str = "time: time") -> list[str]:
    return [problem.where.partition(" ")[0] for problem in check_design(config(more, clock))]


def test_a_config_without_features_takes_every_number() -> None:
    design = Design.of(config())
    assert design.columns() == ("load", "balance", "jobs")
    assert design.derived() == ()


def test_named_columns_and_derived_features_are_taken_alone() -> None:
    assert Design.of(config("features: {columns: jobs}\n")).columns() == ("jobs",)
    derived = Design.of(config("features: {derive: [{type: log_scale, columns: [jobs]}]}\n"))
    assert derived.columns() == ()
    assert [type(feature).__name__ for feature in derived.derived()] == ["LogScale"]


def test_a_design_takes_budget_cooldown_and_entities_from_the_config() -> None:
    design = Design.of(config("alerts: {budget: 1/week, cooldown: 12h}\nlimits: {entities: 7}\n"))
    assert (design.budget.per_day, design.budget.per_row, design.budget.cooldown_s) == (1 / 7, None, 43_200.0)
    assert design.entities == 7


def test_what_fits_has_no_problem() -> None:
    assert check_design(config("alerts: {budget: 3/day}\n")) == []
    assert check_design(config("alerts: {budget: 1%}\n", "entity: host")) == []


def test_every_problem_of_a_design_comes_at_once() -> None:
    more = """\
features:
  columns: [lode, host]
  derive:
    - {type: rolling, columns: [load], windows: [10m], statistics: [mode]}
    - {type: log_skale, columns: [load]}
detector: {type: robust_zscore, min_skale: 1}
threshold: {type: conformall}
alerts: {budget: 3/day, at_most: 5/day}
labels: {windows: incidents.json}
split: {by: entity}
"""
    found = places(more, "key: host")
    assert found == [
        "$.features.columns[0]",
        "$.features.columns[1]",
        "$.features.derive[0].statistics[0]",
        "$.detector.min_skale",
        "$.threshold.type",
        "$.alerts.budget",
        "$.alerts.at_most",
        "$.labels.windows",
        "$.split.by",
    ]


@pytest.mark.parametrize(
    ("feature", "got"),
    [
        ("{type: rolling, columns: [lod], statistics: [mean]}", 'unknown field "lod"'),
        ("{type: rolling, columns: [host], statistics: [mean]}", 'field "host", a'),
        ("{type: ratio, numerator: load, denominator: host}", 'field "host", a'),
        ("{type: log_scale, columns: [balance]}", 'field "balance" with no minimum'),
    ],
)
def test_a_feature_that_does_not_fit_the_schema_is_named(feature: str, got: str) -> None:
    (problem,) = check_design(config(f"features: {{derive: [{feature}]}}\n"))
    assert problem.where.startswith("$.features")
    assert got in problem.got


def test_two_columns_of_one_name_are_a_problem() -> None:
    twice = "{type: log_scale, columns: [load]}"
    (problem,) = check_design(config(f"features: {{derive: [{twice}, {twice}]}}\n"))
    assert 'a second column named "log_load"' in problem.got


def test_windows_need_a_clock() -> None:
    rolling = "features: {derive: [{type: rolling, columns: [load], statistics: [mean]}]}\nalerts: {budget: 1%}\n"
    (problem,) = check_design(config(rolling, "entity: host"))
    assert (problem.got, problem.wanted) == ("a schema without a clock", "schema.time")
    assert check_design(config(rolling)) == []


def test_problems_of_a_step_get_a_place_in_the_config() -> None:
    def refuse() -> None:
        raise SchemaError("field load", "nothing", "numbers", "look")

    def refuse_twice() -> None:
        raise ConfigError([Problem("$.a", "one"), Problem("$.b", "two")])

    assert problems_in(lambda: None) == []
    assert problems_in(refuse) == [Problem("field load", "nothing", "numbers", "look")]
    assert problems_in(refuse, "$.features")[0].where == "$.features (field load)"
    assert [problem.where for problem in problems_in(refuse_twice, "$.c")] == ["$.a", "$.b"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  aside: [hourr]", '$.features.aside[0]: got "hourr", wanted a column that is computed'),
        ("  names: {timestamp: moment}", "$.features.names.timestamp: got a field"),
    ],
)
def test_a_column_set_aside_or_renamed_has_to_be_one_that_is_computed(line: str, told: str) -> None:
    text = "version: 1\nname: a\npreset: services\nfeatures:\n" + line + "\n"
    problems = [f"{problem.where}: got {problem.got}, wanted {problem.wanted}" for problem in check_design(parse(text))]
    assert [problem for problem in problems if problem.startswith(told)]


def test_several_rows_of_too_many_columns_are_refused_with_a_way_out() -> None:
    design = Design.of(config("detector: {type: pca_reconstruction, steps: 2}\n"))
    wide = replace(design.program(design.no_rows()), outputs=tuple(f"column_{place}" for place in range(1_025)))
    with pytest.raises(SchemaError, match=r"on 1025 columns in 2 rows(?s:.)*set steps to 1"):
        design.sequence(wide, design.no_rows())

"""What a config says is to be searched, and values at places of a config."""

from __future__ import annotations

import pytest
import yaml

from tocsin.component import PartSpec
from tocsin.config import Config, parse
from tocsin.config.places import with_values, written
from tocsin.config.search import Range, TuneConfig
from tocsin.errors import ConfigError
from tocsin.presets import merged
from tocsin.system import check

FLOWS = "version: 1\nname: small\npreset: flows\nsource: {type: csv, path: a.csv}\n"


def searching(section: str) -> Config:
    return parse(f"{FLOWS}detector: {{type: isolation_forest}}\ntune: {section}\n")


def refused(section: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check(searching(section))
    return str(caught.value)


def test_values_stand_at_their_places_and_nowhere_else() -> None:
    config = parse(FLOWS)
    other = with_values(
        config, {"detector.min_scale": 0.5, "preparation.clip": 3, "features.derive[5].windows": ["5m", "1h"]}
    )
    assert other.detector == PartSpec("robust_zscore", {"min_scale": 0.5})
    assert (other.preparation.clip, other.preparation.scale) == (3.0, "auto")
    assert other.features.derive[5].parameters["windows"] == ["5m", "1h"]
    assert other.features.derive[:5] == config.features.derive[:5]
    assert config.detector == PartSpec("robust_zscore", {"min_scale": 1.0})


def test_a_whole_part_can_stand_at_a_place() -> None:
    other = with_values(parse(FLOWS), {"detector": {"type": "isolation_forest", "trees": 7}})
    assert other.detector == PartSpec("isolation_forest", {"trees": 7})


def test_what_is_written_brings_the_values_into_the_config_it_came_from() -> None:
    values = {"detector.trees": 7, "preparation.scale": "robust", "features.derive[5].windows": ["5m"]}
    config = parse(f"{FLOWS}detector: {{type: isolation_forest, samples: 64}}\n")
    wanted = with_values(config, values)
    text = yaml.safe_dump(merged(yaml.safe_load(FLOWS), written(wanted, values)))
    again = parse(text.replace("trees: 7", "trees: 7\n  samples: 64"))
    assert (again.detector, again.preparation, again.features) == (
        wanted.detector, wanted.preparation, wanted.features
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("detectr.trees", 'did you mean "detector"?'),
        ("alerts.budget", "a place in detector, features, preparation"),
        ("features.derive[99].windows", "a list of 8 before 99"),
        ("preparation.scale", "'auto', 'standard', 'robust' or 'none'"),
        ("detector..trees", "no place that can be searched"),
    ],
)
def test_a_place_that_is_none_is_refused(place: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_values(parse(FLOWS), {place: 3})
    assert said in str(caught.value)


def test_a_range_names_the_points_of_a_grid() -> None:
    assert Range(low=50, high=200, step=25).points == (50, 75, 100, 125, 150, 175, 200)
    assert Range(low=0.1, high=0.35, step=0.1).points == (0.1, 0.2, 0.3)
    assert Range(low=50, high=200, step=25).whole
    assert not Range(low=0.5, high=2).whole


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{search: {}}", "should have at least 1 item"),
        ("{search: {detector.trees: [50]}}", "a list of at least two values"),
        ("{search: {detector.trees: {low: 9, high: 3}}}", "the lower one first"),
        ("{search: {detector.trees: {low: 0, high: 3, log: true}}}", "log with a low end above 0"),
        ("{search: {detector.trees: {low: 1, high: 9}}, sampler: grid}", "a range with a step, at detector.trees"),
        ("{search: {detector.trees: [1, 2]}, sampler: grid, trials: 3}", "trials would have no effect"),
        ("{search: {detector.trees: {low: 1, high: 9000, step: 1}, detector.samples: [2, 3]}, sampler: grid}", "18,0"),
        ("{search: {detector.tres: [1, 2]}}", 'did you mean "trees"?'),
        ("{search: {detector.trees: [1, 2, 99999]}}", "99999: trees is 99999, wanted 1 to 10,000"),
        ("{serch: {detector.trees: [1, 2]}}", 'did you mean "search"?'),
    ],
)
def test_a_search_that_cannot_be_is_found_by_check(section: str, said: str) -> None:
    message = refused(section)
    assert said in message
    assert "$.tune" in message
    assert "tocsin.yaml:6" in message


@pytest.mark.parametrize(
    ("search", "every"),
    [
        ("{search: {detector.trees: [1, 2], detector.samples: [2, 3]}, trials: 4}", True),
        ("{search: {detector.trees: [1, 2], detector.samples: [2, 3]}, trials: 3}", False),
        ("{search: {detector.trees: {low: 1, high: 4}}}", False),
        ("{search: {detector.trees: {low: 1, high: 4, step: 1}}}", True),
        ("{search: {detector.trees: [1, 2]}, sampler: tpe}", False),
    ],
)
def test_few_combinations_are_all_tried(search: str, every: bool) -> None:
    assert TuneConfig.model_validate(yaml.safe_load(search)).every is every

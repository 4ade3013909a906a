"""A search learns and judges within the training rows, and is judged itself on rows that it did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tocsin.config import Config, SplitConfig, parse
from tocsin.errors import ConfigError, DataError
from tocsin.evaluation.measures import Ranking, average_precision
from tocsin.model.design import Design
from tocsin.records import CLASS, DAY, LABEL, SECOND, Batch, Vector
from tocsin.schema import Field, Schema
from tocsin.training.folds import Fold, folds
from tocsin.training.judging import Judging, can_rank
from tocsin.training.objective import PRECISION, RECALL, Answers, allowed_alerts, gain, level_within
from tocsin.training.selection import selected
from tocsin.training.tune import SearchMeans, tune

CONFIG = """\
version: 1
name: small
schema:
  time: time
  fields:
    time: {dtype: time}
    load: {}
    noise: {}
features: {columns: [load, noise]}
detector: {type: robust_zscore}
alerts: {budget: 2%}
"""
SEARCH = "tune: {sampler: grid, folds: 2, search: {preparation.clip: [null, 0.5], detector.two_sided: [true, false]}}\n"
ALONE = SearchMeans(workers=1)


def configured(folder: Path, more: str = SEARCH) -> Config:
    return parse(CONFIG + more, folder / "tocsin.yaml")


def telemetry(rng: np.random.Generator, rows: int, *, labelled: bool, day: int = 20_000) -> Batch:
    """Loads; where they are labelled, every fortieth row falls far below the usual."""
    load = rng.normal(50, 1, rows)
    odd = np.arange(rows) % 40 == 7
    load[odd] -= 8 * labelled
    columns = {
        "time": day * DAY + np.arange(rows, dtype=np.int64) * 60 * SECOND,
        "load": load,
        "noise": rng.normal(size=rows),
    }
    labels = {LABEL: odd.astype(np.int8), CLASS: np.where(odd, "fall", "normal").astype(object)}
    return Batch(columns | (labels if labelled else {}))


def halves(rng: np.random.Generator, *, labelled: bool) -> Fold:
    return Fold(telemetry(rng, 1_500, labelled=labelled), telemetry(rng, 600, labelled=labelled, day=20_002))


def test_with_a_clock_what_is_judged_comes_later_than_what_was_learnt(rng: np.random.Generator) -> None:
    rows, schema = telemetry(rng, 900, labelled=False), parse(CONFIG).schema_
    found = list(folds(rows, schema, SplitConfig(), 3))
    assert [fold.judge.rows for fold in found] == [225] * 3
    assert [fold.learn.rows for fold in found] == [225, 450, 675]
    assert all(fold.learn["time"].max() < fold.judge["time"].min() for fold in found)


def test_without_a_clock_or_by_entity_each_row_is_judged_once(rng: np.random.Generator) -> None:
    schema = Schema(fields={"x": Field(), "host": Field(dtype="address")}, entity="host")
    hosts = rng.integers(0, 12, 600).astype(str).astype(object)
    rows = Batch({"x": np.arange(600.0), "host": hosts})
    for config in (SplitConfig(), SplitConfig(by="entity")):
        found = list(folds(rows, schema, config, 4))
        judged = np.concatenate([fold.judge["x"] for fold in found])
        assert sorted(judged.tolist()) == list(range(600))
        assert all(not set(fold.judge["x"]) & set(fold.learn["x"]) for fold in found)
    assert all(not set(fold.judge["host"]) & set(fold.learn["host"]) for fold in found)


def test_the_level_lets_normal_rows_ring_as_often_as_the_budget_allows(rng: np.random.Generator) -> None:
    scores = rng.normal(size=1_000)
    level = level_within(scores, None, None, 120.0, 20.0)
    assert (scores >= level).sum() == 20
    times = np.arange(1_000, dtype=np.int64) * SECOND
    together = level_within(scores, times, None, 3_600.0, 20.0)
    assert together < level, "rows that ring as one alert use up one"
    assert level_within(scores, None, None, 120.0, 0.5) > scores.max()


def test_a_budget_a_day_grows_with_the_time_and_one_of_rows_with_them(rng: np.random.Generator) -> None:
    rows = telemetry(rng, 1_441, labelled=False)
    budgets = [Design.of(parse(CONFIG.replace("2%", text))).budget for text in ("2%", "3/day")]
    schema = parse(CONFIG).schema_
    assert [allowed_alerts(budget, rows, schema, 1.0) for budget in budgets] == pytest.approx([28.82, 3.0])


def answers(wanted: Vector, normal: Vector, level: float, *, ranked: bool) -> Answers:
    places = np.arange(len(wanted)) % 20, np.arange(len(normal)) % 20
    return Answers(level, wanted, places[0], normal, places[1], 20, ranked)


def test_without_a_level_the_objective_is_average_precision(rng: np.random.Generator) -> None:
    wanted, normal = rng.normal(1, 1, 60).round(1), rng.normal(0, 1, 400).round(1)
    ranking = Ranking.of(np.arange(460) < 60, np.concatenate([wanted, normal]))
    whole = float(average_precision(ranking.anomalies, ranking.normals))
    assert answers(wanted, normal, -np.inf, ranked=True).value() == pytest.approx(whole)
    cut = answers(wanted, normal, 1.5, ranked=True).value()
    assert 0 < cut < whole
    assert answers(wanted, normal, 99.0, ranked=True).value() == 0
    assert answers(wanted, normal, 1.5, ranked=False).value() == (wanted >= 1.5).mean()


def test_a_gain_is_sure_only_where_its_whole_interval_is_above_nothing(rng: np.random.Generator) -> None:
    wanted, normal = rng.normal(1, 1, 200), rng.normal(0, 1, 400)
    before = answers(wanted, normal, 1.5, ranked=True)
    better = answers(wanted + 1, normal, 1.5, ranked=True)
    same = gain(before, before, 0)
    assert (same.low, same.high, same.sure) == (0.0, 0.0, False)
    assert gain(before, better, 0).sure
    assert not gain(better, before, 0).sure
    alone = Answers(0.0, np.ones(1), np.zeros(1, dtype=int), normal, np.arange(400) % 20, 20, ranked=True)
    assert gain(alone, alone, 0).low in (None, 0.0)


@pytest.mark.parametrize(("labelled", "objective"), [(True, PRECISION), (False, RECALL)])
def test_what_finds_more_at_the_budget_is_found(
    rng: np.random.Generator, folder: Path, labelled: bool, objective: str
) -> None:
    clipped = "preparation: {clip: 0.5}\n"
    found = tune(configured(folder, SEARCH + clipped), halves(rng, labelled=labelled), ALONE)
    assert (found.objective, found.trials, found.refused) == (objective, 4, 0)
    assert found.values["preparation.clip"] is None
    assert found.values["detector.two_sided"] or not labelled
    assert found.after > found.before
    assert found.gained
    detector = {"type": "robust_zscore", "two_sided": found.values["detector.two_sided"]}
    assert found.config == {"preparation": {"clip": None}, "detector": detector}


def test_where_nothing_is_better_no_gain_is_said(rng: np.random.Generator, folder: Path) -> None:
    found = tune(configured(folder), halves(rng, labelled=True), ALONE)
    assert (found.gain, found.gained, found.after) == (None, False, found.before)


def test_trials_do_not_see_the_rows_that_the_best_is_compared_on(rng: np.random.Generator, folder: Path) -> None:
    rows = halves(rng, labelled=True)
    reversed_labels = rows.judge.replace({LABEL: 1 - rows.judge[LABEL]})
    (folder / "other").mkdir()
    found = tune(configured(folder), rows, ALONE)
    other = tune(configured(folder / "other"), Fold(rows.learn, reversed_labels), ALONE)
    assert (found.before, found.after, found.values) == (other.before, other.after, other.values)


def test_a_search_finds_the_same_by_one_process_and_by_two(rng: np.random.Generator, folder: Path) -> None:
    drawn = "tune: {trials: 6, folds: 2, search: {detector.min_scale: {low: 0.1, high: 10, log: true}}}\n"
    (folder / "other").mkdir()
    rows = halves(rng, labelled=True)
    by_one, by_two = (
        tune(configured(folder / place, drawn), rows, SearchMeans(workers=workers))
        for place, workers in (("", 1), ("other", 2))
    )
    assert (by_one.values, by_one.after, by_one.trials) == (by_two.values, by_two.after, 6)


def test_values_that_do_not_go_together_are_refused_and_counted(rng: np.random.Generator, folder: Path) -> None:
    forest = "search: {detector.trees: [2, 10000], detector.samples: [8, 4000]}"
    config = parse(
        CONFIG.replace("robust_zscore", "isolation_forest, trees: 3, samples: 8")
        + f"tune: {{sampler: grid, folds: 1, {forest}}}\n",
        folder / "tocsin.yaml",
    )
    found = tune(config, Fold(telemetry(rng, 400, labelled=True), telemetry(rng, 300, labelled=True)), ALONE)
    assert (found.trials, found.refused) == (4, 1)


def test_features_can_be_searched(rng: np.random.Generator, folder: Path) -> None:
    derived = CONFIG.replace(
        "[load, noise]}", "[noise], derive: [{type: rolling, columns: [load], statistics: [mean], windows: [1m]}]}"
    )
    windows = "tune: {sampler: grid, folds: 1, search: {'features.derive[0].statistics': [[std], [mean]]}}\n"
    config = parse(derived.replace("mean], windows: [1m", "std], windows: [1h") + windows, folder / "tocsin.yaml")
    found = tune(config, halves(rng, labelled=True), ALONE)
    assert found.trials == 2
    assert set(found.config) == {"features"}


def test_too_few_rows_and_no_search_are_refused(rng: np.random.Generator, folder: Path) -> None:
    few = Fold(telemetry(rng, 120, labelled=True), telemetry(rng, 60, labelled=True))
    with pytest.raises(DataError, match=r"fewer folds as tune\.folds"):
        tune(configured(folder), few, ALONE)
    with pytest.raises(ConfigError, match="what to search"):
        tune(configured(folder, ""), few, ALONE)


def test_labels_count_only_where_every_judged_part_has_some(rng: np.random.Generator) -> None:
    with_some, without = (telemetry(rng, 400, labelled=labelled) for labelled in (True, False))
    only_normal = with_some.replace({LABEL: np.zeros(400, dtype=np.int8)})
    assert can_rank([Fold(without, with_some)] * 2)
    assert not can_rank([Fold(with_some, with_some), Fold(with_some, without)])
    assert not can_rank([Fold(with_some, only_normal)])


def test_a_column_that_hides_anomalies_is_set_aside_and_the_others_stay(rng: np.random.Generator) -> None:
    rows = telemetry(rng, 4_000, labelled=True)
    rows = rows.replace({"noise": rng.standard_cauchy(4_000)})
    config = parse(CONFIG.replace("columns: [load, noise]", "columns: [load, noise], keep: auto, aside: []"))
    chosen = selected(Design.of(config), rows, config.split)
    assert chosen.features.aside == ("noise",)
    again = selected(Design.of(config), rows, config.split)
    assert again.features == chosen.features
    everything = parse(CONFIG)
    assert selected(Design.of(everything), rows, config.split) == Design.of(everything)


def test_useful_columns_are_kept_and_idle_ones_go(rng: np.random.Generator) -> None:
    rows = telemetry(rng, 3_000, labelled=True)
    rows = rows.replace({"noise": np.array(rows["load"])})
    config = parse(CONFIG.replace("columns: [load, noise]", "columns: [load, noise], keep: auto"))
    assert selected(Design.of(config), rows, config.split).features.aside == ("noise",)


def test_judging_answers_for_chosen_columns_alone(rng: np.random.Generator) -> None:
    rows = halves(rng, labelled=True)
    design = Design.of(parse(CONFIG))
    judging = Judging([rows], ranked=True)
    both, alone = judging.answers(design, 0), judging.answers(design, 0, ["noise"])
    assert both.value() > 0.9
    assert alone.value() < 0.3

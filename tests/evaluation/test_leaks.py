from __future__ import annotations

from collections.abc import Callable

import numpy as np
import orjson
import pytest

from tocsin.evaluation.leaks import Leaks, find_leaks
from tocsin.evaluation.relations import Relation
from tocsin.records import GENERATED, Column, Mask
from tocsin.synthetic.hosts import hosts
from tocsin.synthetic.plan import Plan

Columns = dict[str, Column]
ROWS = 3_000


@pytest.fixture
def anomalous(rng: np.random.Generator) -> Mask:
    return np.asarray(rng.random(ROWS) < 0.05)


@pytest.fixture
def noise(rng: np.random.Generator) -> Columns:
    return {name: rng.lognormal(size=ROWS) for name in ("one", "two", "three", "four")}


def polled() -> tuple[Columns, Mask]:
    batch = hosts(Plan(days=7))
    return {name: batch[name] for name in batch if name not in ("label", GENERATED)}, batch["label"] != "normal"


def relation(leaks: Leaks) -> Relation:
    assert leaks.relation is not None
    return leaks.relation


def test_honest_rows_are_not_accused() -> None:
    leaks = find_leaks(*polled())
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.85
    assert relation(leaks).balanced_accuracy < 0.75
    assert leaks.remarks == (
        f"One column alone ranks these rows with a ROC-AUC of {leaks.single.roc_auc:.4f}: "
        f"{leaks.single.column} ({leaks.single.by}).",
    )


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("cpu_avg_pct", "cpu_avg_pct = mean(cpu_core0_pct to cpu_core3_pct)"),
        ("memory_used_pct", "memory_total_kb * memory_used_pct = 100 * memory_used_kb"),
    ],
)
@pytest.mark.parametrize("written", [True, False], ids=["rounded", "in_full"])
def test_a_column_multiplied_after_others_were_computed_from_it_is_found(
    column: str, text: str, written: bool, rng: np.random.Generator
) -> None:
    """The leak behind an accuracy of 99.5 % that some generator was reported with."""
    columns, anomalous = polled()
    spoilt = columns[column] * np.where(anomalous, rng.uniform(1.2, 2.5, len(anomalous)), 1.0)
    leaks = find_leaks(columns | {column: np.round(spoilt, 1) if written else spoilt}, anomalous)
    found = relation(leaks)
    assert found.text == text
    assert found.broken
    assert found.recall > 0.98
    assert found.precision > 0.98
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.95  # no column gives it away alone
    assert f"The anomalies are the rows that break {text} (precision" in leaks.remarks[-1]


@pytest.mark.parametrize(
    ("plant", "text", "broken"),
    [
        (lambda c, y: {"one": np.where(y, c["one"], c["two"])}, "two = one", True),
        (lambda c, y: {"one": np.where(y, 40 * c["two"], c["one"])}, "two = 0.025 * one", False),
        (lambda c, y: {"one": np.where(y, c["one"], c["two"] + 20)}, "two = one - 20", True),
        (lambda c, y: {"one": np.where(y, 1.3, 1.0) * (c["two"] + c["three"])}, "two + three = one", True),
        (lambda c, y: {"one": np.where(y, 1.3, 1.0) * c["two"] / c["three"]}, "one * three = two", True),
        (lambda c, y: {"one": np.where(y, 512.5, c["one"])}, "one = 512.5", False),
    ],
    ids=["same", "multiple", "offset", "sum", "quotient", "constant"],
)
def test_relations_that_one_side_alone_keeps_are_found(
    plant: Callable[[Columns, Mask], Columns], text: str, broken: bool, noise: Columns, anomalous: Mask
) -> None:
    found = relation(find_leaks(noise | plant(noise, anomalous), anomalous))
    assert (found.text, found.broken) == (text, broken)
    assert found.balanced_accuracy > 0.99
    assert found.precision > 0.98


@pytest.mark.parametrize("statistic", ["sum", "max", "min", "std"])
def test_a_summary_of_numbered_columns_is_held_against_them(
    statistic: str, rng: np.random.Generator, anomalous: Mask
) -> None:
    disks = rng.lognormal(size=(ROWS, 4))
    columns = {f"disk{number}_ops": disks[:, number] for number in range(4)}
    columns["disk_ops"] = getattr(disks, statistic)(axis=1) * np.where(anomalous, 1.5, 1.0)
    found = relation(find_leaks(columns, anomalous))
    assert found.text == f"disk_ops = {statistic}(disk0_ops to disk3_ops)"
    assert found.balanced_accuracy > 0.99


@pytest.mark.parametrize(
    ("plant", "by"),
    [
        (lambda values, y, _: np.where(y, values + 100, values), "high"),
        (lambda values, y, _: np.where(y, values - 100, values), "low"),
        (lambda values, y, _: np.where(y, np.nan, values), "missing"),
        (lambda values, y, _: np.where(y, values, np.nan), "present"),
        (lambda values, y, _: np.where(y, np.round(values * 9) + 3, values * 9), "whole"),
        (lambda values, y, rng: rng.integers(1, 9, len(y)) * np.where(y, rng.choice([-10, 10], len(y)), 1), "tens"),
        (lambda values, y, rng: np.where(y, "evil", rng.choice(["a", "b"], len(y))).astype(object), "name"),
    ],
    ids=["high", "low", "missing", "present", "whole", "tens", "name"],
)  # fmt: skip
def test_whatever_points_to_an_anomaly_in_one_column_is_found(
    plant: Callable[..., Column], by: str, noise: Columns, anomalous: Mask, rng: np.random.Generator
) -> None:
    leaks = find_leaks(noise | {"one": plant(noise["one"], anomalous, rng)}, anomalous)
    assert leaks.single is not None
    assert (leaks.single.column, leaks.single.by) == ("one", by)
    assert leaks.single.roc_auc > 0.99
    assert leaks.remarks[0].endswith("The figures of a model say little beside it.")


def test_a_column_that_few_rows_have_tells_as_little_as_it_has_rows(noise: Columns, anomalous: Mask) -> None:
    few = np.where(np.arange(ROWS) % 50 == 0, anomalous, np.nan)
    leaks = find_leaks(noise | {"few": few}, anomalous)
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.6


def test_a_name_that_is_seen_once_tells_nothing(anomalous: Mask, rng: np.random.Generator) -> None:
    leaks = find_leaks({"name": np.array([f"n{row}" for row in range(ROWS)], dtype=object)}, anomalous)
    assert leaks.single is not None
    assert leaks.single.roc_auc == 0.5
    assert leaks.relation is None


@pytest.mark.parametrize("side", [True, False])
def test_there_is_nothing_to_tell_apart_in_rows_of_one_side(side: bool, noise: Columns) -> None:
    assert find_leaks(noise, np.full(ROWS, side)) == Leaks(None, None)
    assert find_leaks({}, np.arange(ROWS) > 5) == Leaks(None, None)


def test_a_column_alone_is_related_to_numbers_only(noise: Columns, anomalous: Mask) -> None:
    found = relation(find_leaks({"one": np.where(anomalous, noise["one"], 0.0)}, anomalous))
    assert (found.text, found.broken) == ("one = 0", True)
    assert find_leaks({"one": np.ones(ROWS)}, anomalous).relation is None


def test_times_constants_and_what_is_infinite_or_empty_are_no_trouble(noise: Columns, anomalous: Mask) -> None:
    columns = {
        "time": np.arange(ROWS).astype("datetime64[s]"),
        "constant": np.ones(ROWS),
        "empty": np.full(ROWS, np.nan),
        "infinite": np.where(noise["one"] > 2, np.inf, -np.inf),
        "huge": noise["two"] * 1e300,
        "flag": noise["three"] > 1,
        "count": (noise["four"] * 10).astype(np.int64),
    }
    leaks = find_leaks(columns, anomalous)
    assert leaks.single is not None
    assert leaks.single.roc_auc < 0.6
    assert relation(leaks).balanced_accuracy < 0.6


def test_few_rows_that_chance_tells_apart_accuse_nobody(noise: Columns) -> None:
    assert find_leaks(noise, np.arange(ROWS) % 400 == 7) == Leaks(None, None)


def test_findings_are_the_same_each_time_and_plain_json() -> None:
    columns, anomalous = polled()
    first = find_leaks(columns, anomalous)
    assert first == find_leaks(columns, anomalous)
    document = orjson.loads(orjson.dumps(first))
    assert set(document) == {"single", "relation"}
    assert set(document["single"]) == {"column", "by", "roc_auc"}


def test_many_wide_columns_are_searched_in_bounded_pieces(rng: np.random.Generator) -> None:
    wide = {f"f{chr(97 + number % 26)}_{number}": rng.random(400) for number in range(300)}
    anomalous = rng.random(400) < 0.2
    found = relation(find_leaks(wide | {"late": anomalous * 1.0}, anomalous))
    assert found.balanced_accuracy < 0.8  # beyond the 256th column nothing is looked at for relations

"""A cause is a column of the telemetry, and stays the same while its features change places."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from tocsin.alerts.causes import causes, columns_behind
from tocsin.kernel.program import Operation, Program
from tocsin.model.anomaly_model import AnomalyModel

PROGRAM = Program(
    operations=(
        Operation("log1p", ("bytes",), ("bytes_log",)),
        Operation("recent", ("bytes_log",), ("bytes_mean", "bytes_max")),
        Operation("ratio", ("ports", "bytes"), ("ports_per_byte",)),
        Operation("panes", (), ("count_1m",)),
        Operation("panes", (), ("count_1h",)),
    ),
    outputs=("ports", "bytes_log", "bytes_mean", "bytes_max", "ports_per_byte", "count_1m", "count_1h"),
)


def causes_of(*shares: list[float]) -> list[str]:
    explainer = SimpleNamespace(contributions=lambda values: values)
    return causes(cast("AnomalyModel", SimpleNamespace(program=PROGRAM, explainer=explainer)), np.array(shares))


def test_each_feature_goes_back_to_the_first_column_that_it_is_computed_from_and_counts_to_the_rows() -> None:
    assert columns_behind(PROGRAM) == ("ports", "bytes", "bytes", "bytes", "ports", "rows", "rows")


def test_the_column_with_most_of_the_score_is_the_cause_whichever_of_its_features_leads() -> None:
    assert causes_of([3, 2, 2, 0, 0, 0, 0], [3, 0, 2, 2, 0, 0, 0], [3, 1, 1, 1.5, 0, 0, 0]) == ["bytes"] * 3
    assert causes_of([2, 2, 1, 0, 2, 0, 0], [0, 2, 0, 0, 0, 1, 1.5]) == ["ports", "rows"]


def test_what_speaks_against_a_column_does_not_speak_for_another() -> None:
    assert causes_of([1, 3, -9, 0, 0, 0, 0]) == ["bytes"]


def test_no_rows_have_no_causes() -> None:
    assert causes(cast("AnomalyModel", SimpleNamespace()), np.empty((0, 7))) == []

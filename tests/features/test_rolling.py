from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.rolling import Rolling
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch


@pytest.mark.parametrize(
    ("window", "text"),
    [
        ("250ms", "250ms"),
        ("1.5s", "1500ms"),
        ("90s", "90s"),
        ("60s", "1m"),
        ("60m", "1h"),
        ("36h", "36h"),
        ("7d", "7d"),
    ],
)
def test_a_window_is_named_after_the_longest_unit_that_divides_it(window: str, text: str) -> None:
    rolling = build("features", PartSpec("rolling", {"windows": [window], "statistics": ["count"]}))
    assert isinstance(rolling, Rolling)
    assert rolling.names({}) == (f"count_{text}",)


def test_columns_come_in_the_order_column_window_statistic() -> None:
    rolling = Rolling(columns=("bytes", "packets"), windows=(60.0, 300.0), statistics=("mean", "max"))
    names = [name for operation in rolling.compile(EXAMPLE, {}) for name in operation.outputs]
    assert tuple(names) == rolling.names({})
    assert names[:5] == ["bytes_mean_1m", "bytes_max_1m", "bytes_mean_5m", "bytes_max_5m", "packets_mean_1m"]


def test_row_01_an_exact_window_forgets_to_the_microsecond_what_panes_forget_together() -> None:
    batch = Batch(
        {
            "host": np.array(["a"] * 4, dtype=object),
            "time": np.array([0, 1, 60 * SECOND, 60 * SECOND + 1], dtype=np.int64),
            "bytes": np.array([1.0, 2.0, 4.0, 8.0]),
        }
    )
    sums = []
    for exact in (True, False):
        kernel = Kernel(
            compile_program(
                EXAMPLE, (), [Rolling(columns=("bytes",), windows=(60.0,), statistics=("sum",), exact=exact)], Batch({})
            )
        )
        sums.append(kernel.run(batch, kernel.start()).values[:, 0].tolist())
    assert sums == [[1, 3, 6, 12], [1, 3, 4, 12]]


def test_exact_windows_and_windows_in_panes_have_the_same_names() -> None:
    assert Rolling(columns=("bytes",), exact=True).names({}) == Rolling(columns=("bytes",)).names({})


def test_an_exact_window_keeps_128_values_unless_told_otherwise() -> None:
    def limit(**parameters: Any) -> object:
        (operation,) = Rolling(statistics=("count",), windows=(60.0,), exact=True, **parameters).compile(EXAMPLE, {})
        return operation.constants["limit"]

    assert [limit(), limit(limit=512)] == [128, 512]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"columns": ["bytes"], "windows": ["soon"]}, "a duration"),
        ({"columns": ["bytes"], "windows": ["-5m"]}, "a duration"),
        ({"columns": ["bytes"], "statistics": ["mode"]}, "'mean', 'std'"),
        ({"columns": ["bytes"], "statistics": []}, "no statistic of no column"),
        ({"statistics": ["mean"]}, "mean of no column"),
        ({"columns": ["bytes"], "panes": 0}, "panes is 0, wanted 1 to 1024"),
        ({"columns": ["bytes"], "min_count": 0}, "min_count is 0"),
        ({"columns": ["bytes"], "windows": [1e-6]}, "shorter than 12 panes"),
        ({"columns": ["bytes"], "exact": True, "panes": 12}, "panes is 12, but an exact window has none"),
        ({"columns": ["bytes"], "exact": True, "limit": 0}, "limit is 0, wanted 1 to 512"),
        ({"columns": ["bytes"], "exact": True, "limit": 513}, "limit is 513, wanted 1 to 512"),
        ({"columns": ["bytes"], "exact": True, "min_count": 129}, "min_count is 129, more than the 128 values"),
        ({"columns": ["bytes"], "exact": True, "windows": [1e-7]}, "shorter than a microsecond"),
        ({"columns": ["bytes"], "limit": 64}, "limit is 64, which holds for `exact: true` alone"),
    ],
)
def test_parameters_that_make_no_window_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("rolling", parameters))

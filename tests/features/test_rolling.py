from __future__ import annotations

import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError
from tocsin.features.base import EXAMPLE
from tocsin.features.rolling import Rolling


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
    ],
)
def test_parameters_that_make_no_window_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("rolling", parameters))

from __future__ import annotations

import numpy as np
import pytest

from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.ratio import Ratio
from tocsin.kernel.run import Kernel
from tocsin.records import Batch


def values(ratio: Ratio, above: list[float], below: list[float]) -> list[float]:
    kernel = Kernel(compile_program(EXAMPLE, (), [ratio], Batch({})))
    batch = Batch({"bytes": np.array(above), "packets": np.array(below)})
    got: list[float] = kernel.run(batch, kernel.start()).values[:, 0].tolist()
    return got


def test_the_offset_keeps_idle_rows_at_zero() -> None:
    assert values(Ratio(numerator="bytes", denominator="packets"), [0.0, 600.0], [0.0, 5.0]) == [0.0, 100.0]


def test_without_an_offset_a_division_by_zero_is_missing() -> None:
    ratio = Ratio(numerator="bytes", denominator="packets", offset=0.0)
    np.testing.assert_array_equal(values(ratio, [0.0, 600.0, 8.0], [0.0, 0.0, 4.0]), [np.nan, np.nan, 2.0])


def test_a_ratio_of_something_missing_is_missing() -> None:
    got = values(Ratio(numerator="bytes", denominator="packets"), [np.nan, 1.0], [1.0, np.nan])
    assert np.isnan(got).all()


def test_a_name_can_be_given() -> None:
    assert Ratio(numerator="bytes", denominator="packets", name="packet_size").names({}) == ("packet_size",)


@pytest.mark.parametrize("offset", [-1.0, float("nan"), float("inf")])
def test_an_offset_that_could_meet_the_denominator_is_refused(offset: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Ratio(numerator="bytes", denominator="packets", offset=offset)

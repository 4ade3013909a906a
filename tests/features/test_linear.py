from __future__ import annotations

import numpy as np
import pytest

from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.linear import Linear
from tocsin.kernel.run import Kernel
from tocsin.records import Batch


def test_successes_in_percent_become_a_share_of_failures() -> None:
    feature = Linear(column="temperature", name="error_rate", factor=-0.01, offset=1.0)
    kernel = Kernel(compile_program(EXAMPLE, (), [feature], Batch({})))
    batch = Batch({"temperature": np.array([100.0, 75.0, 0.0, np.nan])})
    got = kernel.run(batch, kernel.start()).values[:, 0]
    np.testing.assert_allclose(got, [0.0, 0.25, 1.0, np.nan], atol=1e-15)


@pytest.mark.parametrize(("factor", "offset"), [(0.0, 1.0), (np.nan, 0.0), (1.0, np.inf)])
def test_a_scale_on_which_all_values_are_one_is_refused(factor: float, offset: float) -> None:
    with pytest.raises(ValueError, match="wanted finite ones, and a factor other than 0"):
        Linear(column="temperature", name="t", factor=factor, offset=offset)

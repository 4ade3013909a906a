from __future__ import annotations

import numpy as np

from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.product import Product
from tocsin.kernel.run import Kernel
from tocsin.records import Batch


def test_a_share_times_its_whole_is_a_count_and_missing_where_either_is() -> None:
    kernel = Kernel(compile_program(EXAMPLE, (), [Product(left="bytes", right="packets")], Batch({})))
    batch = Batch({"bytes": np.array([0.25, np.nan, 2.0, 1e300]), "packets": np.array([8.0, 1.0, np.nan, 1e300])})
    got = kernel.run(batch, kernel.start()).values[:, 0]
    np.testing.assert_array_equal(got, [2.0, np.nan, np.nan, np.nan])


def test_a_name_can_be_given() -> None:
    assert Product(left="event_count", right="error_rate", name="error_count").names({}) == ("error_count",)

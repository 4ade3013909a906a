from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.magnitude import Magnitude
from tocsin.kernel.run import Kernel
from tocsin.records import Batch, Vector

KERNEL = Kernel(compile_program(EXAMPLE, (), [Magnitude(columns=("temperature",))], Batch({})))


def magnitudes(*values: float) -> Vector:
    return KERNEL.run(Batch({"temperature": np.array(values)}), KERNEL.start()).values[:, 0]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fall_is_as_large_as_a_rise(value: float) -> None:
    np.testing.assert_array_equal(magnitudes(value, -value), [abs(value)] * 2)


def test_zero_has_one_form_and_missing_stays_missing() -> None:
    got = magnitudes(-0.0, np.nan)
    assert not np.signbit(got[0])
    assert np.isnan(got[1])

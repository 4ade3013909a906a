from __future__ import annotations

import numpy as np
import pytest

from tocsin.errors import SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.log_scale import LogScale
from tocsin.kernel.run import Kernel
from tocsin.records import Batch
from tocsin.schema import Field, Schema


def test_zero_stays_zero_and_missing_stays_missing() -> None:
    kernel = Kernel(compile_program(EXAMPLE, (), [LogScale(columns=("bytes",))], Batch({})))
    got = kernel.run(Batch({"bytes": np.array([0.0, np.e - 1, np.nan])}), kernel.start()).values[:, 0]
    np.testing.assert_allclose(got, [0.0, 1.0, np.nan])


def test_row_11_a_row_alone_gets_the_bits_that_it_gets_among_many(rng: np.random.Generator) -> None:
    kernel = Kernel(compile_program(EXAMPLE, (), [LogScale(columns=("bytes",))], Batch({})))
    # Every third number of a larger array: columns need not lie together in memory.
    values = rng.lognormal(5, 4, 3_000)[::3]
    together = kernel.run(Batch({"bytes": values}), kernel.start()).values[:, 0]
    alone = [kernel.run(Batch({"bytes": values[row : row + 1]}), kernel.start()).values[0, 0] for row in range(1_000)]
    assert together.tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize(("minimum", "got"), [(None, "with no minimum"), (-40, "with minimum -40")])
def test_a_field_that_may_be_negative_is_refused_with_a_way_out(minimum: float | None, got: str) -> None:
    schema = Schema(fields={"level": Field(minimum=minimum)})
    with pytest.raises(SchemaError, match=f'field "level" {got}(.|\n)*give field "level" `minimum: 0`'):
        LogScale(columns=("level",)).compile(schema, {})


def test_a_scale_tells_small_shares_apart() -> None:
    feature = LogScale(columns=("bytes",), scale=1_000.0)
    kernel = Kernel(compile_program(EXAMPLE, (), [feature], Batch({})))
    got = kernel.run(Batch({"bytes": np.array([0.0, 0.001, 0.02])}), kernel.start()).values[:, 0]
    np.testing.assert_allclose(got, np.log1p([0.0, 1.0, 20.0]))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_no_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        LogScale(columns=("bytes",), scale=scale)

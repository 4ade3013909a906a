from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.zscore import ZScore
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch


def test_the_same_jump_tells_for_a_quiet_host_and_not_for_a_busy_one(rng: np.random.Generator) -> None:
    kernel = Kernel(compile_program(EXAMPLE, (), [ZScore(columns=("temperature",))], Batch({})))
    quiet, busy = rng.normal(20, 0.1, 50), rng.normal(20, 5, 50)
    quiet[-1] = busy[-1] = 23
    rows = Batch(
        {
            "time": np.tile(np.arange(50, dtype=np.int64) * SECOND, 2),
            "host": np.repeat(np.array(["quiet", "busy"], dtype=object), 50),
            "temperature": np.concatenate([quiet, busy]),
        }
    )
    got = kernel.run(rows, kernel.start()).values[:, 0]
    assert got[49] == 8
    assert abs(got[99]) < 2


def test_text_is_refused() -> None:
    with pytest.raises(SchemaError, match='field "protocol", a category'):
        ZScore(columns=("protocol",)).compile(EXAMPLE, {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"clip": 0}, "clip is 0.0, wanted a finite number above 0"),
        ({"clip": float("inf")}, "clip is inf"),
        ({"min_count": 1}, "min_count is 1, wanted at least 2"),
        ({"window": 1e-6}, "shorter than 12 panes"),
        ({"window": "-5m"}, "a duration"),
    ],
)
def test_parameters_that_make_no_score_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("zscore", {"columns": ["bytes"], **parameters}))

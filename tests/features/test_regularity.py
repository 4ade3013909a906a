from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.regularity import Regularity
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch, Vector

MINUTE = 60 * SECOND


def longest(times: Vector) -> float:
    """How regular a host's rows of one protocol ever are."""
    kernel = Kernel(compile_program(EXAMPLE, (), [Regularity(columns=("protocol",))], Batch({})))
    rows = Batch(
        {
            "time": times.astype(np.int64),
            "host": np.full(len(times), "a", dtype=object),
            "protocol": np.full(len(times), "tcp", dtype=object),
        }
    )
    return float(kernel.run(rows, kernel.start()).values[:, 0].max())


def test_a_program_that_calls_by_its_clock_stands_out_from_people(rng: np.random.Generator) -> None:
    clock = np.cumsum(5 * MINUTE * rng.normal(1.0, 0.03, 60))
    people = np.cumsum(rng.exponential(5 * MINUTE, 60))
    assert longest(clock) == 12
    assert longest(people) <= 6


def test_a_field_of_floats_is_refused_with_what_fits_it() -> None:
    with pytest.raises(SchemaError, match=r'field "bytes", a float(.|\n)*come from `rolling`'):
        Regularity(columns=("bytes",)).compile(EXAMPLE, {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"values": 300}, "wanted 1 to 256 values and 2 to 64 gaps"),
        ({"gaps": 1}, "wanted 1 to 256 values and 2 to 64 gaps"),
        ({"tolerance": 1.0}, "tolerance is 1, wanted more than 0 and less than 1"),
        ({"apart": "3h"}, "an apart_us of at least 1, no longer than window_us"),
    ],
)
def test_parameters_out_of_their_ranges_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("regularity", {"columns": ["protocol"], **parameters}))

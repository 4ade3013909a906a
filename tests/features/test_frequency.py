from __future__ import annotations

import numpy as np
import pytest

from tocsin.component import PartSpec, build
from tocsin.errors import ConfigError, SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.frequency import Frequency
from tocsin.kernel.run import Kernel
from tocsin.records import SECOND, Batch


def test_what_is_everyday_for_one_entity_is_rare_for_another() -> None:
    kernel = Kernel(compile_program(EXAMPLE, (), [Frequency(columns=("protocol",), window=3_600.0)], Batch({})))
    protocols = ["udp"] * 9 + ["udp"] + ["tcp"] * 9 + ["udp"]
    rows = Batch(
        {
            "time": np.arange(20, dtype=np.int64) * SECOND,
            "host": np.array(["resolver"] * 10 + ["browser"] * 10, dtype=object),
            "protocol": np.array(protocols, dtype=object),
        }
    )
    got = kernel.run(rows, kernel.start()).values[:, 0]
    assert got[[9, 19]].tolist() == [1.0, 0.1]


def test_a_field_of_floats_is_refused_with_what_fits_it() -> None:
    with pytest.raises(SchemaError, match=r'field "bytes", a float(.|\n)*come from `rolling`'):
        Frequency(columns=("bytes",)).compile(EXAMPLE, {})


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"bins": 100}, "bins is 100, wanted a power of two from 16 to 4,096"),
        ({"bins": 4_096, "panes": 32}, "32 panes of 32,772 bytes take 1,081,488 bytes of every entity"),
        ({"panes": 0}, "panes is 0, wanted 1 to 1024"),
        ({"window": "never"}, "a duration"),
    ],
)
def test_parameters_that_make_no_window_are_refused(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build("features", PartSpec("frequency", {"columns": ["protocol"], **parameters}))

"""The golden hash: it covers every operation, and stands for the bits of every machine."""

from __future__ import annotations

import subprocess
import sys
from types import FunctionType

import numpy as np

from tocsin.kernel import golden
from tocsin.kernel.entities import COLD, LATE, NOT_ADMITTED, STEPPED_BACK, TOO_LATE
from tocsin.kernel.plan import _KINDS
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.kernel.state import REPEATED, WARMING_UP, KernelState


def computed(kernel: type[Kernel]) -> FeatureMatrix:
    one = kernel(golden.program(), entities=golden.ENTITIES)
    return one.run(golden.stream(), one.start())


def test_this_machine_gives_the_bits_of_every_other() -> None:
    """Raise `checkpoint.ARITHMETIC` with every change of the constant: stored states hold what the old one meant."""
    assert golden.golden() == golden.GOLDEN


def test_the_sources_give_the_golden_bits_too(sources: type[Kernel]) -> None:
    assert golden.hashed(computed(sources)) == golden.GOLDEN


def test_the_sources_are_another_kernel(sources: type[Kernel]) -> None:
    assert isinstance(type(sources(golden.program()).start()).compute, FunctionType)
    assert not isinstance(getattr(KernelState, "compute", None), FunctionType)


def test_every_operation_is_covered() -> None:
    assert {operation.kind for operation in golden.program().operations} == set(_KINDS)


def test_every_output_says_something() -> None:
    columns = computed(Kernel).values.T
    told = {
        name: len(np.unique(column[~np.isnan(column)]))
        for name, column in zip(golden.program().outputs, columns, strict=True)
    }
    assert [name for name, values in told.items() if values < 2] == []


def test_the_stream_has_every_mark() -> None:
    marks = np.bitwise_or.reduce(computed(Kernel).marks)
    assert marks == LATE | TOO_LATE | NOT_ADMITTED | COLD | STEPPED_BACK | WARMING_UP | REPEATED


def test_the_hash_needs_nothing_but_the_kernel() -> None:
    script = "import sys; from tocsin.kernel import golden; print(golden.golden(), 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{golden.GOLDEN} False"

"""Scores equal those of the libraries whose models are taken over; `benchmarks/parity.py` asks every set."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.parity import BAR, LIBRARIES, differences, tables

from tocsin.bench.cases import named


@pytest.mark.parametrize(("of", "name"), [("adbench", "14_glass"), ("smd", "machine-1-6")])
def test_scores_are_those_of_the_libraries(of: str, name: str, data: Path) -> None:
    (case,) = (case for case in named((of,), data) if case.name == name)
    found = differences(*tables(case))
    assert found.keys() == LIBRARIES.keys()
    assert max(found.values()) <= BAR, found

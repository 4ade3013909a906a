from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.checks.feature import CHECKS
from tocsin.component import catalogue, part
from tocsin.features.base import Feature


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", catalogue("features"))
def test_contract(name: str, check: Callable[[type[Feature], Path], None], tmp_path: Path) -> None:
    kind = part("features", name)
    assert issubclass(kind, Feature)
    check(kind, tmp_path)

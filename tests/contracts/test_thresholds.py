from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.checks.threshold import CHECKS
from tocsin.component import catalogue, part
from tocsin.thresholds.base import Threshold


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", catalogue("thresholds"))
def test_contract(name: str, check: Callable[[type[Threshold], Path], None], tmp_path: Path) -> None:
    kind = part("thresholds", name)
    assert issubclass(kind, Threshold)
    check(kind, tmp_path)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.checks.source import CHECKS
from tocsin.component import catalogue, part
from tocsin.sources.base import Source


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", catalogue("sources"))
def test_contract(name: str, check: Callable[[type[Source], Path], None], tmp_path: Path) -> None:
    kind = part("sources", name)
    assert issubclass(kind, Source)
    check(kind, tmp_path)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.checks.sink import CHECKS
from tocsin.component import catalogue, part
from tocsin.sinks.base import Sink


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", catalogue("sinks"))
def test_contract(name: str, check: Callable[[type[Sink], Path], None], tmp_path: Path) -> None:
    kind = part("sinks", name)
    assert issubclass(kind, Sink)
    check(kind, tmp_path)

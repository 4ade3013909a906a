from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.checks.registry import CHECKS, Check, StoreFactory
from tocsin.storage import LocalStore


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make", [LocalStore])
def test_contract(make: StoreFactory, check: Check, tmp_path: Path) -> None:
    check(make, tmp_path)

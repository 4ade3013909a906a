"""Fixtures shared by all tests: a seeded generator, the real data, and what a skip means."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REQUIRE_ALL = os.environ.get("TOCSIN_REQUIRE_ALL") == "1"


def need(condition: bool, reason: str) -> None:
    """Skip with a reason, or fail where everything must be there."""
    if condition:
        return
    if REQUIRE_ALL:
        pytest.fail(f"TOCSIN_REQUIRE_ALL is set and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="need")
def _need() -> Callable[[bool, str], None]:
    """The function `need`, for tests that cannot import this file."""
    return need


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that can be set by TOCSIN_SEED and is shown when the test fails."""
    value = int(os.environ.get("TOCSIN_SEED", "20261120"))
    request.node.add_report_section("setup", "seed", f"TOCSIN_SEED={value}")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real labelled data."""
    folder = os.environ.get("TOCSIN_DATA")
    need(bool(folder), "TOCSIN_DATA does not name the folder of real data")
    assert folder is not None
    return Path(folder)

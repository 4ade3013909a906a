"""Both kernels at once: the compiled one and its sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import need

from tocsin.checks.feature import interpreted
from tocsin.kernel import state
from tocsin.kernel.run import Kernel


@pytest.fixture(scope="session")
def sources() -> type[Kernel]:
    """The kernel run from its sources, where the one that is imported is compiled."""
    need(
        Path(state.__file__).suffix != ".py", "the kernel is not compiled: there is nothing to hold its sources against"
    )
    return interpreted()

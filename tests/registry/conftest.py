"""Publishers for the tests of this folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from tests.registry.publisher import __file__ as program
from tests.registry.sites import Publishers


@pytest.fixture(scope="module")
def publishers() -> Iterator[Publishers]:
    command = [sys.executable, program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Publishers(process)
        process.stdin.close()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a figure that a test found; pytest shows it with -rP."""
    return lambda figure: request.node.add_report_section("call", "figures", figure)

"""How this kernel came to run: compiled at installation, or from its sources."""

from __future__ import annotations

import os
from pathlib import Path

from tocsin.kernel import state

SETTING = "TOCSIN_KERNEL"
"""Of the environment; `interpreted` takes the sources also where there are compiled modules."""
SLOWDOWN = 60
"""About how many times as long a row takes interpreted: `docs/decisions/0007` has the measurement."""


def compiled() -> bool:
    """Whether the loop over rows runs as machine code."""
    return Path(state.__file__).suffix != ".py"


def asked_for() -> bool:
    """Whether somebody wants the sources to run, for a comparison."""
    return os.environ.get(SETTING) == "interpreted"

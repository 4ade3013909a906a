"""What a training may take: looked at between its stages, before anything is published."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tocsin.config import LimitsConfig
from tocsin.errors import LimitExceeded

_PROCESS = Path("/proc/self")
_FORGET_PEAK = "5"
"""Written to clear_refs, it sets the peak to what is held now (proc(5))."""


def peak_memory_bytes() -> int:
    """The most memory this process has held since the last `Limits` began, or where that cannot be told, ever."""
    with suppress(OSError, StopIteration, ValueError):
        lines = (_PROCESS / "status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1_024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1_024


class Limits:
    """Ends a training that takes more time or memory than the config allows.

    Parameters
    ----------
    config
        The declared limits.
    clock
        Seconds that only grow.
    """

    def __init__(self, config: LimitsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._start = clock()
        with suppress(OSError):
            (_PROCESS / "clear_refs").write_text(_FORGET_PEAK, "ascii")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return self._clock() - self._start

    def check(self, stage: str) -> None:
        """Go on with this stage, or end.

        Raises
        ------
        LimitExceeded
            Naming the limit, what was taken and what to change.
        """
        allowed = self._config.train_time
        if allowed is not None and self.elapsed_s > allowed:
            self._end("$.limits.train_time", stage, f"{self.elapsed_s:.1f} s", f"at most {allowed:g} s")
        memory = self._config.memory
        if memory is not None and peak_memory_bytes() > memory:
            used = f"{peak_memory_bytes() / 1e6:.0f} MB"
            self._end("$.limits.memory", stage, used, f"at most {memory / 1e6:.0f} MB")

    def _end(self, where: str, stage: str, got: str, wanted: str) -> None:
        hint = "nothing was published; give less history, fewer features or a higher limit"
        raise LimitExceeded(where, f"{got} before {stage}", wanted, hint)

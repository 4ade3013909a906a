"""What a training may take: looked at between its stages, before anything is published."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

from tocsin.config import LimitsConfig
from tocsin.errors import LimitExceeded


def peak_memory_bytes() -> int:
    """The most memory this process has held so far."""
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

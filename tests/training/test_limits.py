"""A training ends at its limits with a sentence."""

from __future__ import annotations

import pytest

from tocsin.config import LimitsConfig
from tocsin.errors import LimitExceeded
from tocsin.training.limits import Limits, peak_memory_bytes


def test_time_runs_out_by_the_given_clock() -> None:
    now = 0.0
    limits = Limits(LimitsConfig(train_time=10.0), clock=lambda: now)
    limits.check("features")
    now = 11.0
    with pytest.raises(LimitExceeded, match=r"11\.0 s before detector.*nothing was published|train_time"):
        limits.check("detector")


def test_memory_is_held_against_the_peak() -> None:
    Limits(LimitsConfig(memory=peak_memory_bytes() * 2)).check("features")
    with pytest.raises(LimitExceeded, match=r"limits\.memory"):
        Limits(LimitsConfig(memory=1_000_000)).check("features")


def test_without_limits_nothing_ends() -> None:
    Limits(LimitsConfig(), clock=iter(range(0, 10**9, 10**6)).__next__).check("features")

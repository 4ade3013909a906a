"""Work on other processes: all answers, or a refusal that says what to do."""

from __future__ import annotations

import os

import pytest

from tocsin.errors import LimitExceeded
from tocsin.training.workers import spread_over


def doubled(task: int) -> int:
    if task < 0:
        os._exit(1)
    return 2 * task


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_answered(workers: int) -> None:
    with spread_over(workers, doubled) as spread:
        assert sorted(spread([1, 2, 3])) == [(1, 2), (2, 4), (3, 6)]


def test_a_worker_that_is_ended_is_said_with_what_to_do() -> None:
    with pytest.raises(LimitExceeded, match="fewer --workers"), spread_over(2, doubled) as spread:
        list(spread([1, -1]))

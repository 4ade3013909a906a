"""What the candidate takes on a disk and on the way to an edge device."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.evaluation.gates.base import Asked, Case, gate
from tocsin.records import Judgement


@gate("<= 1")
def size(case: Case, asked: Asked) -> Iterator[Judgement]:
    """A model that does not fit is found out by the machine that has to hold it, at the time when it is needed.

    Of its bytes, as a share of `registry.max_size`.
    """
    share = case.size_bytes / case.max_size_bytes
    yield asked.judged(share, f"{case.size_bytes / 1e6:.3g} MB of {case.max_size_bytes / 1e6:.3g} MB")

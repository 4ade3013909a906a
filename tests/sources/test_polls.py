from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tocsin.component import seconds
from tocsin.errors import DataError, LimitExceeded
from tocsin.records import ROW
from tocsin.sources import base_polls
from tocsin.sources.base_polls import PollingSource


class Ticks(PollingSource):
    """Says how often it was polled, on a clock that moves when it sleeps."""

    def __init__(self, *, interval: float = 10.0, samples: int | None = None) -> None:
        super().__init__(interval=interval, samples=samples)
        self.time = 1_000.0
        self.polls = 0
        self._now = self._elapsed = lambda: self.time
        self._sleep = self.pass_time

    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    def _begin(self) -> None:
        pass

    def _poll(self) -> Mapping[str, object]:
        self.polls += 1
        return {"device_id": "here", "polls": self.polls}


@pytest.fixture
def source() -> Iterator[Ticks]:
    source = Ticks()
    source.open()
    yield source
    source.close()


def polls(source: Ticks, rows: int) -> list[float]:
    return [batch["polls"][0] for _ in range(rows) if (batch := source.read(60.0))]


def test_a_row_comes_an_interval_after_opening_and_not_before(source: Ticks) -> None:
    assert source.read(4.0) is None
    assert source.time == 1_004.0
    assert source.read(4.0) is None
    batch = source.read(4.0)
    assert batch is not None
    assert source.time == 1_010.0
    assert batch["timestamp"].astype("datetime64[s]").astype(int).tolist() == [1_010]


def test_polls_that_a_slow_reader_missed_are_left_out(source: Ticks) -> None:
    assert polls(source, 1) == [1.0]
    source.pass_time(35.0)
    assert polls(source, 1) == [2.0]
    before = source.time
    assert polls(source, 1) == [3.0]
    assert source.time - before >= 5.0, "two rows never lie closer together than half an interval"


def test_what_was_not_acknowledged_comes_again_and_is_not_polled_again(source: Ticks) -> None:
    assert polls(source, 3) == [1.0, 2.0, 3.0]
    source.close()
    source.open()
    first = source.read(0.0)
    assert first is not None
    position = source.acknowledge(first)
    source.close()
    source.open(position)
    again = source.read(0.0)
    assert again is not None
    assert (again["polls"][0], again[ROW][0]) == (2.0, 2)
    assert source.polls == 3


def test_a_number_of_samples_ends_it_also_across_openings() -> None:
    source = Ticks(samples=3)
    source.open()
    batch = source.read(60.0)
    assert batch is not None
    position = source.acknowledge(batch)
    source.open(position)
    assert polls(source, 5) == [2.0, 3.0]
    assert source.ended


def test_a_reader_that_never_acknowledges_is_stopped(source: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_polls, "MAX_HELD", 3)
    assert polls(source, 3) == [1.0, 2.0, 3.0]
    with pytest.raises(LimitExceeded, match="3 rows unacknowledged"):
        source.read(60.0)


def test_a_closed_source_cannot_be_read() -> None:
    with pytest.raises(DataError, match="read of a closed source"):
        Ticks().read(0.0)


def test_an_interval_too_short_to_tell_anything_is_refused() -> None:
    with pytest.raises(ValueError, match=r"interval is 0.05 s, wanted at least 0.1 s"):
        Ticks(interval=seconds("50ms"))

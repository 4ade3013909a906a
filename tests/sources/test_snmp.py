"""Agents over the wire, in minutes that pass at once: what they count, and those that mean harm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.sources.snmp_agent import IF, OCTETS, UPTIME, Agent, answer, device, everything, number, port, rates

from tocsin.checks.source import CHECKS
from tocsin.errors import LimitExceeded, SourceLost
from tocsin.records import ROW, Batch
from tocsin.sources import base_polls, base_snmp_agents, base_snmp_polls
from tocsin.sources.base import Source
from tocsin.sources.base_snmp_polls import Access, Moment, Patience, Result, Unanswered, poll
from tocsin.sources.snmp import Snmp

NAN = float("nan")


class Clockwork:
    """A clock that moves on only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, before: Callable[[float], None] = lambda _: None) -> None:
        self.seconds, self._before = 0.0, before
        monkeypatch.setattr(Snmp, "_elapsed", lambda _: self.seconds)
        monkeypatch.setattr(Snmp, "_now", lambda _: 1.7e9 + self.seconds)
        monkeypatch.setattr(Snmp, "_sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self._before(self.seconds)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_holds_of_every_source_holds_over_the_wire(
    check: Callable[[type[Source], Path], None], tmp_path: Path
) -> None:
    with Agent(device(60, port(1, 1_000))) as one, Agent(device(70, port(1, 2_000))) as other:

        def example(cls: type[Snmp], folder: Path) -> Snmp:
            return cls(agents=(one.name, other.name), samples=3, interval=0.1)

        check(type("Snmp", (Snmp,), {"example": classmethod(example)}), tmp_path)


def test_a_read_returns_though_an_agent_is_still_waited_for() -> None:
    with Agent(device(60)) as one, Agent({}, lambda ask, request: iter(())) as silent:
        source = Snmp(agents=(one.name, silent.name), timeout=60.0)
        source.open()
        first = source.read(0.01)
        assert first is not None
        assert first.rows == 1
        assert source.read(0.01) is None
        assert not source.ended
        source.close()


def test_what_a_read_has_slept_it_does_not_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Waiting(base_snmp_polls.Round):
        def next(self, timeout_s: float) -> Result | None:
            waited.append(timeout_s)
            return super().next(10.0)

    clock = Clockwork(monkeypatch)
    with Agent(device(60)) as agent:
        source = Snmp(agents=(agent.name,), interval=60.0)
        source.open()
        source.read(0.0)
        monkeypatch.setattr(base_snmp_agents, "Round", Waiting)
        assert source.read(59.0) is None
        assert source.read(1.5) is not None
        source.close()
    assert (clock.seconds, waited) == (60.0, [0.5])


# --- counters over the wire, in minutes that pass at once -------------------------------------------------------------


def totals_of(polls: list[tuple[float, list[dict[str, bytes]]]], monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The rows of one agent that answers with these uptimes and interfaces, a minute apart."""
    with Agent(device(polls[0][0], *polls[0][1])) as agent:

        def move_on(seconds: float) -> None:
            uptime, ports = polls[round(seconds / 60)]
            agent.objects = device(uptime, *ports)

        Clockwork(monkeypatch, before=move_on)
        return everything(Snmp(agents=(agent.name,), interval=60, samples=len(polls)))


def test_a_32_bit_wrap_on_the_wire_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [2**32 - 600, 2**32 + 600, 2**32 + 1_800]
    batches = totals_of([(60.0 * (n + 5), [port(1, octets)]) for n, octets in enumerate(steps)], monkeypatch)
    assert [int(batch[OCTETS][0]) for batch in batches] == steps
    np.testing.assert_allclose(rates(batches)[1:], 20.0)


@pytest.mark.parametrize("reset", ["nan", "from_zero"])
def test_an_index_with_another_name_is_another_interface(monkeypatch: pytest.MonkeyPatch, reset: str) -> None:
    polls = [
        (300.0, [port(1, 10**6), port(2, 500)]),
        (360.0, [port(1, 10**6 + 6_000), port(2, 10**9, name="wan")]),
        (420.0, [port(1, 10**6 + 12_000), port(2, 10**9 + 60, name="wan"), port(3, 7 * 10**8)]),
        (480.0, [port(1, 10**6 + 18_000), port(3, 7 * 10**8 + 600)]),
    ]
    np.testing.assert_allclose(rates(totals_of(polls, monkeypatch), reset=reset)[1:], [100, 101, 110])


def test_where_no_counter_went_on_there_is_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["a", "a", "b", "b"]
    polls = [(300.0 + 60 * n, [port(1, 10**6 + 600 * n, name=name)]) for n, name in enumerate(names)]
    np.testing.assert_array_equal(rates(totals_of(polls, monkeypatch)), [NAN, 10, NAN, 10])


def test_a_table_that_is_absent_for_a_while_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [[port(1, 0)], [port(1, 600)], [], [port(1, 1_800)]]
    batches = totals_of([(300.0 + 60 * n, ports) for n, ports in enumerate(steps)], monkeypatch)
    assert np.isnan(batches[2][OCTETS][0])
    np.testing.assert_array_equal(rates(batches), [NAN, 10, NAN, 10])


def test_a_device_that_was_away_and_restarted_shows_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    polls = [(90.0, [port(1, 500)]), (150.0, [port(1, 1_100)]), (30.0, [port(1, 9_000)]), (90.0, [port(1, 9_600)])]
    np.testing.assert_array_equal(rates(totals_of(polls, monkeypatch)), [NAN, 10, NAN, 10])


@pytest.mark.parametrize("uptime", ["sys_uptime_sec", None])
def test_two_restarts_in_a_row_are_two_gaps_and_no_spike(monkeypatch: pytest.MonkeyPatch, uptime: str | None) -> None:
    polls = [
        (300.0, [port(1, 500, bits=64)]),
        (360.0, [port(1, 1_100, bits=64)]),
        (20.0, [port(1, 9_000, bits=64)]),
        (30.0, [port(1, 10**12, bits=64)]),
        (90.0, [port(1, 10**12 + 600, bits=64)]),
    ]
    batches = totals_of(polls, monkeypatch)
    assert [int(batch[OCTETS][0]) for batch in batches] == [500, 1_100, 1_099, 1_098, 1_698]
    np.testing.assert_array_equal(rates(batches, uptime=uptime), [NAN, 10, NAN, NAN, 10])


def test_another_process_goes_on_behind_the_position_and_tells_no_rate_over_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Agent(device(300, port(1, 10**9))) as agent:
        Clockwork(monkeypatch)
        first, second = (Snmp(agents=(agent.name,), samples=samples) for samples in (1, 2))
        first.open()
        before = first.read(1.0)
        assert before is not None
        position = first.acknowledge(before)
        first.close()
        agent.objects = device(360, port(1, 10**9 + 600))
        second.open(position)
        after = second.read(1.0)
        second.close()
    assert after is not None
    assert second.ended
    assert after[ROW].tolist() == [2]
    assert (before[OCTETS][0], after[OCTETS][0]) == (1e9, 0.0)


def test_what_nobody_acknowledges_is_held_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_polls, "MAX_HELD", 2)
    Clockwork(monkeypatch)
    with Agent(device(300)) as agent:
        source = Snmp(agents=(agent.name,))
        source.open()
        assert source.read(100.0) is not None
        assert source.read(100.0) is not None
        with pytest.raises(LimitExceeded, match="2 rows unacknowledged"):
            source.read(100.0)
        source.close()


def test_where_nobody_answers_the_first_poll_the_source_is_lost() -> None:
    with Agent({}) as agent:
        pass
    with pytest.raises(SourceLost, match=r"no agent that answers: .*connection refused.*, wanted an answer to the"):
        Snmp(agents=(agent.name, "no-such-host.invalid")).open()


def test_of_more_agents_than_are_asked_at_one_time_all_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_snmp_polls, "MAX_AT_ONCE", 1)
    with Agent(device(60)) as one, Agent({}, lambda ask, request: iter(())) as silent, Agent(device(60)) as other:
        names = (one.name, silent.name, other.name)
        batches = everything(Snmp(agents=names, samples=1, timeout=0.2, retries=0))
    assert [batch.rows for batch in batches] == [1, 0, 1]
    assert batches[1].rejected[0].reason == "no_answer"


# --- agents that mean harm --------------------------------------------------------------------------------------------


def asked(agent: str, *, patience: Patience | None = None) -> Result:
    who = Access("public")
    return asyncio.run(poll(agent, who, patience or Patience(0.3, 0, 3.0), lambda: Moment(0, 0.0)))


def falling(ask: bytes, request: int) -> bytes:
    return answer(ask, request, [(f"{IF}.2.{9 - n}", number(5)) for n in range(3)])


def flood(ask: bytes, request: int) -> Iterator[bytes]:
    for _ in range(20):
        time.sleep(0.05)
        yield answer(ask, request + 1, [(UPTIME, number(1))])


@pytest.mark.parametrize(
    ("speak", "reason"),
    [
        (lambda ask, request: iter(()), "no_answer"),
        (flood, "no_answer"),
        (lambda ask, request: iter([b"\x00\xffgarbage"]), "bad_answer"),  # the library's decoder panics
        (lambda ask, request: iter([b"\x30"]), "bad_answer"),
        (lambda ask, request: iter([answer(ask, request, [(UPTIME, number(5))])[:-3]]), "bad_answer"),
        (lambda ask, request: iter([answer(ask, request, [])]), "no_values"),
        (lambda ask, request: iter([answer(ask, request, [(f"{IF}.2.1", number(5))])]), "not_increasing"),
        (lambda ask, request: iter([falling(ask, request)]), "not_increasing"),
    ],
)
def test_an_agent_that_means_harm_is_refused_with_a_reason(
    speak: Callable[[bytes, int], Iterator[bytes]], reason: str
) -> None:
    with Agent({}, speak) as agent:
        values = asked(agent.name).values
    assert isinstance(values, Unanswered)
    assert values.reason == reason


def test_a_table_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_snmp_polls, "MAX_VALUES", 100)
    with Agent(device(60, *(port(n, n) for n in range(1, 100)))) as agent:
        values = asked(agent.name).values
    assert isinstance(values, Unanswered)
    assert (values.reason, values.detail) == ("too_large", f"more than 100 values in {IF}")


def test_an_agent_that_takes_its_time_for_every_answer_is_given_up() -> None:
    def slow(ask: bytes, request: int) -> Iterator[bytes]:
        time.sleep(0.1)
        yield answer(ask, request, [(f"{IF}.2.{time.monotonic_ns() % 2**31}", number(1))])

    with Agent({}, slow) as agent:
        values = asked(agent.name, patience=Patience(0.5, 0, 0.35)).values
    assert isinstance(values, Unanswered)
    assert values.reason == "too_slow"


def test_a_request_is_sent_again() -> None:
    lost = [True, True, False]

    def speak(ask: bytes, request: int) -> Iterator[bytes]:
        if not (lost.pop(0) if lost else False):
            yield answer(ask, request, [(UPTIME, number(100))])

    with Agent({}, speak) as agent:
        values = asked(agent.name, patience=Patience(0.2, 2, 3.0)).values
    assert not isinstance(values, Unanswered)
    assert values[UPTIME] == 100

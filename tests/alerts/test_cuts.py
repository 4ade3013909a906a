"""Any cut of a stream into batches rings the same alerts, whether the policy lived on or came back from its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.alerts.flagged import COOLDOWN_S, LEVEL_P, START, flagged, part

from tocsin.alerts import (
    AlertPolicy,
    BudgetController,
    FlaggedRows,
    Incidents,
    Maintenance,
    Quieting,
    Restraint,
    Scope,
)
from tocsin.records import FILE, ROW, SECOND, Alert, Batch
from tocsin.scoring.ordering import EventTime

DAYS = 86_400
CAUSES = ("bytes", "ports", "duration")
Step = tuple[int, int, str, str, float, int]
"""Seconds to the row before, how late it is, entity, cause, ease, and how unlikely."""

STREAM = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 30, 119, 120, 600, 20_000]),
        st.sampled_from([0, 0, 0, 40, 200, 4_000]),
        st.sampled_from(["a", "b", "c", "d", "\ud800", ""]),
        st.sampled_from(CAUSES),
        st.sampled_from([0.2, 0.9, 1.0, 1.5, 5.0]),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=60,
)
CUTS = st.lists(st.integers(0, 60), max_size=8)


def stream(steps: Sequence[Step]) -> FlaggedRows:
    """Rows as they arrive, some later than their times say."""
    seconds = np.cumsum([step[0] for step in steps])
    rows = [(int(second) - step[1], step[2]) for second, step in zip(seconds, steps, strict=True)]
    return replace(
        flagged(rows, causes=[step[3] for step in steps]),
        ease=np.array([step[4] for step in steps]),
        p_value=np.array([LEVEL_P / 4.0 ** step[5] for step in steps]),
    )


def policy(*, limit: int | None = None, adapting: bool = False) -> AlertPolicy:
    """With everything that a policy can have and that no time of day has a say in."""
    under = Maintenance(Scope("b"), START + 300 * SECOND, START + 900 * SECOND)
    return AlertPolicy(
        cooldown_s=COOLDOWN_S,
        controller=BudgetController(3.0) if adapting else None,
        restraint=Restraint(
            at_most_per_day=limit,
            incidents=Incidents(3, 300.0),
            quieting=Quieting([Scope("c", "ports"), Scope("d")], [under]),
        ),
    )


def pieces(rows: FlaggedRows, cuts: Sequence[int]) -> list[FlaggedRows]:
    size = len(rows.score)
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    return [part(rows, begin, end) for begin, end in pairwise(edges)]


def told(alerts: Sequence[Alert]) -> list[tuple[str, str, str, tuple[str, ...], str]]:
    return sorted((item.id, item.quiet, item.incident, item.entities, item.cause) for item in alerts)


@given(steps=STREAM, cuts=CUTS, limit=st.sampled_from([None, 1, 3]), adapting=st.booleans(), killed=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_cut_rings_the_same_alerts(
    steps: list[Step], cuts: list[int], limit: int | None, adapting: bool, killed: bool
) -> None:
    rows, deciding = stream(steps), policy(limit=limit, adapting=adapting)
    whole, apart = policy(limit=limit, adapting=adapting), list[Alert]()
    together = whole.decide(rows)
    for piece in pieces(rows, cuts):
        apart.extend(deciding.decide(piece))
        if killed:
            kept = orjson.dumps(deciding.state())
            deciding = policy(limit=limit, adapting=adapting)
            deciding.restore(orjson.loads(kept))
    assert told(apart) == told(together)
    assert deciding.state() == whole.state()


@given(steps=STREAM, cuts=CUTS)
@settings(max_examples=60, deadline=None)
def test_no_episode_is_delivered_twice_and_incidents_only_take_from_what_rings(
    steps: list[Step], cuts: list[int]
) -> None:
    rows = stream(steps)
    plain = AlertPolicy(cooldown_s=COOLDOWN_S)
    alone = [item.id for piece in pieces(rows, cuts) for item in plain.decide(piece)]
    restrained = policy()
    rung = [item for piece in pieces(rows, cuts) for item in restrained.decide(piece)]
    delivered = [item for item in rung if not item.quiet]
    assert len(delivered) <= len(alone)
    assert len({item.id for item in rung}) == len(rung)


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    cuts=CUTS,
)
@settings(max_examples=60, deadline=None)
def test_rows_that_come_in_any_order_within_the_wait_ring_as_sorted_ones(
    steps: list[tuple[int, str]], order: Random, cuts: list[int]
) -> None:
    """Times differ, so that their order is one; rows are let go by the time they came, none later than the wait."""
    wait = 600
    seconds = np.cumsum([1 + step for step, _ in steps])
    rows = [(int(second), entity) for second, (_, entity) in zip(seconds, steps, strict=True)]
    shuffled = sorted(rows, key=lambda row: row[0] + order.randint(0, wait))
    in_order = {item.id for item in AlertPolicy(cooldown_s=COOLDOWN_S).decide(flagged(rows))}
    waiting, deciding, found = EventTime("time", wait * SECOND), AlertPolicy(cooldown_s=COOLDOWN_S), set[str]()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for begin, end in pairwise(edges):
        released = waiting.push(_batch(shuffled[begin:end]))
        assert not released.too_late.rows
        found |= _rung(deciding, released.in_order)
    assert found | _rung(deciding, waiting.flush()) == in_order


def _batch(rows: Sequence[tuple[int, str]]) -> Batch:
    times = START + np.array([second for second, _ in rows], dtype=np.int64) * SECOND
    names = np.array([entity for _, entity in rows], dtype=object)
    return Batch({"time": times, "host": names, FILE: names, ROW: np.arange(len(rows))})


def _rung(deciding: AlertPolicy, batch: Batch) -> set[str]:
    if not batch.rows:
        return set()
    seconds = ((batch["time"] - START) // SECOND).tolist()
    return {item.id for item in deciding.decide(flagged(list(zip(seconds, batch["host"].tolist(), strict=True))))}


def test_live_rows_and_those_of_one_that_catches_up_do_not_ring_in_turns() -> None:
    deciding, hour = AlertPolicy(cooldown_s=COOLDOWN_S), 3_600
    rows = [row for second in range(0, 1_800, 30) for row in ((10 * hour + second, "a"), (second, "a"))]
    assert len(deciding.decide(flagged(rows))) == 2


def test_rows_older_than_all_that_is_remembered_are_silent_and_the_memory_stays_small() -> None:
    deciding = AlertPolicy(cooldown_s=COOLDOWN_S)
    assert len(deciding.decide(flagged([(1_000 * number, "a") for number in range(10, 20)]))) == 10
    assert deciding.decide(flagged([(second, "a") for second in range(0, 5_000, 500)])) == ()
    assert [len(known) for _, known in deciding.state()["episodes"]] == [4]


def test_the_state_of_ten_thousand_entities_is_small() -> None:
    deciding = policy()
    deciding.decide(flagged([(number, f"host-{number}") for number in range(10_000)]))
    assert len(orjson.dumps(deciding.state())) < 1_000_000


def test_a_state_of_a_policy_without_these_parts_is_taken_as_far_as_it_goes() -> None:
    plain, full = AlertPolicy(cooldown_s=COOLDOWN_S), policy(adapting=True)
    plain.decide(flagged([(0, "a")]))
    full.restore(plain.state())
    assert full.decide(flagged([(60, "a")], ease=0.1)) == ()
    plain.restore(policy(adapting=True).state())
    assert len(plain.decide(flagged([(0, "a")]))) == 1

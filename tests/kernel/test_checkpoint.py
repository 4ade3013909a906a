"""A checkpoint is the state at a moment: whole and its own, or refused."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.kernel.streams import PROGRAMS, Row, any_streams, batch, of, program, same, steady_streams

from tocsin.errors import IntegrityError
from tocsin.kernel import checkpoint
from tocsin.kernel.checkpoint import HASH_BYTES, dump, load, rebuild, restore, save
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import Kernel
from tocsin.kernel.state import KernelState
from tocsin.records import SECOND, Batch

PROPERTY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
COUNT = Operation("panes", (), ("rows",), {"pane_us": SECOND, "panes": 12, "statistics": ["count"], "min_count": 1})


def counting(entities: int = 4, panes: int = 12) -> Kernel:
    constants = {**COUNT.constants, "panes": panes}
    operation = Operation("panes", (), ("rows",), constants)
    return Kernel(Program((operation,), ("rows",), time="time", entity="host"), entities=entities)


def hosts(*names: str, begin: int = 0) -> Batch:
    times = (begin + np.arange(len(names))) * SECOND
    return Batch({"host": np.array(names, dtype=object), "time": times})


def after(kernel: Kernel, *batches: Batch) -> KernelState:
    state = kernel.start()
    for rows in batches:
        kernel.run(rows, state)
    return state


@pytest.mark.parametrize("name", PROGRAMS)
@PROPERTY
@given(rows=any_streams(), cut=st.integers(0, 40), entities=st.sampled_from([1, 2, 20]))
def test_a_state_read_back_goes_on_with_the_same_bits(name: str, rows: list[Row], cut: int, entities: int) -> None:
    kernel = Kernel(program(name), entities=entities)
    state = after(kernel, batch(rows[:cut]))
    again = load(Kernel(program(name), entities=entities), dump(state))
    same(of(kernel.run(batch(rows[cut:]), again)), of(kernel.run(batch(rows[cut:]), state)))
    assert dump(again) == dump(state)


@PROPERTY
@given(names=st.lists(st.sampled_from("abcdefgh\ud800é"), max_size=60), cut=st.integers(0, 60))
def test_who_is_given_up_and_who_is_let_in_stays_the_same(names: list[str], cut: int) -> None:
    kernel = counting(entities=3)
    state = after(kernel, hosts(*names[:cut]))
    again = load(kernel, dump(state))
    rest = hosts(*names[cut:], begin=cut)
    same(of(kernel.run(rest, again)), of(kernel.run(rest, state)))
    assert dump(again) == dump(state)


def test_a_program_that_remembers_nothing_has_a_small_checkpoint() -> None:
    kernel = Kernel(Program((Operation("log1p", ("x",), ("log_x",)),), ("log_x",)))
    data = dump(kernel.start())
    assert len(data) < 300
    assert len(load(kernel, data)) == 0


def test_names_that_were_refused_are_few_bytes() -> None:
    kernel = counting(entities=2)
    few, many = after(kernel, hosts("a", "b")), after(kernel, hosts("a", "b", "c", "d"))
    assert len(dump(many)) - len(dump(few)) == 2 * 12


def test_a_state_moves_to_more_places_and_to_fewer() -> None:
    data = dump(after(counting(entities=3), hosts("a", "b")))
    larger = counting(entities=50)
    assert larger.run(hosts("a", "z", begin=2), load(larger, data)).values[:, 0].tolist() == [2, 1]
    assert len(load(counting(entities=2), data)) == 2


@pytest.mark.parametrize("together", [1, 2, 1_024])
def test_of_too_many_entities_those_longest_unheard_of_are_given_up(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(checkpoint, "_TOGETHER", together)
    data = dump(after(counting(entities=5), hosts("a", "b", "c", "d", "a")))
    kernel = counting(entities=2)
    state = load(kernel, data)
    assert state.entities.names == ["d", "a"]
    assert kernel.run(hosts("a", "d", begin=5), state).values[:, 0].tolist() == [3, 2]
    again = kernel.run(hosts("b", "b", begin=7), state)  # let in on its second row, like any other
    assert again.values[:, 0].tolist() == [1, 1]
    assert again.unsure.all(), "it lacks what it was"


@pytest.fixture
def data() -> bytes:
    """Of three entities with two refused."""
    return dump(after(counting(entities=3), hosts("a", "b", "c", "d", "e")))


@PROPERTY
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    kernel = counting(entities=3)
    whole = bytearray(dump(after(kernel, hosts("a", "b", "c", "d", "e"))))
    whole[place % len(whole)] ^= 1 << bit
    with pytest.raises(IntegrityError):
        load(kernel, bytes(whole))


def test_a_checkpoint_that_ends_early_or_late_is_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(IntegrityError):
            load(counting(entities=3), data[:end])
    with pytest.raises(IntegrityError, match="behind the header"):
        load(counting(entities=3), data + b"\0")


def test_another_program_another_format_and_another_arithmetic_are_refused(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(IntegrityError, match=r"checkpoint\n  got the state of program \w{14}, wanted program \w{14}"):
        load(counting(entities=3, panes=11), data)
    with pytest.raises(IntegrityError, match="format 2, wanted format 1"):
        load(counting(entities=3), data[:12] + struct.pack("<H", 2) + data[14:])
    monkeypatch.setattr(checkpoint, "ARITHMETIC", "2-other")
    with pytest.raises(IntegrityError, match=r"arithmetic 1-\w*, wanted arithmetic 2-other") as refused:
        load(counting(entities=3), data)
    assert "rebuild the state from the last stretch of history" in refused.value.problem.hint


def forged(data: bytes, change: Callable[[dict[str, Any]], None], body: bytes | None = None) -> bytes:
    """The checkpoint with another header, and a hash that fits it."""
    start = struct.calcsize("<12sHI")
    (length,) = struct.unpack("<I", data[start - 4 : start])
    header = orjson.loads(data[start : start + length])
    change(header)
    text = orjson.dumps(header, option=orjson.OPT_SORT_KEYS)
    body = data[start + length : -HASH_BYTES] if body is None else body
    whole = data[: start - 4] + struct.pack("<I", len(text)) + text + body
    return whole + hashlib.sha256(whole).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"entities": 2**62},
        {"entities": -1},
        {"entities": True},
        {"entities": 3.0},
        {"refused": 2**60},
        {"name_bytes": 2**62},
        {"words": 2**55},
        {"words": None},
        {"more": 1},
        {"entities": 2, "name_bytes": 3 + 28 + 8 * 17},
    ],
)
def test_what_a_header_claims_is_held_against_the_bytes(change: dict[str, Any], data: bytes) -> None:
    with pytest.raises(IntegrityError):
        load(counting(entities=3), forged(data, lambda header: header.update(change)))


def test_a_header_longer_than_the_file_is_never_read(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="an early end"):
        load(counting(), data[:14] + struct.pack("<I", 2**32 - 1) + data[18:])


@pytest.mark.parametrize(("old", "new"), [(b"abc", b"aac"), (b"abc", b"ab\xff")])
def test_names_are_text_and_each_of_them_once(old: bytes, new: bytes, data: bytes) -> None:
    start = data.index(b"}") + 1
    with pytest.raises(IntegrityError, match="name"):
        load(counting(entities=3), forged(data, lambda _: None, data[start:-HASH_BYTES].replace(old, new)))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, path = counting(), tmp_path / "states" / "edge.state"
    save(after(kernel, hosts("a")), path)
    save(after(kernel, hosts("a", "b")), path)
    assert len(restore(kernel, path)) == 2
    assert path.stat().st_mode & 0o077 == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        save(kernel.start(), path)
    assert len(restore(kernel, path)) == 2
    assert [file.name for file in path.parent.iterdir()] == ["edge.state"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    kernel = counting()
    for name in (".edge.state-x1", ".edge-state-x1"):
        (tmp_path / name).write_bytes(b"half of it")
    save(after(kernel, hosts("a")), tmp_path / "edge.state")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".edge-state-x1", "edge.state"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "edge.state"
    path.write_bytes(b"no state at all, though long enough to look like one" * 2)
    with pytest.raises(IntegrityError, match=r"edge\.state\n  got other bytes, wanted a checkpoint"):
        restore(counting(), path)


def every(rows: list[Row], size: int) -> list[Batch]:
    return [batch(rows[start : start + size]) for start in range(0, len(rows), size)]


@pytest.mark.parametrize("name", PROGRAMS)
@PROPERTY
@given(rows=steady_streams(80), cut=st.integers(0, 80), size=st.integers(1, 30))
def test_the_last_stretch_of_history_rebuilds_what_all_of_it_left(
    name: str, rows: list[Row], cut: int, size: int
) -> None:
    unique = [row._replace(id=number) for number, row in enumerate(rows)]
    kernel = Kernel(program(name))
    whole = after(kernel, batch(unique[:cut]))
    newest = max((row.time for row in unique[:cut]), default=-(2**62))
    later = [row for row in unique[cut:] if row.time > newest - kernel.plan.horizon]
    rebuilt = rebuild(kernel, every(unique[:cut], size))
    same(of(kernel.run(batch(later), rebuilt)), of(kernel.run(batch(later), whole)))


def test_rebuilding_takes_rows_of_the_last_stretch_alone() -> None:
    kernel = counting(entities=100)
    names = [f"host-{number}" for number in range(100)]
    assert len(rebuild(kernel, [hosts(*names[:40]), hosts(), hosts(*names[40:], begin=40)])) == 24
    assert len(rebuild(kernel, [])) == 0

"""The feature cache spares work and changes nothing: not a bit, whatever became of its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin import log
from tocsin.errors import NotFittedError, SchemaError
from tocsin.kernel import checkpoint
from tocsin.kernel.program import Operation, Program
from tocsin.kernel.run import FeatureMatrix, Kernel
from tocsin.model.feature_cache import FeatureCache, FeaturePass, entry_name
from tocsin.records import LABEL, SECOND, Batch

PANES = {"pane_us": 5 * SECOND, "panes": 12, "statistics": ["mean", "count"], "min_count": 2}
PROGRAM = Program((Operation("panes", ("x",), ("mean", "count"), PANES),), ("mean", "count", "x"), "time", "host")
ROOM = 10**9


def kernel(program: Program = PROGRAM, entities: int = 3) -> Kernel:
    return Kernel(program, entities=entities)


@pytest.fixture
def rows(rng: np.random.Generator) -> Batch:
    """300 rows of five hosts, for three places."""
    return Batch(
        {
            "host": np.array([f"host-{host}" for host in rng.integers(0, 5, 300)], dtype=object),
            "time": np.cumsum(rng.integers(0, 9, 300)) * SECOND,
            "x": rng.normal(size=300),
            LABEL: np.zeros(300, dtype=np.int8),
        }
    )


def thirds(rows: Batch) -> list[Batch]:
    return [rows.take(slice(start, start + 100)) for start in (0, 100, 200)]


def passed(batches: list[Batch], folder: Path | None, made: Kernel | None = None) -> list[FeatureMatrix]:
    way = FeaturePass(FeatureCache(folder, ROOM) if folder else None).begin(made or kernel())
    return [way.run(batch) for batch in batches]


def same(got: list[FeatureMatrix], wanted: list[FeatureMatrix]) -> None:
    assert [one.values.tobytes() for one in got] == [one.values.tobytes() for one in wanted]
    assert [one.marks.tobytes() for one in got] == [one.marks.tobytes() for one in wanted]


def counted(step: Callable[[], object]) -> tuple[int, int]:
    """How many batches were computed and how many spared."""
    names = [f'tocsin_feature_passes_total{{result="{result}"}}' for result in ("computed", "spared")]
    before = [log.counters().get(name, 0) for name in names]
    step()
    computed, spared = (log.counters().get(name, 0) - had for name, had in zip(names, before, strict=True))
    return computed, spared


def test_what_was_computed_once_is_found_with_the_same_bits(rows: Batch, tmp_path: Path) -> None:
    plain = passed(thirds(rows), None)
    assert plain[0].marks.any()
    assert counted(lambda: same(passed(thirds(rows), tmp_path), plain)) == (3, 0)
    assert counted(lambda: same(passed(thirds(rows), tmp_path), plain)) == (0, 3)


@settings(max_examples=25, deadline=None)
@given(kept=st.sets(st.integers(0, 5)), lost=st.sets(st.integers(0, 5)))
def test_computing_goes_on_where_what_was_found_ends(kept: set[int], lost: set[int]) -> None:
    drawn = np.random.default_rng(7)
    whole = Batch(
        {
            "host": drawn.choice(list("abcde"), 120).astype(object),
            "time": np.cumsum(drawn.integers(0, 9, 120)) * SECOND,
            "x": drawn.normal(size=120),
        }
    )
    batches = [whole.take(slice(start, start + 20)) for start in range(0, 120, 20)]
    with TemporaryDirectory() as folder:
        passed([batches[place] for place in sorted(kept)], Path(folder))
        entries = sorted(Path(folder).iterdir())
        for place in lost & set(range(len(entries))):
            entries[place].unlink()
        same(passed(batches, Path(folder)), passed(batches, None))


def test_whatever_a_value_depends_on_is_part_of_the_name(rows: Batch) -> None:
    first, second, _ = thirds(rows)
    changed = first["x"].copy()
    changed[99] = np.nextafter(changed[99], 9.0)
    swapped = np.r_[1, 0, 2:100]
    renamed = first["host"].copy()
    renamed[50] = "host-9"
    wider = replace(PROGRAM, operations=(replace(PROGRAM.operations[0], constants={**PANES, "panes": 11}),))
    names = {
        entry_name(kernel(), first, ""),
        entry_name(kernel(), first.replace({"x": changed}), ""),
        entry_name(kernel(), first.replace({"host": renamed}), ""),
        entry_name(kernel(), first.replace({"time": first["time"] + 1}), ""),
        entry_name(kernel(), first.take(swapped), ""),
        entry_name(kernel(), first.take(slice(0, 99)), ""),
        entry_name(kernel(wider), first, ""),
        entry_name(kernel(replace(PROGRAM, key=("x",))), first, ""),
        entry_name(kernel(entities=4), first, ""),
        entry_name(kernel(), first, "behind another"),
        entry_name(kernel(), second, ""),
    }
    assert len(names) == 11
    assert entry_name(kernel(), first.replace({LABEL: np.ones(100, dtype=np.int8)}), "") in names


def test_the_parts_of_a_key_are_read_too(rows: Batch) -> None:
    first = thirds(rows)[0].replace({"id": np.arange(100.0)})
    keyed = kernel(replace(PROGRAM, key=("id", "host")))
    other = first.replace({"id": np.zeros(100)})
    assert entry_name(keyed, first, "") != entry_name(keyed, other, "")
    assert entry_name(kernel(), first, "") == entry_name(kernel(), other, "")


def test_texts_do_not_run_into_each_other(rows: Batch) -> None:
    one = thirds(rows)[0].take(slice(0, 2))
    names = {
        entry_name(kernel(), one.replace({"host": np.array(hosts, dtype=object)}), "")
        for hosts in (("ab", "c"), ("a", "bc"), ("abc", ""), ("\ud800", "x"))
    }
    assert len(names) == 4


def test_another_arithmetic_computes_anew(rows: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed(thirds(rows), tmp_path)
    monkeypatch.setattr(checkpoint, "ARITHMETIC", "2-other")
    assert counted(lambda: passed(thirds(rows), tmp_path)) == (3, 0)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.7, 0.8, 0.9, 0.999])
def test_a_damaged_entry_is_computed_and_written_anew(share: float, rows: Batch, tmp_path: Path) -> None:
    plain = passed(thirds(rows)[:1], tmp_path)
    (entry,) = tmp_path.iterdir()
    data = bytearray(entry.read_bytes())
    place = int(share * len(data))
    flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    for harmed in (data[:place], data[:place] + b"!" + data[place:], flipped):
        entry.write_bytes(harmed)
        before = log.counters().get("tocsin_feature_cache_damaged_total", 0)
        assert counted(lambda: same(passed(thirds(rows)[:1], tmp_path), plain)) == (1, 0)
        assert log.counters()["tocsin_feature_cache_damaged_total"] == before + 1
        assert entry.read_bytes() == data
    assert counted(lambda: passed(thirds(rows)[:1], tmp_path)) == (0, 1)


def test_an_entry_under_another_name_is_none(rows: Batch, tmp_path: Path) -> None:
    plain = passed(thirds(rows), tmp_path / "plain")
    first, second, _ = thirds(rows)
    passed([first], tmp_path)
    (entry,) = tmp_path.glob("[0-9a-f]*")
    behind = entry_name(kernel(), first, "")
    entry.rename(tmp_path / entry_name(kernel(), second, behind))
    same(passed(thirds(rows), tmp_path), plain)


def test_entries_that_were_not_used_for_longest_make_way(rows: Batch, tmp_path: Path) -> None:
    first, second, third = ([part] for part in thirds(rows))
    passed(first, tmp_path)
    size = sum(entry.stat().st_size for entry in tmp_path.iterdir())
    (tmp_path / ".killed-while-writing").write_bytes(bytes(size // 2))
    os.utime(tmp_path / ".killed-while-writing", ns=(0, 0))
    passed(second, tmp_path)
    for number, part in enumerate((first, second)):
        os.utime(tmp_path / entry_name(kernel(), part[0], ""), ns=(1 + number, 1 + number))
    assert counted(lambda: passed(first, tmp_path)) == (0, 1)
    FeaturePass(FeatureCache(tmp_path, int(2.2 * size))).begin(kernel()).run(third[0])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        entry_name(kernel(), part[0], "") for part in (first, third)
    )


def test_what_is_larger_than_the_limit_is_not_kept(rows: Batch, tmp_path: Path) -> None:
    passed(thirds(rows)[:1], tmp_path)
    before = log.counters().get("tocsin_feature_cache_refused_total", 0)
    FeaturePass(FeatureCache(tmp_path, 1_000)).begin(kernel()).run(rows)
    assert log.counters()["tocsin_feature_cache_refused_total"] == before + 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(rows: Batch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    before = log.counters().get("tocsin_feature_cache_refused_total", 0)
    same(passed(thirds(rows), tmp_path / "file" / "features"), passed(thirds(rows), None))
    assert log.counters()["tocsin_feature_cache_refused_total"] == before + 3


def test_a_folder_that_is_only_read_gives_what_it_has(
    rows: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed(thirds(rows), tmp_path)

    def refuse(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert counted(lambda: passed(thirds(rows), tmp_path)) == (0, 3)


def test_entries_are_for_their_owner_alone(rows: Batch, tmp_path: Path) -> None:
    passed(thirds(rows), tmp_path / "features")
    files = [tmp_path / "features", *(tmp_path / "features").iterdir()]
    assert [oct(file.stat().st_mode & 0o077) for file in files] == ["0o0"] * 4


def test_programs_without_a_memory_are_not_kept(rows: Batch, tmp_path: Path) -> None:
    log = kernel(Program((Operation("log1p", ("x",), ("log_x",)),), ("log_x",), "time", "host"))
    assert counted(lambda: passed(thirds(rows), tmp_path, log)) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_absent_is_the_kernels_to_refuse(rows: Batch, tmp_path: Path) -> None:
    without = Batch({name: column for name, column in rows.items() if name != "x"})
    with pytest.raises(SchemaError, match='no column "x"'):
        passed([without], tmp_path)


def test_no_rows_leave_no_entry(tmp_path: Path) -> None:
    assert passed([Batch({})], tmp_path)[0].values.shape == (0, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_pass_begins_with_a_program(rows: Batch) -> None:
    with pytest.raises(NotFittedError, match="call begin first"):
        FeaturePass().run(rows)

"""A sink is known by where its alerts go: not by its place in the config, and not by what is secret."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.system.live import CONFIG

from tocsin.config import Config, load
from tocsin.system.sinks import sinks_of

SINKS = (
    "{type: console}",
    "{type: jsonl, path: a.jsonl}",
    "{type: jsonl, path: b.jsonl}",
    '{type: webhook, url: "https://one.example/in?token=hush", secret: "whsec_aGhoaGhoaGhoaGhoaGhoaGhoaGhoaGho"}',
    '{type: webhook, url: "https://one.example/other", secret: "whsec_aGhoaGhoaGhoaGhoaGhoaGhoaGhoaGho"}',
)


def keys(folder: Path, *sinks: str) -> list[str]:
    return list(sinks_of(config(folder, *sinks)))


def config(folder: Path, *sinks: str) -> Config:
    path = folder / "tocsin.yaml"
    path.write_text(CONFIG + "sinks:\n" + "".join(f"  - {sink}\n" for sink in sinks))
    return load(path)


def test_another_order_changes_no_key(tmp_path: Path) -> None:
    known = dict(zip(SINKS, keys(tmp_path, *SINKS), strict=True))
    assert len(set(known.values())) == len(SINKS)
    for order in itertools.permutations(SINKS):
        assert keys(tmp_path, *order) == [known[sink] for sink in order]


def test_what_does_not_say_where_changes_no_key_and_neither_does_a_secret(tmp_path: Path) -> None:
    for one, other in (
        (SINKS[1], "{type: jsonl, path: a.jsonl, size: 1MiB}"),
        (SINKS[3], SINKS[3].replace("token=hush", "token=other").replace("whsec_aGho", "whsec_aGhp")),
    ):
        assert keys(tmp_path, one) == keys(tmp_path, other)


def test_twins_are_counted(tmp_path: Path) -> None:
    first, second = keys(tmp_path, SINKS[1], SINKS[1])
    assert second == f"{first}-2"

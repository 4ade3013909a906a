"""What a training or an evaluation leaves behind: a folder that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from tocsin.log import hidden
from tocsin.records import Verdict
from tocsin.sources.base import Tally

MOST_AT_ONCE = 1_000
"""Runs of one model within a millisecond."""
_MOMENT = f"{'[0-9]' * 8}T{'[0-9]' * 6}.*"
"""No project is called like that: the runs of `edge` are not those of `edge-2`."""


def new_run(root: Path, name: str, moment: datetime, digest: str) -> Path:
    """Where the next run goes: a name of project, moment and model that is not taken yet."""
    first = f"{name}-{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}-{digest[:8]}"
    names = (first, *(f"{first}+{number}" for number in range(2, MOST_AT_ONCE)))
    return next(root / name for name in names if not (root / name).exists())


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A folder to write into; it gets its name when the block ends well and is removed otherwise."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def runs(root: Path, name: str) -> list[Path]:
    """The finished run folders of a project, oldest first."""
    return sorted(root.glob(f"{name}-{_MOMENT}")) if root.is_dir() else []


def unfinished(root: Path, name: str) -> list[Path]:
    """What runs of a project left behind that were killed, or what one is writing now."""
    return sorted(root.glob(f".{name}-{_MOMENT}.partial")) if root.is_dir() else []


def write_run(
    folder: Path, config: str, report: Mapping[str, Any], verdict: Verdict, inputs: Mapping[str, Tally | None]
) -> None:
    """What led to a verdict: the config without its secrets, the report, and what became of the rows of each input."""
    (folder / "tocsin.yaml").write_text(hidden(config), "utf-8")
    told = {part: tally and {**asdict(tally), "digests": _names(tally)} for part, tally in inputs.items()}
    write_documents(folder, {"report": report, "verdict": verdict, "inputs": told})


def _names(tally: Tally) -> dict[str, str]:
    """Files by their digests, without the addresses of machines and people in their names."""
    return {digest: hidden(file) for file, digest in tally.digests.items()}


def write_documents(folder: Path, documents: Mapping[str, Any]) -> None:
    """Each value as a JSON file of that name."""
    for name, document in documents.items():
        (folder / f"{name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str))

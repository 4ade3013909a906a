"""A service that is killed at any step of a swap goes on with the old model or the new one, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.test_stream import Got, Killed, Listed, Site, raw, told

from tocsin.alerts import AlertPolicy
from tocsin.config import parse
from tocsin.kernel.checkpoint import dump
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.design import Design
from tocsin.records import Batch
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.checkpoint import read
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.stream import CHECKPOINT, Stream
from tocsin.scoring.work import Serving

Rows = Callable[..., Batch]
CUTS = range(40, 240, 40)


class Swapping(Listed):
    """Has something done before one of its reads, which is between two batches."""

    def __init__(self, rows: Batch, *, broker: bool) -> None:
        super().__init__(rows, CUTS, broker=broker)
        self.then: Callable[[], None] = lambda: None
        self.at = 4

    def read(self, timeout_s: float) -> Batch | None:
        if self.reads + 1 == self.at:
            self.at = 0
            self.then()
        return super().read(timeout_s)


def _die(*_: object) -> None:
    raise Killed


def dies(step: str, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process be gone at a step of the next swap."""
    places: dict[str, tuple[Any, str]] = {
        "before anything": (checkpoints, "write"),
        "while the checkpoint is written": (checkpoints, "write_state"),
        "when it has its name": (checkpoints, "flush_folder"),
        "before what it holds is forgotten": (stream.journal, "forget_accepted"),
    }
    if step in places:
        monkeypatch.setattr(*places[step], _die)


@pytest.mark.parametrize("broker", [False, True])
@pytest.mark.parametrize(
    ("step", "version"),
    [
        ("before anything", 1),
        ("while the checkpoint is written", 1),
        ("when it has its name", 2),
        ("before what it holds is forgotten", 2),
        ("with the next batch", 2),
    ],
)
def test_killed_at_any_step_of_a_swap_it_is_the_old_model_or_the_new(  # noqa: PLR0917  # fixtures
    waiting: AnomalyModel,
    config: str,
    make_rows: Rows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    version: int,
    broker: bool,
) -> None:
    rows = raw(make_rows(240, 1_700_000_000, anomalous=range(20, 240, 45)))
    other = AnomalyModel(Design.of(parse(config.replace("features:\n", "features:\n  wait: 10m\n"))))
    other.fit(make_rows(900), make_rows(300, 1_054_000))
    whole = Site(waiting, tmp_path / "whole", Got()).run(Listed(rows, CUTS, broker=broker), **_one_by_one())
    folder = tmp_path / "killed"
    site, source = Site(waiting, folder, Got()), Swapping(rows, broker=broker)
    stream = site.stream(source, record="all", **_one_by_one())

    def swap() -> None:
        dies(step, stream, monkeypatch)
        stream.swap(Serving(Scorer(other, AlertPolicy(cooldown_s=600.0)), 2, other.digest))
        raise Killed

    source.then = swap
    with pytest.raises(Killed):
        stream.run()
    stream.journal.close()
    monkeypatch.undo()
    known = read(folder / CHECKPOINT)
    assert known is not None
    assert known.version == version
    again = site._replace(model={1: waiting, 2: other}[version]).stream(source, record="all", **_one_by_one())
    again.serving = replace(again.serving, version=version)
    again.run()
    said = sorted(again.journal.stored.verdicts(limit=1_000), key=lambda row: (row["time"], row["origin"]))
    found = told(again)
    again.journal.close()
    assert len({row["origin"] for row in said}) == len(said) == whole.intake.tally.passed_on
    models = [model for model, _ in groupby(row["model"] for row in said)]
    assert models == [waiting.digest, other.digest][:version]
    assert found["state"] == dump(whole.serving.scorer.state)
    assert found["tally"] == whole.intake.tally.to_json()


def _one_by_one() -> dict[str, Any]:
    """A clock by which every batch is a commit of its own."""
    ticks = iter(range(10**9))
    return {"checkpoint": 3_600.0, "latency": 0.5, "elapsed": lambda: float(next(ticks))}

"""`tocsin simulate`: labelled traffic with one kind of attack in it, sent where the config's source reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import orjson
import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import seconds
from tocsin.config import Rate
from tocsin.config.alerts import rate
from tocsin.errors import DataError
from tocsin.records import DAY, SECOND, Batch

if TYPE_CHECKING:
    from tocsin.synthetic.attacks import Incident

AT_ONCE = 2_000
"""Rows that are passed on together where nobody has to wait for them."""
_TICK_S = 0.1
YEARS = range(1971, 2200)
"""In which a row may lie."""
MAX_TRUTH = 64_000_000
"""Bytes of a file of incidents that more are added to."""


def simulate(
    ctx: typer.Context,
    *,
    attack: Annotated[str, typer.Option(help="Such as scan, latency-spike, ransomware; another word lists them.")],
    to: Annotated[Path | None, typer.Option(help="A .csv or .jsonl file to append to. Default: the source.")] = None,
    truth: Annotated[Path, typer.Option(help="Attacks are added to this file of incidents.")] = Path("simulated.json"),
    duration: Annotated[str, typer.Option(help="Of the telemetry, in its own time.")] = "1d",
    rate_text: Annotated[str, typer.Option("--rate", help="How many attacks.")] = "4/day",
    strength: Annotated[float, typer.Option(min=0.1, max=10.0, help="1 is middling.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of times, actors and sizes.")] = 1,
    speed_up: Annotated[float, typer.Option(min=0.0, help="Times real time; 0 sends all at once.")] = 0.0,
    start: Annotated[datetime | None, typer.Option(help="UTC. Default: so that it ends now, or begins now.")] = None,
    world: Annotated[int, typer.Option(min=0, help="Seed of all that is normal, as of `data generate`.")] = 42,
    after: Annotated[
        str | None, typer.Option(help="The world began so long before: its first days, learnt from.")
    ] = None,
) -> None:
    """Send generated traffic with attacks, and write down the truth: labels: {windows: simulated.json}."""
    from tocsin.cli.publishing import publisher
    from tocsin.synthetic.attacks import Scene
    from tocsin.synthetic.attacks import simulate as simulated
    from tocsin.synthetic.plan import Plan
    from tocsin.training.history import source_of

    settings: Settings = ctx.obj
    project = settings.project()
    config = project.config
    lasts, before = _length("--duration", duration), _length("--after", after) if after else 0.0
    now = project.clock()
    if start is not None and start.year not in YEARS:
        raise typer.BadParameter(f"--start is {start}, wanted {YEARS[0]} to {YEARS[-1]}: others are no times of rows")
    begin = (start or (now if speed_up else now - timedelta(seconds=lasts))).replace(tzinfo=UTC)
    days = (before + lasts) * SECOND / DAY
    plan = Plan(days=days, seed=world, start=begin - timedelta(seconds=before), anomaly_rate=0.0)
    since, preset = round(begin.timestamp() * SECOND), (config.preset or "").partition("/")[0]
    found = simulated(Scene(preset, attack, plan, since, _attacks(rate_text, lasts), strength, seed))
    sent, known = 0, read_truth(truth)
    source = project.reader.source(config.stream.source or source_of(config))
    told: list[Incident] = []
    write_truth(truth, known, [])  # whatever refuses it does so before a row is sent
    with publisher(source, to) as publish, screens.counted_progress(found.batch.rows) as show:
        try:
            for part in _paced(found.batch, speed_up):
                publish(part)
                sent += part.rows
                show(f"{attack}, {np.datetime_as_string(part['timestamp'][-1], unit='s')}", part.rows)
        except KeyboardInterrupt:
            pass  # what was sent by then is told
        finally:
            told = [item for item in found.incidents if sent and item.start <= _last(found.batch, sent)]
            write_truth(truth, known, told)
    if settings.json:
        screens.document({"rows": sent, "incidents": told, "truth": truth, "generated": True})
    else:
        counted = "1 attack" if len(told) == 1 else f"{len(told)} attacks"
        screens.say(f"Sent {sent:,} generated rows with {counted} of the kind {attack}; {truth} tells of them.")
    raise typer.Exit(int(sent < found.batch.rows))


def read_truth(path: Path) -> list[Any]:
    """What a file of incidents holds; nothing if it is not there.

    Raises
    ------
    DataError
        If it holds something else.
    """
    if not path.exists():
        return []
    with path.open("rb") as file:
        try:
            known = orjson.loads(file.read(MAX_TRUTH))
        except orjson.JSONDecodeError:
            known = None
    if not isinstance(known, list):
        raise DataError(str(path), "something else", "a JSON list of incidents", "--truth FILE takes another")
    return known


def write_truth(path: Path, known: list[Any], incidents: list[Incident]) -> None:
    """Write what was known and what came to it."""
    added = [
        {
            "start": f"{np.datetime64(item.start, 'us')}Z",
            "end": f"{np.datetime64(item.end, 'us')}Z",
            "entity": item.entity,
            "name": item.name,
            "generated": True,
        }
        for item in incidents
    ]
    beside = path.with_name(f".{path.name}.partial")
    beside.write_bytes(orjson.dumps([*known, *added], option=orjson.OPT_INDENT_2))
    beside.replace(path)


def _length(option: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f'{option} is "{text}", {error}') from None


def _attacks(text: str, lasts_s: float) -> int:
    """`4/day` over so many seconds -> a number, at least 1."""
    try:
        found = rate(text)
    except ValueError as error:
        raise typer.BadParameter(f'--rate is "{text}", {error}') from None
    per_day = found.per_day if isinstance(found, Rate) else None
    if per_day is None:
        raise typer.BadParameter(f'--rate is "{text}", wanted a number a day, such as 4/day')
    return max(1, round(per_day * lasts_s * SECOND / DAY))


def _paced(batch: Batch, speed_up: float) -> Iterator[Batch]:
    """The rows in parts; at a speed, each when its time has come."""
    if not speed_up:
        yield from (batch.take(slice(first, first + AT_ONCE)) for first in range(0, batch.rows, AT_ONCE))
        return
    due = (batch["timestamp"].astype(np.int64) - int(batch["timestamp"][0].astype(np.int64))) / SECOND / speed_up
    begun, first = time.monotonic(), 0
    while first < batch.rows:
        last = int(np.searchsorted(due, time.monotonic() - begun, side="right"))
        if last > first:
            yield batch.take(slice(first, last))
            first = last
        else:
            time.sleep(min(_TICK_S, max(due[first] - (time.monotonic() - begun), 0.0)))


def _last(batch: Batch, sent: int) -> int:
    """UTC microseconds of the last row that was sent."""
    return int(batch["timestamp"][sent - 1].astype(np.int64))

"""`tocsin plan`: what a model takes of this machine, and a training of services elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings

if TYPE_CHECKING:
    from tocsin.system.budget import Budget, Reading

_FORMULAS = {
    "object_store": "1 request for 1,000 objects listed, 1 for every 8 MiB of each",
    "firebase": "1 request for a page of records (`page`)",
}


def plan(
    ctx: typer.Context,
    *,
    entities: Annotated[int | None, typer.Option(min=1, help="Default: limits.entities of the config.")] = None,
    connect: Annotated[bool, typer.Option("--connect", help="Also list what a training would read.")] = False,
) -> None:
    """What a model remembers, and what a training asks of services elsewhere. 1 if a limit is too small for it."""
    from tocsin.model.design import Design
    from tocsin.model.footprint import footprint
    from tocsin.system import check
    from tocsin.system.budget import budget

    settings: Settings = ctx.obj
    project = settings.project()
    config = project.config
    check(config)
    found, memory = footprint(Design.of(config), entities), config.limits.memory
    asked = budget(project, connect=connect)
    fits = (memory is None or found.bytes <= memory) and asked.fits
    if settings.json:
        model = {**asdict(found), "bytes": found.bytes, "limit_bytes": memory}
        screens.document({**model, "budget": asked.to_json(), "fits": fits})
    else:
        screens.footprint(found, memory)
        _screen(asked)
    raise typer.Exit(0 if fits else 1)


def _screen(asked: Budget) -> None:
    if not asked.readings and not asked.publishing:
        return
    for reading in asked.readings:
        screens.say(f"{reading.place}, {reading.kind}: {_reading(reading)}")
    if asked.publishing:
        screens.say(f"registry: {asked.publishing} requests for a version that is judged and promoted")
    limits = (
        f"{asked.most_requests:,} requests (limits.requests), {screens.size(asked.most_transfer)} (limits.transfer)"
    )
    mark = "[green]A training may take[/]" if asked.fits else "[red]More than a training may take[/]:"
    screens.out.print(f"{mark} {limits}; it ends there with nothing published")
    for what, share in asked.shares.items():
        screens.say(f"One training a day takes {share:.2%} of the {what} that Firebase Storage gives for nothing")
    if asked.readings and not asked.listed:
        screens.say("With --connect this is counted: it takes a listing of each source.")


def _reading(reading: Reading) -> str:
    if reading.pieces is None or reading.requests is None:
        return _FORMULAS[reading.kind]
    size = "bytes that no listing tells" if reading.transfer is None else screens.size(reading.transfer)
    return f"{reading.pieces:,} listed, {reading.requests:,} requests, {size}"

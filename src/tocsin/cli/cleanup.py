"""`tocsin cleanup`: what may go is shown, and goes only when it is said so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings

if TYPE_CHECKING:
    from tocsin.system.cleanup import Lot

DAYS = 36_500
"""More than anything here can be old."""
Scope = Literal["all", "training", "models"]


def cleanup(
    ctx: typer.Context,
    scope: Annotated[Scope, typer.Argument(help="all; training: telemetry and caches; models: runs and versions.")],
    *,
    max_age_hours: Annotated[
        float, typer.Option(min=0, max=24 * DAYS, help="Of telemetry, caches and refused rows.")
    ] = 24.0,
    max_age_days: Annotated[float, typer.Option(min=0, max=DAYS, help="Of runs and versions.")] = 30.0,
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Let it go; else only say what would.")] = False,
) -> None:
    """What may go and why; with --yes it goes. Never a model in a channel, nor what a training reads."""
    from tocsin.system.cleanup import spent_models, spent_telemetry

    settings: Settings = ctx.obj
    project = settings.project()
    lots = list(spent_telemetry(project, timedelta(hours=max_age_hours))) if scope != "models" else []
    lots += spent_models(project, timedelta(days=max_age_days)) if scope != "training" else []
    if yes:
        for lot in lots:
            lot.remove()
    if settings.json:
        screens.document({"removed": yes, "lots": [_document(lot) for lot in lots]})
        return
    rows = [("what", "how many", "size", "oldest", "why")]
    screens.grid([*rows, *map(_row, lots)])
    if not any(lot.pieces for lot in lots):
        screens.say("Nothing is to go.")
    else:
        screens.say("All of it is gone." if yes else "Nothing has gone yet: add --yes.")


def _row(lot: Lot) -> tuple[str, ...]:
    size = screens.size(_bytes(lot)) if lot.pieces else ""
    return lot.what, f"{len(lot.pieces):,}", size, _oldest(lot)[:16], lot.why


def _document(lot: Lot) -> dict[str, object]:
    names = [piece.name for piece in lot.pieces]
    return {"what": lot.what, "why": lot.why, "names": names, "bytes": _bytes(lot), "oldest": _oldest(lot) or None}


def _bytes(lot: Lot) -> int:
    return sum(piece.size or 0 for piece in lot.pieces)


def _oldest(lot: Lot) -> str:
    moments: list[datetime] = [piece.modified for piece in lot.pieces if piece.modified]
    return min(moments).isoformat(sep=" ") if moments else ""

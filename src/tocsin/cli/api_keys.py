"""`tocsin keys api`: who may ask the REST server what."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import seconds

if TYPE_CHECKING:
    from tocsin.server.keys import ApiKeys

api_app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys of the REST server.")

FILE = ".tocsin/api-keys.json"
"""Where they lie, unless `server.keys` of the config says otherwise."""
MOST_DAYS = 3_650
MAX_NOTE = 200

RoleName = Annotated[Literal["viewer", "operator", "admin", "ingest"], typer.Option("--role", help="What it may do.")]
Lasts = Annotated[str, typer.Option("--lasts", help="Until it expires: 90d, 12h …")]
Note = Annotated[str, typer.Option("--note", help="Whose it is.")]
Prefix = Annotated[str, typer.Argument(help="The part of the key before the dot.")]


@api_app.command()
def new(ctx: typer.Context, *, role: RoleName, lasts: Lasts = "90d", note: Note = "") -> None:
    """Make a key. It is shown now and never again: only its hash is kept."""
    settings: Settings = ctx.obj
    try:
        lasting = timedelta(seconds=min(seconds(lasts), MOST_DAYS * 86_400))
    except ValueError as error:
        raise typer.BadParameter(f"--lasts is {lasts!r}, {error}") from None
    if len(note) > MAX_NOTE:
        raise typer.BadParameter(f"--note has {len(note)} characters, wanted at most {MAX_NOTE}")
    key = _keys(settings).new(role, lasting, note)
    if settings.json:
        screens.document({"key": key, "role": role})
    else:
        screens.say(key)
        screens.aside(f"Send it as `Authorization: Bearer ...`; it may act as {role} for {lasting.days} days.")


@api_app.command("list")
def show(ctx: typer.Context) -> None:
    """Every key, without its secret."""
    settings: Settings = ctx.obj
    now, found = datetime.now(UTC), _keys(settings).all()
    rows = [(key.prefix, key.role, f"{key.expires:%Y-%m-%d}", key.expires <= now, key.note) for key in found]
    if settings.json:
        names = ("prefix", "role", "expires", "expired", "note")
        screens.document([dict(zip(names, row, strict=True)) for row in rows])
        return
    shown = [(prefix, role, f"{day}{' (past)' * past}", note) for prefix, role, day, past, note in rows]
    screens.grid([("key", "role", "expires", "note"), *shown])


@api_app.command()
def revoke(ctx: typer.Context, prefix: Prefix) -> None:
    """Forget a key; a running server refuses it within a second."""
    settings: Settings = ctx.obj
    key = _keys(settings).revoke(prefix)
    if settings.json:
        screens.document({"revoked": key.prefix, "role": key.role})
    else:
        screens.say(f"The key {key.prefix} ({key.role}) holds no more.")


def _keys(settings: Settings) -> ApiKeys:
    from tocsin.server.keys import ApiKeys

    config = settings.project().config
    path = (config.server.keys if config.server else None) or FILE
    return ApiKeys(config.resolve(path), lambda: datetime.now(UTC), time.monotonic)

"""`tocsin silence`: keep quiet for a while what somebody knows of already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import seconds

if TYPE_CHECKING:
    from tocsin.alerts import Silence
    from tocsin.system import Project

silence_app = typer.Typer(
    no_args_is_help=True,
    help="Keep alerts quiet for a while. They are kept in the journal, and ring again by themselves.",
)

Entity = Annotated[str | None, typer.Option("--entity", help="By its real name.")]
Cause = Annotated[str | None, typer.Option("--cause", help="The column of the telemetry that alerts name as theirs.")]
Long = Annotated[str, typer.Option("--for", help="How long, such as 2h; 30 days at most.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for whoever looks at the list.")]
Number = Annotated[int, typer.Argument(help="As `silence list` shows it.")]


@silence_app.command()
def add(ctx: typer.Context, *, entity: Entity = None, cause: Cause = None, how_long: Long, reason: Reason) -> None:
    """Silence an entity, a cause, or a cause at an entity. A running service takes it up with its next alert."""
    from tocsin.errors import ConfigError
    from tocsin.scoring.policy import check_cause, in_rows, silences_of

    settings: Settings = ctx.obj
    if not (entity or cause):
        raise typer.BadParameter("wanted --entity or --cause: a silence of everything would hide everything")
    try:
        for_s = seconds(how_long)
    except ValueError as error:
        raise typer.BadParameter(f'--for is "{how_long}", {error}') from None
    if any(not word.isprintable() for word in (entity or "", reason)):
        raise typer.BadParameter("wanted a name and a reason of letters that can be shown")
    project = settings.project()
    if problems := check_cause(project.config, "--cause", cause):
        raise ConfigError(problems)
    hidden = in_rows(project.config, project.privacy, entity or "")
    added = silences_of(project.config, project.clock).add(hidden, cause or "", for_s, reason)
    if settings.json:
        screens.document(_told(project, added))
    else:
        if hidden != (entity or "") and project.privacy.name(hidden) == hidden:
            screens.aside(f"No row of {entity} has been seen here yet: is this its real name?")
        screens.say(f"Silence {added.number} lasts until {_until(added)}.")


@silence_app.command("list")
def list_silences(ctx: typer.Context) -> None:
    """Those that last, by number."""
    from tocsin.scoring.policy import silences_of

    settings: Settings = ctx.obj
    project = settings.project()
    found = [_told(project, item) for item in silences_of(project.config, project.clock).all()]
    if settings.json:
        screens.document({"silences": found})
    elif not found:
        screens.say("Nothing is silenced.")
    else:
        names = ("number", "entity", "cause", "until", "reason")
        screens.grid([names, *(tuple(str(item[name]) for name in names) for item in found)])


@silence_app.command()
def remove(ctx: typer.Context, number: Number) -> None:
    """End a silence before its time. 1 if there is none of this number."""
    from tocsin.scoring.policy import silences_of

    settings: Settings = ctx.obj
    project = settings.project()
    removed = silences_of(project.config, project.clock).remove(number)
    if settings.json:
        screens.document(_told(project, removed))
    else:
        screens.say(f"Silence {removed.number} has ended.")


def _told(project: Project, item: Silence) -> dict[str, Any]:
    return {
        "number": item.number,
        "entity": project.privacy.name(item.entity) if item.entity else "",
        "cause": item.cause,
        "until": _until(item),
        "reason": item.reason,
    }


def _until(item: Silence) -> str:
    return item.until.isoformat(timespec="seconds")

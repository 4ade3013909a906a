"""`tocsin models`: versions and channels."""

from __future__ import annotations

from typing import Annotated

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings, version_of

models_app = typer.Typer(no_args_is_help=True, help="Look at registered versions and move channels.")

Version = Annotated[int, typer.Argument(help="A version number, as `models list` shows it.")]


@models_app.command("list")
def list_models(ctx: typer.Context) -> None:
    """Every kept version, newest first."""
    settings: Settings = ctx.obj
    project = settings.project()
    versions, channels = project.registry.history(project.config.name), project.registry.channels(project.config.name)
    if settings.json:
        screens.document({"versions": versions, "channels": dict(channels)})
    else:
        screens.versions(versions, channels)


@models_app.command()
def show(ctx: typer.Context, version: Annotated[str, typer.Argument(help="A version number or a channel.")]) -> None:
    """What a version is and what is known about it."""
    settings: Settings = ctx.obj
    project = settings.project()
    bundle, entry = project.registry.load(project.config.name, version_of(version))
    found = {"version": entry, "content": bundle.content, "notes": bundle.notes}
    if settings.json:
        screens.document(found)
    else:
        screens.versions([entry], project.registry.channels(project.config.name))
        screens.listing("Detector", bundle.content["detector"])
        screens.listing("Inputs", bundle.notes.get("inputs", {}))
        screens.listing("Figures", entry.summary)


@models_app.command()
def verify(ctx: typer.Context) -> None:
    """Hold every stored byte against its digest."""
    settings: Settings = ctx.obj
    project = settings.project()
    problems = project.registry.verify(project.config.name)
    if settings.json:
        screens.document({"problems": problems})
    else:
        screens.listing("Damaged:" if problems else "Every stored byte is as it was written.", {})
        for problem in problems:
            screens.out.print(str(problem), markup=False)
    raise typer.Exit(1 if problems else 0)


@models_app.command()
def promote(ctx: typer.Context, version: Version) -> None:
    """Make a version the champion; only with a passing verdict."""
    settings: Settings = ctx.obj
    project = settings.project()
    project.promote(version)
    _say(settings, f"Version {version} of {project.config.name} is the champion.", version)


@models_app.command()
def rollback(ctx: typer.Context) -> None:
    """Make the champion before this one the champion again."""
    settings: Settings = ctx.obj
    project = settings.project()
    entry = project.roll_back()
    _say(settings, f"Version {entry.version} of {project.config.name} is the champion again.", entry.version)


def _say(settings: Settings, sentence: str, version: int) -> None:
    if settings.json:
        screens.document({"champion": version})
    else:
        screens.out.print(sentence)

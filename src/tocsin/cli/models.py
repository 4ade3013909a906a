"""`tocsin models`: versions and channels."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from tocsin.cli import screens, version_screens
from tocsin.cli.packages import export_model, import_model
from tocsin.cli.settings import Settings, version_of

models_app = typer.Typer(no_args_is_help=True, help="Look at registered versions and move channels.")
models_app.command("export")(export_model)
models_app.command("import")(import_model)

Version = Annotated[int, typer.Argument(help="A version number, as `models list` shows it.")]
Which = Annotated[str, typer.Argument(help="A version number or a channel.")]
Channel = Annotated[str, typer.Option("--channel", help="Which one; a name of your own begins another.")]
Approval = Annotated[
    str | None, typer.Option("--approve", help="Why it may pass although a soft bound was missed.", metavar="NOTE")
]


@models_app.command("list")
def list_models(ctx: typer.Context) -> None:
    """Every kept version, newest first, and where the channels point. 1 if a document cannot be trusted."""
    from tocsin.cli.version_facts import listed

    settings: Settings = ctx.obj
    project = settings.project()
    found = listed(project.registry, project.index, project.config.name)
    if settings.json:
        screens.document(found)
    else:
        version_screens.versions(found, project.clock())
    refused = any(standing.problem for standing in found["standings"])
    raise typer.Exit(1 if found["problems"] or refused else 0)


@models_app.command()
def show(ctx: typer.Context, version: Which) -> None:
    """Where a version came from, who judged it, where it serves and how to go back."""
    from tocsin.cli.version_facts import shown

    settings: Settings = ctx.obj
    project = settings.project()
    found = shown(project.registry, project.index, project.config.name, version_of(version))
    if settings.json:
        screens.document(found)
    else:
        version_screens.version(found)


@models_app.command()
def diff(ctx: typer.Context, first: Which, second: Which) -> None:
    """What differs between two versions: parameters, columns, threshold, data; the figures of both."""
    from tocsin.cli.version_facts import differences

    settings: Settings = ctx.obj
    project = settings.project()
    load = partial(project.registry.load, project.config.name)
    found = differences(load(version_of(first)), load(version_of(second)))
    if settings.json:
        screens.document(found)
    else:
        version_screens.differences(found)


@models_app.command()
def verify(
    ctx: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every model of the registry, not the config's alone.")] = False,
) -> None:
    """Hold every stored byte against its digest, and every document against its signature."""
    settings: Settings = ctx.obj
    project = settings.project()
    names = project.registry.names() if every else (project.config.name,)
    problems = [problem for name in names for problem in project.registry.verify(name)]
    if settings.json:
        screens.document({"problems": problems})
    else:
        screens.listing("Damaged:" if problems else "Every stored byte is as it was written.", {})
        for problem in problems:
            screens.out.print(str(problem), markup=False)
    raise typer.Exit(1 if problems else 0)


@models_app.command()
def rebuild(ctx: typer.Context) -> None:
    """Delete the index of the registry and make it anew from the documents."""
    settings: Settings = ctx.obj
    documents = settings.project().index.rebuild()
    if settings.json:
        screens.document({"documents": documents})
    else:
        screens.say(f"The index holds {documents:,} documents.")


@models_app.command()
def promote(ctx: typer.Context, version: Version, channel: Channel = "champion", approve: Approval = None) -> None:
    """Point a channel at a version, an earlier one too; only with a passing verdict. Again renews it."""
    settings: Settings = ctx.obj
    project = settings.project()
    project.promote(version, channel, approval=approve)
    _say(settings, f"Version {version} of {project.config.name} is the {channel}.", {channel: version})


@models_app.command()
def rollback(ctx: typer.Context, channel: Channel = "champion") -> None:
    """Point a channel at the version before this one."""
    settings: Settings = ctx.obj
    project = settings.project()
    entry = project.roll_back(channel)
    sentence = f"Version {entry.version} of {project.config.name} is the {channel} again."
    _say(settings, sentence, {channel: entry.version})


def _say(settings: Settings, sentence: str, moved: dict[str, int]) -> None:
    if settings.json:
        screens.document(moved)
    else:
        screens.say(sentence)

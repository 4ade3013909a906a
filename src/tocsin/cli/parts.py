"""`tocsin new` and `tocsin check-part`: writing a part, and holding it against its room's contract."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.cli.templates import new_detector
from tocsin.component import Room, part
from tocsin.errors import ConfigError, Problem

new_app = typer.Typer(no_args_is_help=True, help="Write the skeleton of a new part.")

CHECKED = ("sources", "features", "detectors", "thresholds", "sinks")


@new_app.command()
def detector(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="snake_case, after the method, spelled in full.")],
    folder: Annotated[Path, typer.Option(help="Where the file goes.")] = Path("src/tocsin/detectors"),
) -> None:
    """Write a detector that passes every contract check, to be made into yours."""
    text = new_detector(name)
    path = folder / f"{name}.py"
    if path.exists():
        raise ConfigError([Problem(str(path), "a file that exists already", "a new name")])
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    settings: Settings = ctx.obj
    if settings.json:
        screens.document({"file": path})
    else:
        sentence = f"Wrote {path}. Next: tocsin check-part detectors {name}"
        screens.say(sentence)


def check_part(
    ctx: typer.Context,
    room: Annotated[str, typer.Argument(help=f"One of: {', '.join(CHECKED)}")],
    name: Annotated[str, typer.Argument(help="Our part's name, or package/name for an installed one.")],
) -> None:
    """Run a room's contract over one part."""
    from tocsin.checks.contract import contract, findings

    if room not in CHECKED:
        raise ConfigError([Problem("room", f'"{room}"', f"one of: {', '.join(CHECKED)}")])
    checks = contract(cast("Room", room))
    failures = findings(cast("Room", room), part(cast("Room", room), name))
    settings: Settings = ctx.obj
    if settings.json:
        screens.document({"part": f"{room}/{name}", "checks": len(checks), "failures": failures})
    else:
        screens.part(f"{room}/{name}", [check.__name__ for check in checks], failures)
    raise typer.Exit(1 if failures else 0)

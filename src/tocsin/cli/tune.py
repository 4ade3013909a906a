"""`tocsin tune`: search over parameters, and a config with what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from tocsin.cli import screens

if TYPE_CHECKING:
    from tocsin.cli.settings import Settings
    from tocsin.config import Config
    from tocsin.training.tune import Tuning

NO_GAIN = "No gain: leave the config as it is."


def tune(
    ctx: typer.Context,
    *,
    write: Annotated[Path | None, typer.Option(help="Write the config with what was found, if it is a gain.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Put the study of an earlier search aside.")] = False,
) -> None:
    """Search over the parameters that the config names as `tune`; killed, it goes on where it was."""
    settings: Settings = ctx.obj
    if write is not None and write.exists():
        raise typer.BadParameter(f"{write} exists already; choose another name with --write")
    project = settings.project()
    with screens.progress_of(project):
        found = project.tune(workers, anew=anew)
    if write is not None and found.gained:
        write.write_text(_text(_over(project.config, found)), "utf-8")
    if settings.json:
        screens.document(_document(found))
    else:
        _show(found, write)


def _over(config: Config, found: Tuning) -> dict[str, Any]:
    """The config as its author wrote it, references unresolved, with what was found put over it."""
    from tocsin.config.document import Document
    from tocsin.presets import merged

    return merged(Document(config.text, Path("tocsin.yaml")).values, found.config)


def _text(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120)


def _document(found: Tuning) -> dict[str, Any]:
    return {
        "objective": found.objective,
        "generated": found.generated,
        "trials": found.trials,
        "refused": found.refused,
        "in_trials": {"config": found.before, "best": found.after},
        "values": found.values,
        "untouched": found.gain,
        "gained": found.gained,
        "config": found.config,
        "study": found.study,
    }


def _show(found: Tuning, write: Path | None) -> None:
    if found.generated:
        screens.out.print(screens.GENERATED)
    refused = f", {found.refused} refused" if found.refused else ""
    screens.say(f"{found.trials} trials{refused}, by {found.objective}")
    screens.say(f"On the rows of the trials: {found.before:.4f} as configured, {found.after:.4f} at best")
    if found.gain is None:
        screens.say(f"{NO_GAIN} No trial was better.")
        return
    gain, more = found.gain, found.gain.after - found.gain.before
    between = "too few anomalies for an interval" if gain.low is None else f"95 % {gain.low:+.4f} to {gain.high:+.4f}"
    screens.say(f"On rows that no trial saw: {gain.before:.4f} -> {gain.after:.4f}, {more:+.4f} ({between})")
    if not found.gained:
        screens.say(NO_GAIN)
        return
    screens.say("A gain. For the config:")
    screens.say("")
    for line in _text(dict(found.config)).splitlines():
        screens.say(line)
    if write is not None:
        screens.say("")
        screens.say(f"Wrote {write}. Next: tocsin -c {write} train")

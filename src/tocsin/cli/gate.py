"""`tocsin gate`: what every gate says of a registered model, and why it is asked."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings, version_of

if TYPE_CHECKING:
    from tocsin.records import Judgement


def gate(
    ctx: typer.Context,
    *,
    version: Annotated[str, typer.Argument(help="A version number or a channel.")] = "candidate",
    promote: Annotated[bool, typer.Option("--promote", help="Make it champion if it passes without approval.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Pin other rows with it, for all that come after.")] = False,
) -> None:
    """Hold a registered model against every gate again; 1 if it is refused. Its last judgement decides."""
    settings: Settings = ctx.obj
    project = settings.project()
    with screens.progress_of(project):
        outcome = project.gate(version_of(version), pin=pin)
    entry, verdict = outcome.version, outcome.verdict
    promoted = promote and project.may_promote(verdict)
    if promoted:
        project.promote(entry.version)
    if settings.json:
        found = {"version": entry.version, "model": entry.digest, "folder": outcome.folder, "promoted": promoted}
        judgements = [asdict(item) | {"why": _why(item)} for item in verdict.judgements]
        summary = {"passed": verdict.passed, "needs_approval": verdict.needs_approval, "judgements": judgements}
        screens.document(found | summary)
    else:
        for item in verdict.judgements:
            screens.judgement(item, _why(item))
        missed = tuple(item for item in verdict.judgements if item.asked and not item.passed)
        screens.verdict(replace(verdict, judgements=missed))
        screens.say(f"Version {entry.version} of {entry.name}, model {entry.digest[:12]}")
        if promoted:
            screens.say(f"Version {entry.version} of {entry.name} is the champion.")
    raise typer.Exit(0 if verdict.passed and promoted == promote else 1)


def _why(item: Judgement) -> str:
    """Why a gate is asked; of a target the config alone knows."""
    from tocsin.evaluation.judge import GATES

    gate = GATES.get(item.target)
    return "" if gate is None else f"Soft: {gate.why}" if gate.soft else gate.why

"""One function per verb; the work is done by `tocsin.system`, which is imported when a verb needs it."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from tocsin import log
from tocsin.cli import INTERRUPTED, screens
from tocsin.cli.append import append
from tocsin.cli.bench import bench
from tocsin.cli.cleanup import cleanup
from tocsin.cli.data import data_app
from tocsin.cli.dead_letters import dead_letters_app
from tocsin.cli.exporting import ExportFormat, exporting
from tocsin.cli.gate import gate
from tocsin.cli.import_config import import_config
from tocsin.cli.keys import keys_app
from tocsin.cli.models import models_app
from tocsin.cli.parts import check_part, new_app
from tocsin.cli.periods import End, MaxAge, Since, Start, period_of
from tocsin.cli.pictures import illustrated
from tocsin.cli.planning import plan
from tocsin.cli.presets import presets_app
from tocsin.cli.run import run
from tocsin.cli.screens import WrongUsage
from tocsin.cli.serve import serve
from tocsin.cli.settings import SHARED_HELP, Settings, take_settings, version_of
from tocsin.cli.silence import silence_app
from tocsin.cli.simulate import simulate
from tocsin.cli.tune import tune
from tocsin.component import seconds
from tocsin.errors import ConfigError, TocsinError
from tocsin.storage import upload_run

DONE, REFUSED, WRONG_USAGE = 0, 1, 2
STOPPED = "Stopped; nothing half done was published."

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anomaly detection for network and service telemetry, from raw records to a trusted alarm.",
    epilog=SHARED_HELP,
)
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(data_app, name="data")
app.add_typer(dead_letters_app, name="dead-letters")
app.add_typer(presets_app, name="presets")
app.add_typer(new_app, name="new")
app.add_typer(silence_app, name="silence")
app.command("check-part")(check_part)
app.command("gate")(gate)
app.command("import-config")(import_config)
app.command("tune")(tune)
app.command("plan")(plan)
app.command("bench")(bench)
app.command("cleanup")(cleanup)
app.command("run")(run)
app.command("serve")(serve)
app.command("append")(append)
app.command("simulate")(simulate)

Chosen = Annotated[str | None, typer.Option("--model", help="A version number or a channel. Default: champion.")]


def main() -> None:
    """Run the command line and end with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except OSError as refusal:
        # What is still in the buffer would be written, and complained of, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
        if not isinstance(refusal, BrokenPipeError):
            screens.error(TocsinError("standard output", refusal.strerror or str(refusal)), as_json=False)
            code = REFUSED
    sys.exit(code)


def _run(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        settings, rest = take_settings(words)
        log.configure(settings.level or "info")
        ended = app(args=rest, prog_name="tocsin", obj=settings, standalone_mode=False)
        # The parser turns Ctrl-C into this number.
        return _stopped(as_json=as_json) if ended == INTERRUPTED else int(ended or DONE)
    except KeyboardInterrupt:
        return _stopped(as_json=as_json)
    except WrongUsage as wrong:
        screens.usage(wrong, as_json=as_json)
        return WRONG_USAGE
    except TocsinError as problem:
        screens.error(problem, as_json=as_json)
        return WRONG_USAGE if isinstance(problem, ConfigError) else REFUSED
    except BrokenPipeError:
        raise
    except OSError as refusal:
        got, wanted = refusal.strerror or str(refusal), "a file or a folder that can be read and written"
        screens.error(TocsinError(str(refusal.filename or "this machine"), got, wanted), as_json=as_json)
        return REFUSED


def _stopped(*, as_json: bool) -> int:
    if as_json:
        screens.error(TocsinError("tocsin", "an interrupt", hint=STOPPED), as_json=True)
    else:
        screens.aside(STOPPED)
    return INTERRUPTED


@app.command()
def init(
    ctx: typer.Context,
    *,
    preset: Annotated[str, typer.Option(help="The kind of telemetry: flows, services …")] = "flows",
    path: Annotated[str | None, typer.Option(help="Where the telemetry is, as seen from the config.")] = None,
) -> None:
    """Write a first config."""
    from tocsin.cli.templates import first_config

    settings: Settings = ctx.obj
    text = first_config(preset, path)
    try:
        with settings.config.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise typer.BadParameter(f"{settings.config} exists already; choose another name with -c") from None
    if settings.json:
        screens.document({"config": settings.config})
    else:
        sentence = f"Wrote {settings.config}. Put your paths into it, then: tocsin check, tocsin train"
        screens.say(sentence)


@app.command()
def check(
    ctx: typer.Context,
    *,
    connect: Annotated[bool, typer.Option("--connect", help="Also ask everything that the config names.")] = False,
) -> None:
    """Find every problem of the config: valid (0), partial (1: something that it names is missing) or invalid (2)."""
    from tocsin.cli.checking import checked

    raise typer.Exit(checked(ctx.obj, connect=connect))


@app.command()
def train(
    ctx: typer.Context,
    *,
    promote: Annotated[bool, typer.Option("--promote", help="Make it champion if the verdict passes.")] = False,
    export: Annotated[ExportFormat | None, typer.Option(help="Also write that system's files.")] = None,
    export_to: Annotated[Path | None, typer.Option(help="Default: exports/FORMAT in the run's folder.")] = None,
    since: Since = None,
    start: Start = None,
    end: End = None,
    max_age_hours: MaxAge = None,
    plots: Annotated[bool, typer.Option(help="Draw the plots and write the HTML report.")] = True,
) -> None:
    """Learn from history, judge the model on rows it has not seen, register it."""
    settings: Settings = ctx.obj
    files, period = exporting(export, export_to), period_of(since, start, end, max_age_hours)
    project = settings.project()
    with screens.progress_of(project):
        outcome = project.train(promote=promote, export=files, period=period)
        if plots:
            illustrated(outcome)
        project.track(outcome)
        upload_run(project.config.registry.path, outcome.folder, project.meter)
    screens.outcome(outcome, as_json=settings.json)
    raise typer.Exit(DONE if outcome.verdict.passed else REFUSED)


@app.command()
def evaluate(
    ctx: typer.Context,
    *,
    model: Chosen = None,
    data: Annotated[Path | None, typer.Option(help="Other rows than the config's test rows.")] = None,
    save_predictions: Annotated[bool, typer.Option("--save-predictions", help="Write predictions.csv.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw the plots and write the HTML report.")] = True,
) -> None:
    """Judge a registered model."""
    settings: Settings = ctx.obj
    project = settings.project()
    with screens.progress_of(project):
        outcome = project.evaluate(model and version_of(model), None if data is None else str(data.absolute()))
        if plots:
            illustrated(outcome)
        if save_predictions:
            from tocsin.evaluation.predictions import write_predictions

            write_predictions(outcome.evidence, outcome.folder / "predictions.csv")
    screens.outcome(outcome, as_json=settings.json)
    raise typer.Exit(DONE if outcome.verdict.passed else REFUSED)


@app.command()
def score(
    ctx: typer.Context,
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="Telemetry as the source reads it; a quoted glob is fine. Default: the source itself."),
    ] = None,
    model: Chosen = None,
    output: Annotated[Path | None, typer.Option(help="Also write a CSV line per row.")] = None,
) -> None:
    """Score the rows of a file or, live where it is, of the source; what rings goes to the config's sinks."""
    from tocsin.scoring.export import ScoresFile
    from tocsin.sources.base import Tally

    settings: Settings = ctx.obj
    if output is not None and output.is_dir():
        raise typer.BadParameter(f"--output is {output}, a folder; wanted a file that is not there")
    project = settings.project()
    rows = flagged = alerts = 0
    generated = False
    tally = Tally()
    path = None if file is None else str(file.absolute())
    # With --json standard output is one document: alerts for people go beside it.
    aside = redirect_stdout(sys.stderr) if settings.json else nullcontext()
    # Ctrl-C is how one stops to follow a source that never ends, and no failure.
    stopping = suppress(KeyboardInterrupt) if path is None and project.follows else nullcontext()
    with aside, screens.progress_of(project), ScoresFile(output) as lines, stopping:
        for scored in project.score(path, model and version_of(model), tally):
            rows += scored.batch.rows
            flagged += int(scored.scores.flagged.sum())
            alerts += sum(not alert.quiet for alert in scored.alerts)
            generated = scored.generated
            lines.write(scored, project.config.schema_)
    found = {"rows": rows, "flagged": flagged, "alerts": alerts, "generated": generated, "inputs": tally}
    if settings.json:
        screens.document(found)
    else:
        if generated:
            screens.out.print(screens.GENERATED)
        screens.scores(tally, scored=rows, flagged=flagged, alerts=alerts)
        if not rows:
            screens.aside("No row was scored: there was none, or all were refused. No scores were written.")
    raise typer.Exit(DONE if rows and not tally.files_refused else REFUSED)


@app.command()
def doctor(ctx: typer.Context) -> None:
    """Look at this machine, this installation and this folder. 1 if something is broken."""
    from tocsin.cli.doctor import examine

    settings: Settings = ctx.obj
    log.configure(settings.level or "error")  # what the golden rows go through is no news
    findings = list(examine(settings.config))
    if settings.json:
        screens.document({"findings": findings})
    else:
        screens.findings(findings)
    raise typer.Exit(REFUSED if any(finding.verdict == "broken" for finding in findings) else DONE)


@app.command()
def status(ctx: typer.Context) -> None:
    """What takes room, what is old, what serves, how the last runs went. 1 if something cannot be had or trusted."""
    from tocsin.cli.status import told

    raise typer.Exit(told(ctx.obj))


@app.command()
def demo(
    ctx: typer.Context,
    *,
    folder: Annotated[Path, typer.Option(help="Where to put the demo project; made anew.")] = Path("demo"),
    host: Annotated[bool, typer.Option("--host", help="Learn this machine for 50 s, then watch it.")] = False,
    watch: Annotated[str | None, typer.Option(help="With --host: for how long. Default: 2m.")] = None,
) -> None:
    """The main job in a minute: on generated flows with planted attacks, or live on this machine."""
    from tocsin.cli.demo import run_demo
    from tocsin.cli.watch import run_watch

    settings: Settings = ctx.obj
    if not host and watch:
        raise typer.BadParameter("--watch is for this machine: give --host, too")
    if not host:
        raise typer.Exit(run_demo(folder, as_json=settings.json))
    try:
        watch_s = seconds(watch or "2m")
    except ValueError as error:
        raise typer.BadParameter(f'--watch is "{watch}", {error}') from None
    raise typer.Exit(run_watch(folder, watch_s, as_json=settings.json))

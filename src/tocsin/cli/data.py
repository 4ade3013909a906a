"""`tocsin data`: look at telemetry, check it against the schema, generate it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, cast

import typer

from tocsin.cli import screens
from tocsin.cli.periods import End, MaxAge, Since, Start, period_of
from tocsin.cli.settings import Settings
from tocsin.cli.version_screens import age
from tocsin.errors import DataError

_RECENT = 20

data_app = typer.Typer(no_args_is_help=True, help="Look at telemetry, check it, generate it.")


@data_app.command("list")
def list_data(
    ctx: typer.Context,
    *,
    recent: Annotated[bool, typer.Option("--recent", help="Newest first, the first 20.")] = False,
    max_age_hours: Annotated[
        float | None,
        typer.Option("--max-age-hours", min=0.01, max=1e6, help="Only what was written in the last hours."),
    ] = None,
) -> None:
    """What the config's sources hold, with sizes and ages: files, objects, records."""
    settings: Settings = ctx.obj
    project = settings.project()
    config, now = project.config, project.clock()
    oldest = now - timedelta(hours=max_age_hours) if max_age_hours else None
    specs = [spec for spec in (config.source, config.test) if spec is not None]
    found = {piece.name: piece for spec in specs for piece in project.reader.source(spec).pieces}
    pieces = [piece for piece in found.values() if not oldest or (piece.modified and piece.modified >= oldest)]
    if recent:
        pieces = sorted(pieces, key=lambda piece: piece.modified or datetime.min.replace(tzinfo=UTC), reverse=True)
        pieces = pieces[:_RECENT]
    if settings.json:
        screens.document({"files": {piece.name: {"bytes": piece.size, "modified": piece.modified} for piece in pieces}})
        return
    screens.say("1 file" if len(pieces) == 1 else f"{len(pieces):,} files")
    rows = [
        (
            piece.name,
            "" if piece.size is None else f"{piece.size:,} bytes",
            "" if piece.modified is None else f"{age(piece.modified.isoformat(), now)} old",
        )
        for piece in pieces
    ]
    screens.grid([("name", "size", "age"), *rows])


@data_app.command()
def validate(
    ctx: typer.Context, *, since: Since = None, start: Start = None, end: End = None, max_age_hours: MaxAge = None
) -> None:
    """Read the whole source through the schema and count what would not be used, by reason."""
    from tocsin.sources.base import Tally

    settings: Settings = ctx.obj
    period = period_of(since, start, end, max_age_hours)
    project = settings.project()
    tally = Tally()
    with screens.progress_of(project):
        for _ in project.rows(tally=tally, period=period):
            pass
    if settings.json:
        screens.document(tally)
    else:
        screens.tally(tally)
    raise typer.Exit(0 if tally.passed_on and not (tally.quarantined or tally.files_refused) else 1)


@data_app.command()
def generate(
    ctx: typer.Context,
    output: Annotated[Path, typer.Argument(help="CSV file to write.")],
    *,
    kind: Annotated[str, typer.Option(help="flows, hosts, services, wifi or frames.")] = "flows",
    days: Annotated[float, typer.Option(min=0.01, max=366)] = 7.0,
    interval: Annotated[str, typer.Option(help="Between two rows of a host, service or link.")] = "5m",
    anomaly_rate: Annotated[float, typer.Option(min=0.0, max=0.5)] = 0.05,
    seed: Annotated[int, typer.Option(min=0)] = 42,
) -> None:
    """Write labelled telemetry that never was; every file says so in a column."""
    from tocsin.component import PartSpec, build
    from tocsin.sources.synthetic import Synthetic
    from tocsin.synthetic.base import to_csv

    if output.suffix != ".csv":
        raise DataError(str(output), f'the ending "{output.suffix}"', ".csv, since that is what is written")
    if output.exists():
        hint = "telemetry is never replaced in silence"
        raise DataError(str(output), "a file that exists already", "a new name", hint)
    spec = PartSpec(
        "synthetic",
        {"kind": kind, "days": days, "interval": interval, "anomaly_rate": anomaly_rate, "seed": seed},
    )
    source = cast("Synthetic", build("sources", spec, "tocsin data generate"))
    rows = to_csv(source.batch(), output)
    settings: Settings = ctx.obj
    if settings.json:
        screens.document({"file": output, "rows": rows, "generated": True})
    else:
        sentence = f"Generated {rows:,} rows into {output}; the column tocsin_generated says what they are."
        screens.say(sentence)

"""`tocsin data`: look at telemetry, check it against the schema, generate it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from tocsin.cli import screens
from tocsin.cli.periods import End, MaxAge, Since, Start, period_of
from tocsin.cli.settings import Settings
from tocsin.errors import DataError

data_app = typer.Typer(no_args_is_help=True, help="Look at telemetry, check it, generate it.")


@data_app.command("list")
def list_data(ctx: typer.Context) -> None:
    """The files of the config's sources, with their sizes."""
    from glob import glob

    from tocsin.sources.base_files import legible

    settings: Settings = ctx.obj
    config = settings.project().config
    specs = [spec for spec in (config.source, config.test) if spec is not None and "path" in spec.parameters]
    patterns = [str(config.resolve(str(spec.parameters["path"]))) for spec in specs]
    names = [name for pattern in patterns for name in sorted(glob(pattern, recursive=True))]  # noqa: PTH207  # patterns may be absolute
    sizes = {legible(name): Path(name).stat().st_size for name in names}
    if settings.json:
        screens.document({"files": sizes})
    else:
        screens.listing(
            "1 file" if len(sizes) == 1 else f"{len(sizes)} files",
            {name: f"{size:,} bytes" for name, size in sizes.items()},
        )


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

"""What commands show: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tocsin.errors import Problem, TocsinError

if TYPE_CHECKING:
    from tocsin.model.ledger import Version
    from tocsin.records import Alert, Verdict
    from tocsin.sources.base import Tally
    from tocsin.system import Outcome, Project

# Whoever reads through a pipe gets a line per row, however wide.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)

GENERATED = "[bold yellow]Made from generated data.[/]"
HEADLINES = (
    ("roc_auc", "ROC-AUC"),
    ("average_precision", "average precision"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("false_positive_rate", "false-positive rate"),
    ("event_recall", "events caught"),
    ("alerts", "alerts"),
    ("false_alarms", "false alarms"),
    ("alerts_per_day", "alerts a day"),
    ("anomaly_rate", "anomaly rate"),
    ("latency_p99_ms", "latency p99, ms"),
)


def document(value: object) -> None:
    """One JSON document for machines."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str))
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def error(problem: TocsinError) -> None:
    """What went wrong, where, and what to do."""
    for item in getattr(problem, "problems", (problem.problem,)):
        err.print(f"[red]✗[/] {escape(str(item))}")


@contextmanager
def progress_of(project: Project) -> Iterator[None]:
    """A moving line on a terminal while the project works; silent elsewhere."""
    stage, done = TextColumn("{task.description}"), TextColumn("{task.fields[done]}")
    columns = (SpinnerColumn(), stage, BarColumn(bar_width=24), done)
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=None, done="")

        def show(stage: str, rows: int) -> None:
            bar.update(task, description=stage, done=f"{rows:,} rows" if rows else "")

        project.progress = show
        yield


def verdict(judged: Verdict) -> None:
    """Passed or refused, with a line per target."""
    out.print("[bold green]Verdict: passed[/]" if judged.passed else "[bold red]Verdict: refused[/]")
    for judgement in judged.judgements:
        mark = "[green]✓[/]" if judgement.passed else "[red]✗[/]"
        out.print(f"  {mark} {escape(judgement.reason)}")


def outcome(result: Outcome, *, as_json: bool) -> None:
    """The figures of an evaluation and where the rest is."""
    version, report = result.version, result.report
    if as_json:
        document(
            {
                "version": version.version,
                "model": version.digest,
                "folder": result.folder,
                "rows": result.rows,
                "verdict": result.verdict,
                "report": report.to_json(),
            }
        )
        return
    if report.generated:
        out.print(GENERATED)
    tally(result.rows)
    table = Table("figure", "value", "95 % interval", box=None, pad_edge=False)
    for key, title in HEADLINES:
        figure = report.results.get(key)
        if figure is not None and figure.value is not None:
            interval = "" if figure.low is None else f"{figure.low:.3g} to {figure.high:.3g}"
            table.add_row(title, f"{figure.value:.4g}", interval)
    out.print(table)
    promise = report.promise
    asked, served = f"{promise['asked']:g} {promise['unit']}", f"{promise['served']:g}"
    out.print(f"Alert budget: {asked} asked, {served} served, {promise['state']}")
    verdict(result.verdict)
    out.print(f"Version {version.version} of {version.name}, model {version.digest[:12]}")
    out.print(f"Look at {result.folder}")


def tally(rows: Tally) -> None:
    """What became of the rows received."""
    out.print(
        f"{rows.received:,} rows received: {rows.passed_on:,} used, {rows.quarantined:,} quarantined, "
        f"{rows.duplicates:,} duplicates, {rows.ignored:,} left out"
    )
    for reason, number in sorted(rows.reasons.items(), key=lambda item: -item[1]):
        out.print(f"  {number:,} {escape(reason)}")


def problems(status: str, found: Sequence[Problem]) -> None:
    """A config's status and everything that is wrong with it."""
    for item in found:
        out.print(f"[red]✗[/] {escape(str(item))}")
    colour = {"valid": "green", "partial": "yellow", "invalid": "red"}[status]
    out.print(f"The config is [bold {colour}]{status}[/]" + (f": {len(found)} problems." if found else "."))


def part(name: str, checks: Sequence[str], failures: Mapping[str, str]) -> None:
    """The contract checks of a part."""
    for check in checks:
        mark = "[red]✗[/]" if check in failures else "[green]✓[/]"
        out.print(f"{mark} {check.removeprefix('check_').replace('_', ' ')}")
        if check in failures:
            out.print(f"    {escape(failures[check])}")
    out.print(f"{escape(name)}: {len(checks) - len(failures)} of {len(checks)} checks hold.")


def alert(shown: Alert) -> None:
    """One alert, as the console sink prints it."""
    from tocsin.sinks.console import Console as ConsoleSink

    sink = ConsoleSink()
    sink.open()
    sink.write([shown])
    sink.close()


def versions(entries: Sequence[Version], channels: Mapping[str, int]) -> None:
    """The versions of a model, newest first."""
    table = Table("version", "model", "created", "verdict", "data", "size", "channels", box=None, pad_edge=False)
    for entry in sorted(entries, key=lambda item: -item.version):
        names = ", ".join(name for name, version in channels.items() if version == entry.version)
        table.add_row(
            str(entry.version),
            entry.digest[:12],
            entry.created[:19],
            "passed" if entry.passed else "refused",
            "generated" if entry.generated else "real",
            f"{entry.size_bytes / 1e3:.0f} kB",
            names,
        )
    out.print(table)


def listing(title: str, entries: Mapping[str, Any]) -> None:
    """Names and values, a line each."""
    out.print(f"[bold]{escape(title)}[/]")
    for name, value in entries.items():
        out.print(f"  {escape(name)}: {escape(str(value))}")

"""What commands show: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tocsin.errors import ConfigError, Problem, TocsinError, visible
from tocsin.log import hidden
from tocsin.sinks.base_terminal import Terminal

if TYPE_CHECKING:
    from tocsin.cli.doctor import Finding
    from tocsin.evaluation.report import Report
    from tocsin.model.footprint import Footprint
    from tocsin.records import Alert, Judgement, Verdict
    from tocsin.sources.base import Tally
    from tocsin.system import Outcome, Project

# Whoever reads through a pipe gets a line per row, however wide.
out = Terminal(width=None if sys.stdout.isatty() else 200)
err = Terminal(stderr=True)

WrongUsage: type[Any] = typer.BadParameter.__mro__[1]
"""What a wrong word on the line raises; the parser does not export it."""
GENERATED = "[bold yellow]Made from generated data.[/]"
HEADLINES = (
    ("roc_auc", "ROC-AUC"),
    ("average_precision", "average precision"),
    ("vus_pr", "VUS-PR"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
    ("false_positive_rate", "false-positive rate"),
    ("event_recall", "events caught"),
    ("detection_delay_p50_seconds", "detection delay, s"),
    ("alerts", "alerts"),
    ("false_alarms", "false alarms"),
    ("false_alarms_per_day", "false alarms a day"),
    ("alerts_per_day", "alerts a day"),
    ("anomaly_rate", "anomaly rate"),
    ("fidelity_top3", "alerts cleared without their reasons"),
    ("latency_p99_ms", "latency p99, ms"),
)
BUDGET_STATES = {
    "provisional": "so few alerts fit into the calibration span that their true rate may be some way off",
    "extrapolated": "the level lies beyond what the calibration span has shown, on a tail fitted to it",
}
WIDEST = 1_000
"""Characters of a line, for a table that has not been fitted to one."""
MORE_THAN_ASKED = 1.001
"""Served / asked beyond which the difference is worth a line."""


def document(value: object) -> None:
    """One JSON document for machines, in ASCII: no terminal obeys it and no encoding refuses it."""
    plain = orjson.loads(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=_legible))
    out.out(json.dumps(plain, indent=2))


def _legible(value: object) -> str:
    # The bytes of a path need not be text.
    return str(value).encode("utf-8", "backslashreplace").decode()


def plain(problem: Problem) -> dict[str, str]:
    """A problem as JSON values."""
    return {name: visible(value) for name, value in asdict(problem).items()}


def error(problem: TocsinError, *, as_json: bool) -> None:
    """What went wrong, where, and what to do; what is no terminal is a log, and told what a log may be told."""
    if not as_json:
        for item in problem.problems if isinstance(problem, ConfigError) else [problem.problem]:
            err.print(f"[red]✗[/] {escape(str(item) if err.is_terminal else hidden(str(item)))}")
    elif isinstance(problem, ConfigError):
        document({"problems": [plain(item) for item in problem.problems]})
    else:
        document({"error": plain(problem.problem)})


def usage(wrong: Any, *, as_json: bool) -> None:
    """A word on the line that is not understood; nothing where the help was shown in its place."""
    message = " ".join(wrong.format_message().split())
    if message:
        command = wrong.ctx.command_path if wrong.ctx else "tocsin"
        got = (message[0].lower() + message[1:].rstrip(".")).removeprefix("got ")
        error(TocsinError(command, got, hint=f"{command} --help"), as_json=as_json)


def say(sentence: str) -> None:
    """A result in a line."""
    out.print(visible(sentence), markup=False)


def aside(sentence: str) -> None:
    """Something to know that is no result."""
    err.print(f"[yellow]{escape(visible(sentence))}[/]")


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _counted(number: int, word: str, many: str = "") -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {many or word + 's'}"


@contextmanager
def progress_of(project: Project) -> Iterator[None]:
    """A moving line on a terminal while the project works; silent elsewhere."""
    stage, done = TextColumn("{task.description}"), TextColumn("{task.fields[done]}")
    columns = (SpinnerColumn(), stage, BarColumn(bar_width=24), done)
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=None, done="")

        def show(stage: str, done: int, total: int = 0, /) -> None:
            counted = f"{done:,} of {total:,}" if total else f"{done:,} rows" if done else ""
            bar.tasks[0].total = total or None  # `update` takes None for "as before"
            bar.update(task, description=stage, completed=done, done=counted)

        project.progress = show
        yield


@contextmanager
def counted_progress(total: int) -> Iterator[Callable[..., None]]:
    """A bar on a terminal over so many things; what is given tells it what is going on, and how many are done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("starting", total=total)

        def show(what: str, done: int = 0) -> None:
            bar.update(task, description=what or None, advance=done)

        yield show


def grid(rows: Sequence[Sequence[str]]) -> None:
    """A table of texts, its heads first; what stands between pairs of stars is bold.

    Where no table fits without breaking words, rows stand one below the other, without their empty cells.
    """
    heads, *body = rows
    table = Table(*(escape(head) for head in heads), box=None, pad_edge=False)
    for row in body:
        cells = (escape(visible(cell)) for cell in row)
        table.add_row(*(f"[bold]{_bare(cell)}[/]" if cell.startswith("**") else cell for cell in cells))
    if out.measure(table, options=out.options.update(max_width=WIDEST)).minimum <= out.width:
        out.print(table, soft_wrap=False)
        return
    for first, *others in body:
        listing(_bare(first), {head: _bare(cell) for head, cell in zip(heads[1:], others, strict=True) if cell})


def _bare(cell: str) -> str:
    return cell[2:-2] if cell.startswith("**") else cell


def verdict(judged: Verdict) -> None:
    """Passed or refused: every target and what was missed in a line each, the other gates by their names."""
    from tocsin.evaluation.judge import GATES

    out.print("[bold green]Verdict: passed[/]" if judged.passed else "[bold red]Verdict: refused[/]")
    if judged.passed and judged.needs_approval:
        out.print("  [yellow]It takes a person's approval: tocsin models promote VERSION --approve NOTE[/]")
    held: dict[str, None] = {}
    skipped: dict[str, dict[str, None]] = {}
    for item in judged.judgements:
        if not item.asked:
            skipped.setdefault(str(item.got), {})[item.target] = None
        elif item.passed and item.target in GATES:
            held[item.target] = None
        else:
            judgement(item)
    if held:
        out.print(f"  [green]✓[/] {', '.join(held)}")
    for why, names in skipped.items():
        out.print(f"  - not asked: {literal(', '.join(names))} ({literal(why)})")


def judgement(item: Judgement, why: str = "") -> None:
    """What one gate or target found, and why it is asked."""
    missed = "[yellow]![/]" if item.soft else "[red]✗[/]"
    out.print(f"  {'[green]✓[/]' if item.passed else missed if item.asked else '-'} {literal(item.reason)}")
    if why:
        out.print(f"    [dim]{literal(why)}[/]")


def outcome(result: Outcome, *, as_json: bool) -> None:
    """The figures of an evaluation, how to read them, and where the rest is."""
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
    if report.seen_in_training:
        out.print("[bold yellow]Judged on rows that the model learnt from.[/]")
    tally(result.rows)
    table = Table("figure", "value", "95 % interval", box=None, pad_edge=False)
    for key, title in HEADLINES:
        figure = report.results.get(key)
        if figure is not None and figure.value is not None:
            interval = "" if figure.low is None else f"{figure.low:.3g} to {figure.high:.3g}"
            table.add_row(title, f"{figure.value:.4g}", interval)
    out.print(table, soft_wrap=False)
    _budget(report)
    verdict(result.verdict)
    out.print(f"Version {version.version} of {literal(version.name)}, model {version.digest[:12]}")
    out.print(f"Look at {literal(result.folder)}")
    for note in report.notes:
        out.print(f"[dim]{literal(note)}[/]")


def _budget(report: Report) -> None:
    """What became of the alert budget, and what it would take to hold it."""
    promise = report.promise
    asked, served, state = promise["asked"], promise["served"], str(promise["state"])
    out.print(f"Alert budget: {asked:g} {literal(promise['unit'])} asked, {served:.4g} served, {literal(state)}")
    if served > asked * MORE_THAN_ASKED:
        out.print(f"  [bold yellow]{_plain(served / asked)} times what you asked[/]")
    if state in ("held", "fixed"):
        return
    rows = promise.get("rows_needed")
    needed = f"{_plain(promise['days_needed'])} days" if rows is None else f"{rows:,} rows"
    had = f"{_plain(promise['days'])} days" if rows is None else f"{promise['rows']:,}"
    meaning = BUDGET_STATES.get(state, "the calibration span cannot promise it")
    out.print(
        f"  [yellow]{literal(state.capitalize())}: {meaning}; it takes {needed} of calibration, there were {had}.[/]"
    )


def tally(rows: Tally) -> None:
    """What became of the rows received."""
    out.print(
        f"{_counted(rows.received, 'row')} received: {rows.passed_on:,} used, {rows.quarantined:,} quarantined, "
        f"{_counted(rows.duplicates, 'duplicate')}, {rows.ignored:,} left out"
    )
    if rows.files_refused:
        out.print(f"[yellow]{_counted(rows.files_refused, 'file')} refused, whole or from a break on[/]")
    for reason, number in sorted(rows.reasons.items(), key=lambda item: -item[1]):
        out.print(f"  {number:,} {literal(reason)}")


def scores(rows: Tally, *, scored: int, flagged: int, alerts: int) -> None:
    """What became of the rows of a file, and what rang."""
    tally(rows)
    out.print(f"{_counted(scored, 'row')} scored, {flagged:,} flagged, {_counted(alerts, 'alert')}")


def problems(status: str, found: Sequence[Problem]) -> None:
    """A config's status and everything that is wrong with it."""
    for item in found:
        out.print(f"[red]✗[/] {escape(str(item))}")
    colour = {"valid": "green", "partial": "yellow", "invalid": "red"}[status]
    out.print(f"The config is [bold {colour}]{status}[/]" + (f": {_counted(len(found), 'problem')}." if found else "."))


def footprint(found: Footprint, memory: int | None) -> None:
    """What a model computes and remembers, a line per feature, and whether that fits."""
    from tocsin.features.base_windows import window_text

    table = Table("feature", "remembers", box=None, pad_edge=False)
    table.add_column("bytes", justify="right")
    table.add_column("columns", overflow="fold")
    for share in found.shares:
        columns = ", ".join(share.columns) + (" (learns from training rows)" if share.learns else "")
        remembers = window_text(round(share.remembers_s, 3)) if share.remembers_s else ""
        each = f"{share.bytes_per_entity:,}" if share.bytes_per_entity else ""
        table.add_row(literal(share.feature), remembers, each, literal(columns))
    out.print(table, soft_wrap=False)
    if not found.bytes:
        out.print("[bold]Nothing is remembered from row to row.[/]")
    else:
        entities = _counted(found.entities, "entity", "entities")
        out.print(f"[bold]{found.bytes_per_entity:,} bytes per entity, {size(found.bytes)} for {entities}[/]")
    if memory is not None and found.bytes > memory:
        fitting = memory // found.bytes_per_entity
        out.print(
            f"[red]More than limits.memory, {size(memory)}[/]: {_counted(fitting, 'entity', 'entities')} would fit"
        )
    elif memory is not None:
        out.print(f"[green]Less than limits.memory, {size(memory)}[/], which rows and model share")
    known = "known when it has learnt from training rows" if found.fingerprint is None else found.fingerprint
    out.print(f"Fingerprint of the features: {known}")


def size(number: int) -> str:
    """Bytes as people say them."""
    unit, length = next((pair for pair in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if number >= pair[1]), ("bytes", 1))
    return f"{number / length:,.3g} {unit}"


def findings(found: Sequence[Finding]) -> None:
    """What was looked at, and what to do about it."""
    for finding in found:
        mark = {"ok": "[green]✓[/]", "advice": "[yellow]![/]", "broken": "[red]✗[/]"}[finding.verdict]
        out.print(f"{mark} {literal(finding.what)}: {literal(finding.found)}")
        if finding.hint:
            out.print(f"  Hint: {literal(finding.hint)}")
    broken = sum(finding.verdict == "broken" for finding in found)
    out.print(f"[bold red]Broken: {broken}[/]" if broken else "[bold green]Nothing is broken.[/]")


def part(name: str, checks: Sequence[str], failures: Mapping[str, str]) -> None:
    """The contract checks of a part."""
    for check in checks:
        mark = "[red]✗[/]" if check in failures else "[green]✓[/]"
        out.print(f"{mark} {check.removeprefix('check_').replace('_', ' ')}")
        for line in failures.get(check, "").splitlines():
            out.print(f"    {literal(line)}")
    out.print(f"{literal(name)}: {len(checks) - len(failures)} of {len(checks)} checks hold.")


def alert(shown: Alert) -> None:
    """One alert, as the console sink prints it."""
    from tocsin.sinks.console import Console as ConsoleSink

    sink = ConsoleSink()
    sink.open()
    sink.write([shown])
    sink.close()


def listing(title: str, entries: Mapping[str, Any]) -> None:
    """Names and values, a line each."""
    out.print(f"[bold]{literal(title)}[/]")
    for name, value in entries.items():
        out.print(f"  {literal(name)}: {literal(value)}")


def literal(value: object) -> str:
    """Text that neither the terminal nor the markup obeys."""
    return escape(visible(str(value)))

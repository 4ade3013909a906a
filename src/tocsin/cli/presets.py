"""`tocsin presets`: what there is, and what each takes, computes and decides, as a page in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from itertools import takewhile
from typing import Annotated

import typer
from rich.markdown import Markdown

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.config import Config, parse
from tocsin.model.catalogue import Column, columns
from tocsin.model.design import Design
from tocsin.presets import presets, read_preset
from tocsin.schema import Field, Schema

presets_app = typer.Typer(no_args_is_help=True, help="Look at the ready-made configs for kinds of telemetry.")


@presets_app.command("list")
def list_presets(ctx: typer.Context) -> None:
    """Every preset and what it is for."""
    settings: Settings = ctx.obj
    found = {name: lead(name).partition(": ")[0] for name in presets()}
    if settings.json:
        screens.document(found)
    else:
        screens.listing(f"{len(found)} presets", found)


@presets_app.command()
def show(ctx: typer.Context, name: Annotated[str, typer.Argument(help="As `presets list` shows it.")]) -> None:
    """The page of a preset: every column that it takes and computes, in which unit, over which time."""
    settings: Settings = ctx.obj
    text = page(name)
    if settings.json:
        screens.document({"name": name, "page": text})
    elif screens.out.is_terminal:
        screens.out.print(Markdown(text))
    else:
        typer.echo(text)


def page(name: str) -> str:
    """The page of a preset; raises ConfigError if there is none of that name."""
    brought = read_preset(name)
    config = parse(f"version: 1\nname: page\npreset: {name}\n")
    catalogue = columns(Design.of(config))
    return "\n".join([
        f"# Preset `{name}`",
        "",
        lead(name),
        "",
        *_takes(config.schema_),
        *_computes(catalogue),
        *_decides(config, brought),
    ])  # fmt: skip


def lead(name: str) -> str:
    """The first words of a preset's file: what it is for."""
    text = files("tocsin.presets").joinpath(f"{name}.yaml").read_text("utf-8")
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines)


def _takes(schema: Schema) -> Iterator[str]:
    yield from ("## What it takes", "")
    roles: dict[str | None, str] = {schema.time: "the clock", schema.entity: "the entity"}
    roles |= dict.fromkeys(schema.key, "the key")
    rows = [
        (f"`{name}`", item.dtype, item.unit, _range(item), _needed(item), _words(item.aliases), roles.get(name, ""))
        for name, item in schema.fields.items()
    ]
    if rows:
        yield from (*_table(("column", "type", "unit", "range", "needed", "also called", "is"), rows), "")
    if schema.others is not None:
        every = "Every other column is a metric, too" if rows else "Every column is a metric"
        yield from (f"{every}: `*` stands for all of them.", "")


def _range(item: Field) -> str:
    if item.kind == "counter":
        return f"counter, {item.bits} bits"
    if item.values:
        return ", ".join(item.values)
    if item.minimum is None and item.maximum is None:
        return ""
    low, high = (("" if edge is None else f"{edge:.15g}") for edge in (item.minimum, item.maximum))
    return f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"


def _needed(item: Field) -> str:
    return ", ".join(word for word, holds in (("yes", not item.optional), ("hidden", item.identity)) if holds)


def _computes(catalogue: Sequence[Column]) -> Iterator[str]:
    shown = sum(column.shown for column in catalogue)
    number = "1 column" if len(catalogue) == 1 else f"{len(catalogue)} columns"
    yield from ("## What it computes", "", f"{number}, {shown} of which the detector is shown.", "")
    rows = [
        (f"`{item.name}`", item.group, item.unit, _words(item.inputs), item.window, "" if item.shown else "aside")
        for item in catalogue
    ]
    yield from _table(("column", "group", "unit", "from", "window", ""), rows)
    yield ""


def _decides(config: Config, brought: dict[str, object]) -> Iterator[str]:
    yield from ("## What it decides", "", f"- Detector: `{config.detector}`")
    if "threshold" in brought:
        yield f"- Threshold: `{config.threshold}`"
    yield f"- Alert budget: {config.alerts.budget.text or '3/day'}, cool-down {config.alerts.cooldown:g} s"
    if config.source is not None:
        yield f"- Source: `{config.source.type}`"
    if config.labels is not None and "labels" in brought:
        yield f"- Labels: column `{config.labels.column}`"
    yield from (f"- Gate: `{name}` {target}" for name, target in config.gate.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table without the columns that are empty in every row."""
    body = list(rows)
    kept = [place for place in range(len(head)) if any(row[place] for row in body)]
    yield "| " + " | ".join(head[place] for place in kept) + " |"
    yield "|" + "---|" * len(kept)
    yield from ("| " + " | ".join(row[place] for place in kept) + " |" for row in body)


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)

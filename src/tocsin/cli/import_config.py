"""`tocsin import-config`: a config of another system in Tocsin's words, and what became of each of theirs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tocsin.cli import screens
from tocsin.cli.settings import Settings

if TYPE_CHECKING:
    from tocsin.cli.imported.words import Translation

TITLES = {
    "kept": "Kept",
    "no_meaning": "Without a meaning here",
    "not_yet": "Not yet",
    "unfit": "Does not fit",
    "unknown": "Unknown",
}
DONE, NOT_WHOLLY = 0, 1


class Format(StrEnum):
    """The systems whose configs can be read."""

    AUTO = "auto"
    MNEMOSYNE = "mnemosyne"
    AMOSKYS = "amoskys"
    NETWORKING_TESTER = "networking_tester"
    HELIOS = "helios"
    ANALYZER = "analyzer"


def import_config(
    ctx: typer.Context,
    *,
    file: Annotated[Path, typer.Argument(help="YAML, JSON, or lines of KEY=value.")],
    format: Annotated[Format, typer.Option(help="Whose config it is; auto tells it by its words.")] = Format.AUTO,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: the file of -c.")] = None,
) -> None:
    """Translate another system's config, word by word. 1 if a word is unknown or does not fit."""
    from tocsin.cli.imported.reading import environment_beside, read
    from tocsin.cli.imported.systems import SYSTEMS, recognised, words_of
    from tocsin.cli.imported.words import translate
    from tocsin.cli.imported.writing import config_text
    from tocsin.config import parse
    from tocsin.system import check

    settings: Settings = ctx.obj
    output = output or settings.config
    foreign = read(file)
    name = recognised(foreign, file) if format is Format.AUTO else str(format)
    translation = translate(SYSTEMS[name], words_of(SYSTEMS[name], foreign))
    text = config_text(translation, file.name)
    check(parse(text, output))
    try:
        with output.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise typer.BadParameter(f"{output} exists already; choose another name with -o") from None
    _show(translation, name, output, environment_beside(file), as_json=settings.json)
    raise typer.Exit(DONE if translation.whole else NOT_WHOLLY)


def _show(translation: Translation, name: str, output: Path, environment: list[str], *, as_json: bool) -> None:
    if as_json:
        words = [
            {"word": word.path, "line": word.line, "fate": fate.kind, "said": fate.said, "settings": fate.settings}
            for word, fate in translation.fates
        ]
        screens.document({"config": output, "format": name, "words": words, "environment": environment})
        return
    for kind, title in TITLES.items():
        found = {word.path: fate.told for word, fate in translation.fates if fate.kind == kind}
        if found:
            screens.listing(title, found)
    if environment:
        told = "not copied: Tocsin takes ${NAME} from the environment, so load the file there before you call it"
        screens.listing("Beside it, in .env", dict.fromkeys(environment, told))
    whose = translation.system.title
    screens.say(f"Wrote {output}, from a config of {whose}. Look it over, then: tocsin check -c {output}")

"""`tocsin models export` and `import`: a version in one file; what other systems wrote down of theirs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tocsin.cli import screens, version_screens
from tocsin.cli.settings import Settings, version_of
from tocsin.errors import IntegrityError

if TYPE_CHECKING:
    from tocsin.cli.imported.heirlooms import Found
    from tocsin.storage.archive import Archive
    from tocsin.system import Project


class PackageFormat(StrEnum):
    """Whose package it is."""

    TOCSIN = "tocsin"
    ANALYZER = "analyzer"


def export_model(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A version number or a channel.")],
    file: Annotated[Path | None, typer.Argument(help="ZIP to write. Default: NAME-VERSION.zip.")] = None,
    *,
    format: Annotated[PackageFormat, typer.Option(help="Whose package.")] = PackageFormat.TOCSIN,
) -> None:
    """Write a version with all that was said of it into one file, signed as it is here."""
    from tocsin.cli.deployment import deployment
    from tocsin.storage.archive import write_archive

    settings: Settings = ctx.obj
    project = settings.project()
    name, registry = project.config.name, project.registry
    number = registry.load(name, version_of(version))[1].version
    if format is PackageFormat.ANALYZER:
        file = file or Path(f"model_{number}_deployment.zip")
        files = deployment(project, number, project.clock())
    else:
        file = file or Path(f"{name}-{number}.zip")
        files = registry.luggage(name).package(number)
    write_archive(file, files)
    if settings.json:
        screens.document({"file": file, "version": number, "files": len(files)})
    else:
        screens.say(f"Wrote version {number} of {name} into {file}; elsewhere: tocsin models import {file}")


def import_model(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A package, or the registry JSON of Networking Tester.")],
) -> None:
    """Take over a version as the next candidate, unjudged; of other systems' models what is known, and no file."""
    from tocsin.cli.imported.heirlooms import MAX_JSON_BYTES, networking_tester
    from tocsin.registry.packages import MORE_BYTES
    from tocsin.storage.archive import Archive, whole_file

    settings: Settings = ctx.obj
    project = settings.project()
    limit = project.config.registry.max_size + MORE_BYTES
    data = whole_file(file, limit)
    if not data.lstrip().startswith(b"{"):
        found = _from_zip(project, Archive(data, file.name, limit), file.name)
    elif len(data) > MAX_JSON_BYTES:
        raise IntegrityError(file.name, "a large document", f"at most {MAX_JSON_BYTES} bytes")
    else:
        found = _bring(project, networking_tester(data, file.name))
    if settings.json:
        screens.document(found)
    else:
        _show(found, project.config.name)
    raise typer.Exit(1 if found["problems"] else 0)


def _from_zip(project: Project, archive: Archive, where: str) -> dict[str, Any]:
    from tocsin.cli.deployment import MANIFEST, MODEL
    from tocsin.cli.imported.heirlooms import analyzer
    from tocsin.registry.packages import MORE_BYTES, is_package
    from tocsin.storage.archive import Archive

    if is_package(archive):
        return _take(project, archive)
    if MANIFEST not in archive.names:
        raise IntegrityError(where, "a ZIP of something else", f"a package: {MANIFEST} or registry.json in it")
    brought = analyzer(archive, where)
    if MODEL not in archive.names:
        return _bring(project, brought)
    limit = project.config.registry.max_size + MORE_BYTES
    return _take(project, Archive(archive.read(MODEL, limit), MODEL, limit))


def _take(project: Project, archive: Archive) -> dict[str, Any]:
    from tocsin.registry.packages import take, unpacked

    package = unpacked(archive, project.config.registry, project.clock)
    version = take(project.registry, project.config.name, package)
    return {"version": version, "origin": package.origin, "heirlooms": (), "problems": []}


def _bring(project: Project, found: Found) -> dict[str, Any]:
    kept = project.registry.luggage(project.config.name).keep(found.heirlooms)
    return {"version": None, "origin": "", "heirlooms": kept, "problems": found.problems}


def _show(found: dict[str, Any], name: str) -> None:
    if version := found["version"]:
        number = version.version
        screens.say(f"{found['origin']} is version {number} of {name}, unjudged. Next: tocsin gate {number}")
    version_screens.heirlooms(found["heirlooms"])
    if not found["version"] and not found["heirlooms"]:
        screens.say("Nothing in it is new here.")
    for problem in found["problems"]:
        screens.say(f"Not read: {problem}")

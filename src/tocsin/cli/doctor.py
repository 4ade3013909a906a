"""What `tocsin doctor` looks at: this machine, this installation, this folder."""

from __future__ import annotations

import platform
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tocsin.component import Part, PartSpec, Room
from tocsin.config import Config, load
from tocsin.database import SOUND
from tocsin.errors import ConfigError, TocsinError
from tocsin.kernel import build, golden
from tocsin.kernel.trees import walks
from tocsin.system import check
from tocsin.training.history import local_part

LITTLE_ROOM = 10**9
"""Bytes free on the disk below which it is time to look."""
A_ZONE = "Europe/Berlin"
_REQUIREMENT = re.compile(r"(?P<package>[\w.-]+)[^;>]*(?:>=(?P<least>[\d.]+))?[^;]*(?:;.*extra == .(?P<extra>\w+).)?")
_FOR_OTHERS = {"all", "dev"}
"""Extras that bring no part of Tocsin to work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Literal["ok", "advice", "broken"]
    found: str
    hint: str = ""


def examine(config: Path) -> Iterator[Finding]:
    """All findings: those of the installation, then those of a config and its folder."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    try:
        yield from packages(requires("tocsin") or [])
    except PackageNotFoundError:
        yield Finding("packages", "broken", "Tocsin runs without being installed", "pip install tocsin")
    yield _kernel()
    yield _arithmetic()
    yield Finding("trees", "ok", f"walked by {walks()[0]}")
    yield _time_zones()
    yield _engine()
    yield _config(config)
    yield from _servers(config)
    yield from _folder(config.absolute().parent)


def packages(requirements: Iterable[str]) -> Iterator[Finding]:
    """Whether what Tocsin needs is there, and what each extra would bring."""
    found: dict[str, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for needed in filter(None, map(_REQUIREMENT.match, requirements)):
        package, least, extra = needed["package"], needed["least"] or "0", needed["extra"] or ""
        if package == "tocsin" or extra in _FOR_OTHERS:
            continue
        try:
            had = version(package)
        except PackageNotFoundError:
            lacking.setdefault(extra, []).append(f"no {package}")
            continue
        found.setdefault(extra, []).append(f"{package} {had}")
        if _release(had) < _release(least):
            lacking.setdefault(extra, []).append(f"{package} {had}, wanted {least} or newer")
    for extra in sorted(found.keys() | lacking.keys()):
        what, name = (f"extra {extra}", f"tocsin[{extra}]") if extra else ("packages", "tocsin")
        if extra in lacking:
            text, hint = "; ".join(lacking[extra]), f"pip install --upgrade '{name}'"
            yield Finding(what, "advice" if extra else "broken", text, hint)
        else:
            yield Finding(what, "ok", ", ".join(found[extra]))


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version, up to the first part that is none."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _kernel() -> Finding:
    if build.compiled():
        return Finding("kernel", "ok", "compiled")
    slower = f"the kernel runs interpreted, about {build.SLOWDOWN} times slower"
    if build.asked_for():
        return Finding("kernel", "advice", f"{build.SETTING} is set: {slower}", f"unset {build.SETTING}")
    hint = "install a C compiler and reinstall"
    return Finding("kernel", "advice", f"no compiler was there at installation: {slower}", hint)


def _arithmetic() -> Finding:
    if golden.golden() == golden.GOLDEN:
        return Finding("arithmetic", "ok", "every operation gives the bits it should")
    hint = "models score otherwise here than elsewhere: say which processor, system and compiler this is"
    return Finding("arithmetic", "broken", "other bits than on every other machine", hint)


def _time_zones() -> Finding:
    try:
        ZoneInfo(A_ZONE)
    except ZoneInfoNotFoundError:
        return Finding("time zones", "broken", f"no {A_ZONE}", "pip install --upgrade tzdata")
    return Finding("time zones", "ok", "known")


def _engine() -> Finding:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= SOUND:
        return Finding("databases", "ok", found)
    sound = ".".join(map(str, SOUND))
    found += f": before {sound} two writers could damage a file; Tocsin keeps every second one out"
    return Finding("databases", "advice", found, "let no other program write to its databases")


def _config(path: Path) -> Finding:
    if not path.exists():
        return Finding("config", "advice", f"no {path}", "tocsin init --preset flows writes a first one")
    try:
        check(load(path))
    except ConfigError as error:
        number = len(error.problems)
        found = f"{path} has {number} problem{'' if number == 1 else 's'}"
        return Finding("config", "broken", found, f"tocsin check -c {path}")
    return Finding("config", "ok", f"{path} is valid")


def _servers(path: Path) -> Iterator[Finding]:
    """What the servers that a config names may lose."""
    try:
        config = load(path)
    except TocsinError:
        return
    for source in (config.source, config.stream.source):
        if source is not None:
            yield from _risks("sources", source, config)
    for sink in config.sinks:
        yield from _risks("sinks", sink, config)


def _risks(room: Room, spec: PartSpec, config: Config) -> Iterator[Finding]:
    what = f"{room.removesuffix('s')} {spec.type}"
    try:
        found = cast("Part", local_part(room, spec, config))
        risks = found.risks()
    except TocsinError as error:
        yield Finding(what, "advice", f"cannot be asked: {error.problem.got}", error.problem.hint)
        return
    for risk in risks:
        yield Finding(what, "broken" if risk.loses else "advice", f"{risk.setting}: {risk.found}", risk.hint)
    if not risks and type(found).risks is not Part.risks:
        yield Finding(what, "ok", "keeps what it acknowledges")


def _folder(folder: Path) -> Iterator[Finding]:
    try:
        tempfile.TemporaryFile(dir=folder).close()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("folder", "broken", f"{folder} cannot be written ({error.strerror})", "choose another with -c")
        return
    yield Finding("folder", "ok", f"{folder} can be written")
    room = f"{free / 1e9:,.1f} GB free"
    hint = "clear runs/, or give limits.feature_cache and registry.keep less"
    yield Finding("disk", "ok", room) if free >= LITTLE_ROOM else Finding("disk", "advice", room, hint)

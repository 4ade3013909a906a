"""`tocsin check`: the config by itself, then everything that it names."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape

from tocsin.cli import screens
from tocsin.cli.settings import Settings
from tocsin.component import optional_packages
from tocsin.config import Config
from tocsin.errors import ConfigError, visible
from tocsin.system import check, dependencies, lacking
from tocsin.system.connections import Answer, Dependency, Look

_EXIT_CODES = {"valid": 0, "partial": 1, "invalid": 2}
_MARKS = {"valid": "[green]✓[/]", "partial": "[yellow]![/]", "invalid": "[red]✗[/]"}


def checked(settings: Settings, *, connect: bool) -> int:
    """Show what holds and what does not; the exit code."""
    found: list[Dependency] = []
    status, problems = "valid", []
    try:
        project = settings.project()
        check(project.config)
        problems = list(map(project.config.located, lacking(project.config)))
        if connect:
            with screens.progress_of(project):
                found += dependencies(project, also=_server(project.config))
            problems = [problem for item in found for problem in item.problems]
        if problems:
            status = "partial"
    except ConfigError as error:
        status, problems = "invalid", list(error.problems)
    if settings.json:
        asked = [{**asdict(item), "problems": [screens.plain(problem) for problem in item.problems]} for item in found]
        plain = [screens.plain(problem) for problem in problems]
        screens.document({"status": status, "problems": plain, "dependencies": asked})
    else:
        for item in found:
            screens.out.print(f"{_MARKS[item.status]} {item.name}: {escape(visible(item.found))}")
        screens.problems(status, problems)
    return _EXIT_CODES[status]


def _server(config: Config) -> dict[str, Look]:
    """How to look at the REST server, where the config has one."""

    def look() -> Answer:
        with optional_packages("$.server"):
            from tocsin.server import checking
        return checking.look(config)

    return {"server": look} if config.server else {}

"""What `stream.shadow` names is scored beside what serves, and how it does is written down for its gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import TocsinError
from tocsin.evaluation import beside
from tocsin.observe import swapping
from tocsin.registry.standing import Standing
from tocsin.scoring.alongside import Alongside
from tocsin.scoring.shadow import Shadow
from tocsin.scoring.swap import expect_fit
from tocsin.system.project import Project
from tocsin.system.serving import serving_of

WRITTEN_S = 60.0
"""Between two times that a comparison is written down."""


@dataclass(slots=True)
class _Pair:
    """The version beside, and the one that serves."""

    version: int
    digest: str
    """Of the one that serves."""
    shadow: Shadow
    written: float


class Comparison:
    """Compares a candidate with what serves.

    Parameters
    ----------
    project
        Of which config and registry.
    alongside
        Where the candidate is scored.
    folder
        Where it is written down how it does.
    """

    def __init__(self, project: Project, alongside: Alongside, folder: Path) -> None:
        self._project = project
        self._alongside = alongside
        self._path = folder / beside.FILE
        self._pair: _Pair | None = None
        self._refused = ""

    def look(self, channels: Mapping[str, Standing]) -> None:
        """Begin, end or write down a comparison, as the channels stand.

        Raises
        ------
        TocsinError
            If it cannot be written.
        """
        version, serving = self._wanted(channels), self._alongside.stream.serving
        if version is None or version == serving.version:
            self.end()
        elif self._pair is None or (self._pair.version, self._pair.digest) != (version, serving.digest):
            self.end()
            self._begin(version)
        else:
            self._write(self._pair)

    def end(self) -> None:
        """Compare no more."""
        if self._pair is not None:
            gone, self._pair = self._pair.shadow, None
            self._alongside.ask(lambda: self._alongside.remove(gone))

    def _wanted(self, channels: Mapping[str, Standing]) -> int | None:
        named = self._project.config.stream.shadow
        if named is None or named.isdecimal():
            return None if named is None else int(named)
        standing = channels.get(named)
        return None if standing is None or standing.step is None else standing.step.version

    def _begin(self, version: int) -> None:
        serving = self._alongside.stream.serving
        if self._refused == (what := f"{version} beside {serving.version}"):
            return
        try:
            candidate = serving_of(self._project, version)
            expect_fit(serving.scorer.model, candidate.scorer.model)
        except TocsinError as error:
            self._refused = what
            swapping.candidate_refused(version, error.problem.got, again=False)
            return
        shadow = self._alongside.ask(lambda: self._alongside.add(candidate))
        self._pair = _Pair(version, serving.digest, shadow, self._alongside.clocks.elapsed() - WRITTEN_S)

    def _write(self, pair: _Pair) -> None:
        found, elapsed = pair.shadow.compared(), self._alongside.clocks.elapsed()
        if found.enough and elapsed - pair.written >= WRITTEN_S:
            found.write(self._path)
            pair.written = elapsed
            swapping.shadow_compared(pair.version, found.rows, found.alert_ratio, found.agreement)

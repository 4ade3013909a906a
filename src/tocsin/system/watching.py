"""A version that has just taken over is watched beside the one before it, which serves again if it does worse."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tocsin.errors import NoRoom, RegistryError, TocsinError
from tocsin.observe import swapping
from tocsin.scoring.alongside import Alongside
from tocsin.scoring.canary import Result, canary
from tocsin.scoring.health import Health
from tocsin.scoring.probation import Probation
from tocsin.scoring.shadow import Shadow
from tocsin.scoring.swap import same_features
from tocsin.scoring.work import Serving
from tocsin.system.project import Project
from tocsin.system.serving import serving_of

SETTLE_S = 5.0
"""How long the stream works at most for a model to catch up with it before it serves."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """The version that serves since the last swap, and the one before it."""

    serving: Serving
    before: Serving
    step: int
    shadow: Shadow
    health: Health


class Watch:
    """Judges the last swap while the version before can still take over again.

    Parameters
    ----------
    project
        Whose registry is told.
    alongside
        Where the version before is scored.
    folder
        Where it is kept for a restart what is watched, and what failed.
    """

    def __init__(self, project: Project, alongside: Alongside, folder: Path) -> None:
        self._project = project
        self._alongside = alongside
        self._folder = folder
        self._lasts_s = project.config.stream.watch
        self._watched: _Watched | None = None
        self.probation = Probation.read(folder)
        self._kept = True
        """The probation is on the disk, too."""

    @property
    def on(self) -> bool:
        """Whether a version is watched."""
        return self._watched is not None

    def announce(self, serving: Serving, before: Serving, step: int) -> None:
        """Write down that a version is about to take over: it may be what ends the service.

        Raises
        ------
        RegistryError
            If there is no room.
        """
        now, failed = self._alongside.clocks.now(), self.probation.failed
        self.probation = Probation(serving.version, before.version, step, now, failed=failed)
        self.probation.write(self._folder)

    def begin(self, before: Serving, step: int) -> None:
        """Watch what serves from now on; on the stream's own thread."""
        stream, clocks = self._alongside.stream, self._alongside.clocks
        before.scorer.spare = None
        if same_features(before.scorer.model, stream.serving.scorer.model):
            before.scorer.state = stream.serving.scorer.state
            stream.serving.scorer.spare = before.scorer
            stream.serving = replace(stream.serving, spare=before.digest)
        self._alongside.clear()
        shadow = self._alongside.add(before)
        self._watched = _Watched(stream.serving, before, step, shadow, Health(clocks.elapsed(), self._lasts_s))

    def resume(self) -> None:
        """Go on after a restart; a version before with other features would have empty windows, and is let go.

        Raises
        ------
        TocsinError
            If the version before cannot be loaded.
        """
        probation, serving = self.probation, self._alongside.stream.serving
        if not probation.lasts(serving.version, self._alongside.clocks.now(), self._lasts_s):
            return
        before = serving_of(self._project, probation.before)
        if same_features(before.scorer.model, serving.scorer.model):
            self._alongside.ask(lambda: self.begin(before, probation.step))

    def look(self) -> None:
        """Let the version before serve again if there is reason to, or let it go once the time is over."""
        watched = self._watched
        if not self._kept:
            self._keep(self.probation)
        if watched is None:
            return
        elapsed = self._alongside.clocks.elapsed()
        if watched.health.canary_due(elapsed):
            result = self._canary(watched)
            swapping.canary_tried(result)
            watched.health.tried(result)
        if reason := watched.health.complaint(watched.shadow.compared(), elapsed):
            self._swap_back(watched, reason)
        elif watched.health.over(elapsed):
            self._alongside.ask(lambda: self._let_go(watched))
            swapping.model_kept(watched.serving.version)
            _give_back()

    def _canary(self, watched: _Watched) -> Result:
        seed = 1_000 * watched.step + watched.health.canaries
        try:
            return canary(self._alongside.recent, watched.before.scorer, watched.serving.scorer, seed)
        except Exception:  # noqa: BLE001  # what a model raises on live rows is counted there
            return "none"

    def _swap_back(self, watched: _Watched, reason: str) -> None:
        """Let the version before serve again, and the channel lead to it where this machine may say so."""
        self._keep(replace(self.probation, failed=watched.step))
        self._alongside.ask(lambda: self._exchange(watched))
        self._keep(Probation(failed=watched.step))
        swapping.model_swapped_back(watched.serving.version, watched.before.version, reason)
        _give_back()
        self._roll_back(watched)

    def _keep(self, probation: Probation) -> None:
        """Know of it, and write it down once there is room: a bad version is not to serve until then."""
        self.probation = probation
        try:
            probation.write(self._folder)
        except NoRoom as error:
            self._kept = False
            swapping.probation_put_off(error.problem.got)
        else:
            self._kept = True

    def _exchange(self, watched: _Watched) -> None:
        watched.shadow.settle(SETTLE_S)
        self._alongside.stream.swap(watched.before, back=True)
        self._let_go(watched)

    def _let_go(self, watched: _Watched) -> None:
        watched.serving.scorer.spare = None
        self._watched = None
        self._alongside.remove(watched.shadow)

    def _roll_back(self, watched: _Watched) -> None:
        name, channel, registry = self._project.config.name, self._project.config.stream.channel, self._project.registry
        try:
            if registry.channel_history(name, channel)[-1].number != watched.step:
                return  # somebody was faster
            if registry.before(name, channel) != watched.before.version:
                raise RegistryError(channel, "another version before it", f"version {watched.before.version}")
            self._project.roll_back(channel)
        except TocsinError as error:
            swapping.channel_left(channel, watched.serving.version, error.problem.got)


def _give_back() -> None:
    """Let the system have the memory of models that are gone; glibc keeps it otherwise, in pieces."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)

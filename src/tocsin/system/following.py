"""A running service follows its channel: the next version is made ready beside it, takes over, and is watched.

    registry ─> verified, replayed, warmed ─> takes over between two batches ─> watched ─> kept, or swapped back

All of this happens in a thread of its own; only the moment in which one model follows the other is the stream's. A
version with the features of the one that serves takes over what they remember. One with others is scored beside it
until its windows have filled: an empty window would ring, or be silent, for as long as it is empty.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import RegistryError, TocsinError
from tocsin.observe import swapping
from tocsin.records import SECOND
from tocsin.registry.ledger import ChannelEntry
from tocsin.registry.standing import Standing
from tocsin.scoring.alongside import Alongside
from tocsin.scoring.shadow import Shadow, remembers_s
from tocsin.scoring.stream import Stream
from tocsin.scoring.swap import expect_fit, same_features, warm
from tocsin.scoring.work import Clocks, Serving
from tocsin.system.comparing import Comparison
from tocsin.system.project import Project
from tocsin.system.serving import serving_of
from tocsin.system.watching import SETTLE_S, Watch

LONGEST_WAIT_S = 3_600.0
"""Between two tries of a version that is refused."""
SWITCH_S = 0.001
"""How long the stream's thread waits for the interpreter while this one unpacks a model; Python's own 5 ms add up."""


@dataclass(frozen=True, slots=True)
class _Next:
    """A version that is ready to serve, or will be once its windows have filled."""

    serving: Serving
    step: int
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class _Refused:
    """A step of the channel that cannot be followed, and when to try again."""

    step: int
    again_at: float
    wait_s: float


class Follower:
    """Lets a stream follow its channel.

    Parameters
    ----------
    project
        Of its own: it loads models while another thread scores.
    stream
        Whose model is swapped.
    folder
        Where the stream keeps what outlives it.
    clocks
        As the stream has them.
    """

    def __init__(self, project: Project, stream: Stream, folder: Path, clocks: Clocks) -> None:
        self._project = project
        self._stream = stream
        self._clocks = clocks
        self._settings = project.config.stream
        self._alongside = Alongside(stream, clocks)
        self._watch = Watch(project, self._alongside, folder)
        self._comparison = Comparison(project, self._alongside, folder)
        self._next: _Next | None = None
        self._refused: _Refused | None = None
        self._out_of_reach = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        sys.setswitchinterval(SWITCH_S)
        self._thread.start()

    def close(self) -> None:
        """Follow no more."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(0.5)
        self._alongside.close()

    def tick(self) -> None:
        """One round: how what serves does, whether the channel leads elsewhere, how the shadow does."""
        self._watch.look()
        try:
            found = self._project.registry.standings(self._project.config.name)
        except TocsinError as error:
            self._cannot_follow(error.problem.got)
            return
        channels = {standing.channel: standing for standing in found}
        self._follow(channels.get(self._settings.channel))
        if not self._watch.on:
            self._comparison.look(channels)

    def resume(self) -> None:
        """Go on with a swap that was watched when the service ended; raises as `Watch.resume` does."""
        self._watch.resume()

    def _run(self) -> None:
        work = self.resume
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001  # the stream goes on with the model that it has
                self._cannot_follow(_why(error))
            if self._ends.wait(self._settings.follow):
                return
            work = self.tick

    def _cannot_follow(self, reason: str) -> None:
        swapping.channel_not_followed(self._settings.channel, reason, again=self._out_of_reach)
        self._out_of_reach = True

    def _follow(self, standing: Standing | None) -> None:
        if standing is None or standing.step is None:
            self._cannot_follow(standing.problem.got if standing and standing.problem else "no such channel")
            return
        self._out_of_reach = False
        step = standing.step
        if step.number <= self._watch.probation.failed or step.version == self._stream.serving.version:
            self._drop_next()
            return
        if self._next is None or self._next.step != step.number:
            self._drop_next()
            self._next = self._prepared(step)
        if self._next is not None and self._is_warm(self._next):
            self._take_over(self._next)

    def _prepared(self, step: ChannelEntry) -> _Next | None:
        """The version that a step leads to, verified and warmed; None if it cannot serve, or not yet."""
        refused = self._refused
        if refused is not None and refused.step == step.number and self._clocks.elapsed() < refused.again_at:
            return None
        old = self._stream.serving.scorer.model
        try:
            serving = serving_of(self._project, self._settings.channel)
            if serving.version != step.version:
                raise RegistryError("channel", f"only version {serving.version}, the last good one", f"{step.version}")
            model = serving.scorer.model
            expect_fit(old, model)
            warm(model, self._alongside.recent)
        except Exception as error:  # noqa: BLE001  # whatever a model raises, the one that serves goes on
            self._refuse(step.number, step.version, _why(error))
            return None
        if same_features(old, model) or not remembers_s(model):
            return _Next(serving, step.number)
        swapping.model_warms_up(serving.version, self._longest_s(serving))
        return _Next(serving, step.number, self._alongside.ask(lambda: self._alongside.add(serving)))

    def _refuse(self, step: int, version: int, reason: str) -> None:
        was = self._refused if self._refused and self._refused.step == step else None
        wait_s = min(2 * was.wait_s, LONGEST_WAIT_S) if was else self._settings.follow
        swapping.candidate_refused(version, reason, again=was is not None)
        self._refused = _Refused(step, self._clocks.elapsed() + wait_s, wait_s)

    def _longest_s(self, serving: Serving) -> float:
        return min(remembers_s(serving.scorer.model), self._settings.warm_up)

    def _is_warm(self, ready: _Next) -> bool:
        return ready.shadow is None or ready.shadow.seen_us >= self._longest_s(ready.serving) * SECOND

    def _take_over(self, ready: _Next) -> None:
        before = self._stream.serving
        if self._stream.replaying:
            return
        try:
            self._watch.announce(ready.serving, before, ready.step)
            self._alongside.ask(lambda: self._exchange(ready))
        except (TocsinError, OSError) as error:
            self._drop_next()
            self._refuse(ready.step, ready.serving.version, _why(error))

    def _exchange(self, ready: _Next) -> None:
        """On the stream's own thread; where the version has not caught up with the stream, it is for the next time."""
        before = self._stream.serving
        if ready.shadow is not None and not ready.shadow.settle(SETTLE_S):
            return
        self._stream.swap(ready.serving)
        self._next = None
        self._watch.begin(before, ready.step)
        swapping.model_swapped(before.version, ready.serving.version, ready.serving.digest)

    def _drop_next(self) -> None:
        if self._next is not None:
            gone, self._next = self._next.shadow, None
            self._alongside.ask(lambda: self._alongside.remove(gone))


def _why(error: Exception) -> str:
    return error.problem.got if isinstance(error, TocsinError) else f"{type(error).__name__}: {error}"

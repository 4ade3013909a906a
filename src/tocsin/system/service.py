"""A config as a running service: rows come in, alerts go out, and a killed one goes on where it was.

    source ─> intake ─> scorer ─> journal ─> outbox ─> sinks

`Project` tells how each station is made; the `Stream` is the loop. Everything that another thread wants of them goes
through `requests`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from tocsin.component import PartSpec, parameter_model, part
from tocsin.config import Config
from tocsin.errors import IntegrityError, ModelBroken, RegistryError
from tocsin.journal import Journal
from tocsin.observe import metrics
from tocsin.records import SECOND
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.probation import blame, version_to_begin_with
from tocsin.scoring.requests import Requests
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.stream import CHECKPOINT, Stream
from tocsin.scoring.work import Clocks, Letters, Serving
from tocsin.sources.base import Intake, Source
from tocsin.system.checking import check
from tocsin.system.following import Follower
from tocsin.system.project import Project
from tocsin.system.replaying import Replays
from tocsin.system.serving import serving_of
from tocsin.system.sinks import sinks_of
from tocsin.training.history import source_of

AHEAD_S = 300
"""How far the clocks of those who send may be ahead; what is further would drag every window along."""


class Service:
    """One shard of a config at work; made, run once, and gone.

    Parameters
    ----------
    project
        Whose source, model and sinks.
    once
        Read files to their end and stop, rather than follow them as they grow.
    clocks
        Of this machine by default.

    Raises
    ------
    ConflictError
        If another service works in the same folder.
    TocsinError
        If there is no model to serve, or any station refuses.
    """

    def __init__(self, project: Project, *, once: bool = False, clocks: Clocks | None = None) -> None:
        check(project.config)
        self.project = project
        self.requests = Requests()
        self._clocks = clocks or Clocks()
        self._folder = project.config.resolve(project.config.stream.journal)
        serving = self._serving()
        config = project.config
        source = _source(config, project, once=once)
        letters = Letters()
        sinks = sinks_of(config)
        self.journal = Journal(self._folder, tuple(sinks), config.privacy.keep, self._clocks.now)
        self.outbox = Outbox(sinks, project.privacy.name, self._clocks.now)
        self.stream = Stream(
            source=source,
            intake=_intake(source, config, project, letters, self._latest),
            letters=letters,
            serving=serving,
            journal=self.journal,
            outbox=self.outbox,
            requests=self.requests,
            settings=config.stream,
            folder=self._folder,
            clocks=self._clocks,
        )
        # A project of its own: it loads models while the stream scores.
        self.follower = Follower(Project(config, clock=project.clock), self.stream, self._folder, self._clocks)
        self._replays = Replays(self.stream, self._folder)

    def _latest(self) -> int | None:
        """No row can come from later; None while the clock of this machine stands before the model was made."""
        now, made = self._clocks.now(), datetime.fromisoformat(self.stream.serving.created)
        return now + AHEAD_S * SECOND if now >= made.timestamp() * SECOND else None

    @property
    def scorer(self) -> Scorer:
        """What scores now."""
        return self.stream.serving.scorer

    def run(self) -> None:
        """Work until the source ends or `stop`; raises as `Stream.run` does."""
        config = self.project.config
        told = config.stream.metrics
        file = config.resolve(told) if told else None
        with closing(self.journal), closing(self.follower), closing(self._replays), metrics.kept_in(file):
            self.follower.start()
            self._replays.start()
            try:
                self.stream.run()
            except ModelBroken:
                blame(self._folder, self.stream.serving.version, self._clocks.now(), config.stream.watch)
                raise

    def stop(self) -> None:
        """Come to an end soon; from any thread."""
        self.stream.stop()

    def _serving(self) -> Serving:
        """The version that a killed service scored with: what is replayed rings as before. Else that of the channel."""
        settings = self.project.config.stream
        try:
            known = checkpoints.read(self._folder / CHECKPOINT)
            if known is not None:
                version = version_to_begin_with(self._folder, known.version, self._clocks.now(), settings.watch)
                return serving_of(self.project, version, known.model if version == known.version else "")
        except (IntegrityError, RegistryError):
            pass  # damaged, as the stream will say, or the version was retired: that of the channel begins anew
        return serving_of(self.project, settings.channel)


def _source(config: Config, project: Project, *, once: bool) -> Source:
    """The config's source; files are followed, unless the config or the caller says otherwise."""
    spec = config.stream.source or source_of(config)
    followed = "follow" in parameter_model(part("sources", spec.type)).model_fields
    if followed and not once and "follow" not in spec.parameters:
        spec = PartSpec(spec.type, {**spec.parameters, "follow": True})
    return project.reader.source(spec)


def _intake(
    source: Source, config: Config, project: Project, letters: Letters, latest: Callable[[], int | None]
) -> Intake:
    schema = config.schema_
    hide = (lambda batch: project.privacy.apply(schema, batch)) if schema.identities else None
    return Intake(source, schema, pseudonymise=hide, quarantine=letters, latest=latest)

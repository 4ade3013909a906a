"""Read this first: the whole way, wired from a config.

    source ─> schema ─> privacy ─> features ─> detector ─> threshold ─> alerts ─> sinks
       └─ history ─> split ─> train ─> try ─> evaluate ─> gate ─> registry ─> promote ─┘

`Project.score` is the upper line: a row comes out of a `Reader` typed and pseudonymised, a `Scorer` gives it a
p-value and asks the alert policy, a `Delivery` sends what rings. `Project.train` is the lower line. Every station is
one call to the room that does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self, cast

from tocsin import observe
from tocsin.component import PartSpec
from tocsin.config import Config, LimitsConfig, load
from tocsin.errors import ConflictError
from tocsin.evaluation.judge import judge_figures, unattended
from tocsin.evaluation.report import evaluate
from tocsin.evaluation.runs import appearing, new_run, write_run
from tocsin.model.anomaly_model import AnomalyModel
from tocsin.model.documents import sha256
from tocsin.model.feature_cache import FeatureCache, FeaturePass
from tocsin.model.provenance import provenance
from tocsin.privacy import Privacy
from tocsin.records import Batch, Verdict
from tocsin.registry import CANDIDATE, CHAMPION, Machine, Registry, Version
from tocsin.registry.index import Index
from tocsin.scoring.delivery import Delivery
from tocsin.scoring.policy import policy_of, restraint_of
from tocsin.scoring.scorer import Scored, Scorer
from tocsin.scoring.trial import Circumstances, trial
from tocsin.sinks.base import Sink
from tocsin.sources.base import Tally
from tocsin.storage import Meter, Store, elsewhere, open_store
from tocsin.system.checking import check
from tocsin.system.gating import Candidate, Court, Rows
from tocsin.system.loading import admitted
from tocsin.system.logbook import logged
from tocsin.system.outcome import Outcome, Tried, rows_to_judge
from tocsin.training.exports import Export, Material
from tocsin.training.fit import Means, fit
from tocsin.training.folds import Fold
from tocsin.training.history import History, Progress, Reader, local_part, losses, source_of, with_path
from tocsin.training.limits import Limits, peak_memory_bytes
from tocsin.training.period import Period
from tocsin.training.split import split
from tocsin.training.tracking import Tracker
from tocsin.training.tune import SearchMeans, Tuning, tune

RUNS = "runs"
HOME = ".tocsin"
FEATURES = ".tocsin/features"
FIT = ".tocsin/fit"


class Project:
    """A config at work.

    Parameters
    ----------
    config
        Parsed; `tocsin.load(path)` reads one from a file.
    clock
        The time of day, for run folders, the logbook and registry entries alone.
    progress
        Told how far long work is.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        progress: Progress = lambda _stage, _done, _total=0: None,
    ) -> None:
        self.config = config
        self.progress = progress
        self.clock = clock
        self.meter = Meter(config.limits.requests, config.limits.transfer)
        """What this project asked of storage elsewhere."""
        self._privacy: Privacy | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """The project of a config file; raises ConfigError with every problem found."""
        return cls(load(path))

    @property
    def reader(self) -> Reader:
        """Reads sources as the config says."""
        return Reader(self.config, lambda: self.privacy, self._report, self.meter, self.clock)

    @property
    def registry(self) -> Registry:
        """Where this project's versions are kept."""
        kept = self.config.registry
        machine = Machine(self.config.resolve(HOME), self.config.resolve(kept.keys), kept.path)
        return Registry(self._store, machine, kept, clock=self.clock)

    @cached_property
    def _store(self) -> Store:
        """Opened once: one elsewhere holds connections, and signs in with the first request."""
        return open_store(self.config.registry.path, self.config.resolve, self.meter)

    @property
    def index(self) -> Index:
        """What is written in the registry as rows, for lists and trends; beside it, or here for one elsewhere."""
        place = self.config.registry.path
        rows = f"{HOME}/index/{sha256(place.encode())[:16]}.db" if elsewhere(place) else f"{place}/index.db"
        return self.registry.index(self.config.resolve(rows))

    @property
    def privacy(self) -> Privacy:
        """Pseudonyms of this site; the key is made on first use."""
        if self._privacy is None:
            private = self.config.privacy
            self._privacy = Privacy(private.identities, self.config.resolve(private.key_file))
        return self._privacy

    @logged("train")
    def train(self, *, promote: bool = False, export: Export | None = None, period: Period | None = None) -> Outcome:
        """Source to judged version: read, split, fit, try on the test rows, judge, register.

        Parameters
        ----------
        promote
            Make the version champion if its verdict passes and asks for nobody's approval, unless somebody promotes
            another at the same moment.
        export
            Also writes the files of another system.
        period
            Rows to learn from, by their time; by default as `history` of the config says.

        Raises
        ------
        TocsinError
            If any station refuses; nothing is registered then.
        """
        self.registry.trust.expect("train", *(("channel",) if promote else ()))  # a long training for nothing else
        limits = Limits(self.config.limits)
        config, history = self._history(limits, period)
        apart = self.reader.read(config.test, config.test_labels or config.labels, limits) if config.test else None
        tallies = [history.tally, *([apart.tally] if apart else [])]
        means = Means(limits, self._cache, self.progress, config.resolve(FIT))
        fitted = fit(config, history, means, test_elsewhere=apart is not None)
        model, parts, features = fitted.model, fitted.parts, fitted.features
        known = Circumstances(
            title=config.name,
            version=model.digest[:12],
            train_seconds=limits.elapsed_s,
            peak_memory_bytes=peak_memory_bytes(),
            generated=any(tally.generated for tally in tallies),
            seen_in_training=apart is not None and model.learnt_from(apart.tally.digests),
            remarks=(*chain(*map(losses, tallies)), *([str(model.rounding)] if model.rounding else ())),
        )
        means.checkpoint("evaluation")
        if apart:
            features.begin(model.kernel)
        test = apart.batch if apart else parts.test
        policy = policy_of(model, config.alerts, known.version, generated=known.generated)
        evidence = trial(model, policy, features, test, known)
        report = evaluate(evidence)
        court = Court(config, self.registry, self._cache, self.clock())
        notes = {
            "report": report.to_json(),
            "train_seconds": known.train_seconds,
            "peak_memory_bytes": known.peak_memory_bytes,
            "generated": known.generated,
            **provenance(model, history.tally.digests, court.parent),
        }
        means.checkpoint("gates")
        rows = Rows(test, (parts.train, parts.calibration), follows=apart is None)
        bundle = model.bundle(notes)
        verdict = court.judge(Candidate(model, bundle, report, evidence.scores, rows, known.peak_memory_bytes))
        means.checkpoint("publishing")
        folder = self._new_run(model.digest)
        inputs = {"training": history.tally, "test": apart.tally if apart else None}
        with appearing(folder) as partial:
            model.save(partial / "model", notes)
            write_run(partial, config.text, report.to_json(), verdict, inputs)
            if export:
                parts, found = replace(parts, test=test), (evidence, report, verdict, history.tally)
                export(Material(config, model, parts, apart is not None, features, *found, self.clock()), partial)
            version = self.registry.add(config.name, bundle, report.to_json(), verdict)
            if verdict.passed:
                court.keep()
        observe.model_registered(config.name, version.version, version.digest, passed=verdict.passed)
        if promote and self.may_promote(verdict):
            self._promote_unless_overtaken(version.version)
        return Outcome(report, verdict, evidence, folder, version, history.tally)

    def track(self, outcome: Outcome) -> None:
        """Tell the MLflow of the config, if it names one, of a training and of what was drawn of it."""
        Tracker(self.config).training(outcome, lambda: self.registry.channels(self.config.name))

    def tune(self, workers: int | None = None, *, anew: bool = False) -> Tuning:
        """Search over parameters, on the rows that training learns from and sets its level on: see `training.tune`.

        Parameters
        ----------
        workers
            Processes; by default as many as there are cores.
        anew
            Put an earlier study aside.
        """
        config, history = self._history(Limits(LimitsConfig(memory=self.config.limits.memory)))
        parts = split(history.batch, config.schema_, config.split, test_elsewhere=config.test is not None)
        means = SearchMeans(self.progress, self._cache, workers, anew, history.tally.generated)
        return tune(config, Fold(parts.train, parts.calibration, parts.share), means)

    def promote(self, version: int, channel: str = CHAMPION, *, approval: str | None = None) -> None:
        """Point a channel at a version; raises as `Registry.promote` does.

        Where the config requires no approval, none is asked for a missed soft bound.
        """
        approval = approval or unattended(self.config.gate)
        self.registry.promote(self.config.name, version, channel, approval=approval)
        observe.model_promoted(self.config.name, version, channel)
        Tracker(self.config).moved(channel, version)

    def _promote_unless_overtaken(self, version: int) -> None:
        try:
            self.promote(version)
        except ConflictError:
            observe.promotion_lost(self.config.name, version)

    def may_promote(self, verdict: Verdict) -> bool:
        """Whether a verdict lets a model go live without a person."""
        return verdict.passed and not (verdict.needs_approval and not unattended(self.config.gate))

    def roll_back(self, channel: str = CHAMPION) -> Version:
        """Point a channel at the version before this one; raises RegistryError if there was none."""
        entry = self.registry.roll_back(self.config.name, channel)
        observe.model_promoted(self.config.name, entry.version, channel)
        Tracker(self.config).moved(channel, entry.version)
        return entry

    @logged("evaluate")
    def evaluate(self, version: int | str | None = None, data: str | None = None) -> Outcome:
        """Judge a registered model on the config's test rows, or on those of another path.

        Parameters
        ----------
        version
            A number or a channel; by default the champion, or the candidate while there is no champion.
        data
            Path of other rows, read as the config's test or training source is.
        """
        tried = self._tried(version, data)
        verdict = judge_figures(tried.report, self.config.gate)
        return self._outcome(tried, verdict)

    @logged("gate")
    def gate(self, version: int | str = CANDIDATE, *, pin: bool = False) -> Outcome:
        """Hold a registered model against every gate again, and add what they say to its verdicts.

        Parameters
        ----------
        version
            A number or a channel.
        pin
            Also pin other rows, with this model as their anchor, if it passes; where the channel key is.
        """
        tried = self._tried(version)
        learnt = bool(tried.before) and tried.model.inputs == set(tried.test.tally.digests.values())
        rows = Rows(tried.test.batch, tried.before, learnt, follows=bool(tried.before))
        bundle, entry = self.registry.load(self.config.name, tried.entry.version)
        memory = int(entry.summary.get("peak_memory_bytes", 0))
        court = Court(self.config, self.registry, self._cache, self.clock())
        candidate = Candidate(tried.model, bundle, tried.report, tried.evidence.scores, rows, memory)
        verdict = court.judge(candidate, anew=pin)
        self.registry.add_judgement(entry.name, entry.version, verdict, tried.report.to_json())
        if pin and verdict.passed:
            court.keep()
        return self._outcome(tried, verdict)

    def _tried(self, version: int | str | None, data: str | None = None) -> Tried:
        """A registered model on the config's test rows, or on others."""
        config = self.config
        check(config)
        self.reader.begin(config.test or source_of(config))
        model, entry = self.model(version)
        limits = Limits(LimitsConfig(memory=config.limits.memory))
        before, test = rows_to_judge(config, self.reader, limits, self._period, data)
        known = Circumstances(
            title=config.name,
            version=entry.digest[:12],
            train_seconds=float(entry.summary.get("train_seconds", 0.0)),
            peak_memory_bytes=peak_memory_bytes(),
            generated=test.tally.generated or entry.generated,
            seen_in_training=not before and model.learnt_from(test.tally.digests),
            remarks=losses(test.tally),
        )
        features = FeaturePass(self._cache).begin(model.kernel)
        for rows in before:
            features.run(rows)
        policy = policy_of(model, config.alerts, known.version, generated=known.generated)
        evidence = trial(model, policy, features, test.batch, known)
        return Tried(model, entry, before, test, evidence, evaluate(evidence))

    def _outcome(self, tried: Tried, verdict: Verdict) -> Outcome:
        folder = self._new_run(tried.entry.digest)
        with appearing(folder) as partial:
            write_run(partial, self.config.text, tried.report.to_json(), verdict, {"test": tried.test.tally})
        return Outcome(tried.report, verdict, tried.evidence, folder, tried.entry, tried.test.tally)

    @property
    def follows(self) -> bool:
        """Whether the config's source goes on until it is stopped."""
        return self.reader.endless(source_of(self.config))

    def score(
        self, path: str | None = None, version: int | str | None = None, tally: Tally | None = None
    ) -> Iterator[Scored]:
        """Score rows batch by batch and send what rings to the config's sinks.

        Parameters
        ----------
        path
            Path of the rows, read as the config's source is; by default the source itself.
        version
            As in `evaluate`.
        tally
            Counts what became of the rows.
        """
        check(self.config)
        spec = source_of(self.config) if path is None else with_path(source_of(self.config), path)
        self.reader.begin(spec)
        model, entry = self.model(version)
        tally = tally or Tally()
        restraint = restraint_of(self.config, self.privacy, self.clock)
        policy = policy_of(model, self.config.alerts, entry.shown, generated=entry.generated, restraint=restraint)
        scorer = Scorer(model, policy)
        sinks = [cast("Sink", local_part("sinks", sink, self.config)) for sink in self.config.sinks]
        with Delivery(sinks, self.privacy.name) as delivery:
            rows = self.reader.batches(spec, None, tally)  # what is scored need not be labelled
            for scored in scorer.stream(rows, lambda: tally.generated):
                delivery.send(scored.alerts)
                yield scored

    def rows(
        self, spec: PartSpec | None = None, tally: Tally | None = None, period: Period | None = None
    ) -> Iterator[Batch]:
        """Typed rows of a source (by default the config's), batch by batch, as a model would get them."""
        spec = spec or source_of(self.config)
        self.reader.begin(spec)
        self.reader.bounded(spec)
        labels = self.met(spec).labels
        within = self.reader.within(period or self._period)
        return self.reader.batches(spec, labels, tally or Tally(), within=within)

    def model(self, version: int | str | None = None) -> tuple[AnomalyModel, Version]:
        """A registered model and its entry; by default the champion, or the candidate while there is none."""
        bundle, entry = self.registry.load(self.config.name, version)
        model = admitted(bundle, self.config)
        self.config = self.config.with_columns(model.design.schema.found)
        return model, entry

    def met(self, spec: PartSpec) -> Config:
        """The config once its telemetry was met: columns that its schema leaves open are those of the first rows."""
        if self.config.schema_.others is not None:
            self.config = self.config.with_columns(self.reader.columns(spec, self.config.labels))
        return self.config

    def _report(self, stage: str, rows: int) -> None:
        self.progress(stage, rows)

    @property
    def _period(self) -> Period:
        return Period(self.config.history.last)

    def _history(self, limits: Limits, period: Period | None = None) -> tuple[Config, History]:
        """The config once its telemetry was met, and all rows to learn from."""
        check(self.config)
        self.reader.begin(source_of(self.config))
        config = self.met(source_of(self.config))
        return config, self.reader.read(source_of(config), config.labels, limits, period or self._period)

    @property
    def _cache(self) -> FeatureCache:
        """Rows that an earlier run took through the same features need not go through them again."""
        return FeatureCache(self.config.resolve(FEATURES), self.config.limits.feature_cache)

    def _new_run(self, digest: str) -> Path:
        return new_run(self.config.resolve(RUNS), self.config.name, self.clock(), digest)

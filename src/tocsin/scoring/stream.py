"""The loop of a running service: read, score, commit, and only then tell the source and the sinks.

Source: Kleppmann, Designing Data-Intensive Applications, 2017, chapter 11 (an outbox and idempotent effects in place of
exactly-once delivery).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from tocsin.config import StreamConfig
from tocsin.errors import NoRoom, TocsinError
from tocsin.journal import Journal, Step
from tocsin.observe import live, metrics, systemd
from tocsin.records import Alert, Batch, Position
from tocsin.scoring import checkpoint as checkpoints
from tocsin.scoring.isolation import Isolation, fault
from tocsin.scoring.outbox import Outbox
from tocsin.scoring.reading import Reading
from tocsin.scoring.requests import MOST_WAITING, Requests
from tocsin.scoring.scorer import Scored
from tocsin.scoring.swap import hand_over, waits_no_more
from tocsin.scoring.work import Clocks, Letters, Serving, Work, verdicts
from tocsin.sources.base import Intake, Source

POLL_S = 0.1
"""How long the loop waits for rows before it looks at everything else."""
MOST_ROWS = 100_000
"""Rows of one commit."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
"""Between two tries to write the journal while there is no room."""
CHECKPOINT = "stream.checkpoint"


class WentBack(TocsinError):
    """A row could not be scored: the stream stands at its last checkpoint, and nothing since then has happened yet."""


class Stream:
    """Owns source, scorer and journal, in one thread; others reach it through `requests`.

    Parameters
    ----------
    source
        Not yet open.
    intake
        Of that source; refuses into `letters`.
    letters
        Where it does.
    serving
        What scores at first.
    journal, outbox, requests
        Ready for use; the outbox begins to deliver with `run`.
    settings
        Of the config.
    folder
        Where the checkpoint lies.
    clocks
        Of this machine by default.
    """

    def __init__(  # noqa: PLR0913  # the stations of the way
        self,
        *,
        source: Source,
        intake: Intake,
        letters: Letters,
        serving: Serving,
        journal: Journal,
        outbox: Outbox,
        requests: Requests,
        settings: StreamConfig,
        folder: Path,
        clocks: Clocks | None = None,
    ) -> None:
        self.source = source
        self.intake = intake
        self.serving = serving
        self.journal = journal
        self.outbox = outbox
        self.requests = requests
        self.rows = 0
        """Received by this process."""
        self.tap: Callable[[Scored], None] = lambda _: None
        """Told of every batch that was scored; must neither wait nor raise."""
        self._known = 0
        """Rows that an earlier process had received, as far as the source may still give them again."""
        self._letters = letters
        self._settings = settings
        self._checkpoint = folder / CHECKPOINT
        self._clocks = clocks or Clocks()
        self._stopping = threading.Event()
        self._position: Position | None = None
        self._reading = Reading(source, self._stopping, self._clocks.elapsed)
        self._announced = False
        self._written_at = self._clocks.elapsed()
        self._heard_at = self._clocks.elapsed()
        self._unwritten = 0
        """Rows since the last checkpoint."""

    def stop(self) -> None:
        """Come to an end soon; from any thread, or a signal."""
        self._stopping.set()

    def run(self) -> None:
        """Go on from where the last service came to, until the source ends or somebody says stop.

        Raises
        ------
        TocsinError
            If the source cannot be read at all, or the journal not be written: what was committed still holds.
        """
        try:
            replayed = self._recover()
        except WentBack:  # a row at fault is among those that are replayed, and is set apart now
            replayed = self._recover()
        self.outbox.start()
        metrics.began(self._reading.name, tuple(self.outbox.waiting))
        live.stream_began(self._reading.name, replayed)
        try:
            while not self._stopping.is_set() and not self._at_the_end():
                with suppress(WentBack):
                    self._turn()
            self._put_down()
        finally:
            systemd.stopping()
            self._reading.close()
            self.requests.close()
            self.outbox.stop(1.0)
        self._commit(Work())
        live.stream_ended(self._reading.name, self.rows)

    @property
    def replaying(self) -> bool:
        """Whether a source that is read once more has not come to where an earlier process was."""
        return self.intake.tally.received < self._known

    @property
    def ready(self) -> bool:
        """Whether it is where an earlier process was; a source that cannot be reached keeps nobody waiting for that."""
        return self._announced and not (self._reading.opened and self.replaying)

    def swap(self, serving: Serving, *, back: bool = False) -> None:
        """Score with another model from the next row on; for the stream's own thread, between two batches.

        A checkpoint is written before it has scored anything, so that no replay crosses a swap. One back from a version
        that failed waits for no room on the disk: a start begins with the version before it in any case.

        Raises
        ------
        TocsinError, OSError
            If nothing can be handed over or the checkpoint not be written; the one that serves goes on.
        """
        before = self.serving
        if waits_no_more(before.scorer, serving.scorer):
            self._finish(before.scorer.flush())
        hand_over(before.scorer, serving.scorer)
        self.serving = serving
        try:
            if back:
                self._unwritten += 1  # what has changed is the model
                self._put_down()
            else:
                self.write_checkpoint()
        except BaseException:
            self.serving = before
            raise

    def write_checkpoint(self) -> None:
        """Write down where the stream stands; what came before need not be replayed any more."""
        serving = self.serving
        about = {
            "sequence": self.journal.sequence,
            "tally": self.intake.tally.to_json(),
            "model": serving.digest,
            "version": serving.version,
            "failing": isolation.failing if (isolation := serving.scorer.isolation) else 0,
        }
        size = checkpoints.write(self._checkpoint, serving.scorer, about, self._position, self.intake.keys)
        if self.source.replayable:
            self._reading.confirm()  # only now: a killed service reads again from its last checkpoint
        else:
            self.journal.forget_accepted(self.journal.sequence)
        live.checkpoint_written(len(serving.scorer.state), size)
        metrics.checkpoint_kept(self._clocks.now(), size)
        self._written_at, self._unwritten = self._clocks.elapsed(), 0

    def _at_the_end(self) -> bool:
        """Whether the source has ended and what was held back is scored."""
        if not self._reading.ended:
            return False
        try:
            self._finish(self.serving.scorer.flush())
        except WentBack:
            return False
        return True

    def _turn(self) -> None:
        """One round: what others ask, rows if there are any, and whatever is due."""
        self.requests.serve()
        raw = self._reading.read(POLL_S, self._position)
        if raw is not None:
            self._commit(self._gathered(raw))
        elif receipts := self.outbox.receipts():
            self._kept(Step(receipts=receipts))
        self.outbox.refill(self.journal.stored.waiting)
        self._look_at_the_time()
        self._tell(caught_up=raw is None or not self.replaying)

    def _tell(self, *, caught_up: bool) -> None:
        """How everything stands, for whoever watches."""
        scorer = self.serving.scorer
        if caught_up and not self._announced:
            self._announced = True
            systemd.ready()
        systemd.alive()
        metrics.entities_held(len(scorer.state), scorer.state.entities.limit)
        metrics.queue_length("requests", self.requests.waiting, MOST_WAITING)
        metrics.journal_size(self.journal.size)
        metrics.model_serves(self.serving.version, self.serving.created)
        for sink, alerts in self.outbox.waiting.items():
            metrics.outbox_waiting(sink, alerts)
        if scorer.order is not None:
            metrics.order_stands(scorer.order.held.rows, scorer.order.watermark)

    def _look_at_the_time(self) -> None:
        elapsed, order = self._clocks.elapsed(), self.serving.scorer.order
        silent = elapsed - self._heard_at > self._settings.idle
        if silent:
            self._known = 0  # a file that was cut does not give again what an earlier process had received
        if silent and order is not None and order.held.rows:
            self._finish(self.serving.scorer.flush())
            self._put_down()
        if self._unwritten and elapsed - self._written_at > self._settings.checkpoint:
            self._put_down()

    def _put_down(self) -> None:
        """A checkpoint, or while there is no room another time: only more is replayed then."""
        try:
            self.write_checkpoint()
        except NoRoom as error:
            live.checkpoint_put_off(error.problem.got)
            self._written_at = self._clocks.elapsed()

    def _gathered(self, raw: Batch | None) -> Work:
        """What follows from these rows, and from those that come within the latency that the config allows."""
        work = Work(began=self._clocks.elapsed())
        until = work.began + self._settings.latency
        while raw is not None:
            self._take(raw, work)
            if work.received >= MOST_ROWS or self._clocks.elapsed() >= until or not self._reading.opened:
                break
            raw = None if self.source.ended else self._reading.read(0.0, work.position or self._position)
        self._reading.answered()
        self._heard_at = self._clocks.elapsed()
        return work

    def _take(self, raw: Batch, work: Work) -> None:
        began = self._clocks.elapsed()
        valid = self.intake.accept(raw)
        work.received += raw.rows + len(raw.rejected)
        work.position = self.source.acknowledge(raw)
        if not valid.rows:
            return
        if not self.source.replayable:
            work.accepted.append(valid)
        accepted = self._clocks.elapsed()
        self._score(valid, work)
        metrics.stage_took("accept", accepted - began)
        metrics.stage_took("score", self._clocks.elapsed() - accepted)
        if (time := self.serving.scorer.model.design.schema.time) is not None:
            work.newest = max(int(valid[time].max()), work.newest or 0)

    def take_again(self, batches: Iterable[Batch], letters: Sequence[bytes]) -> int:
        """Take rows that were refused once more, in place of their letters; for the stream's own thread.

        Returns how many were passed on; the others are letters again.
        """
        work, before = Work(began=self._clocks.elapsed(), withdrawn=list(letters)), self.intake.tally.passed_on
        for raw in batches:
            valid = self.intake.accept(raw)
            work.received += raw.rows + len(raw.rejected)
            if valid.rows:
                work.accepted += () if self.source.replayable else (valid,)
                self._score(valid, work)
        self._commit(work)
        self.write_checkpoint()  # the source does not give these rows again
        return self.intake.tally.passed_on - before

    def _score(self, valid: Batch, work: Work) -> None:
        scorer = self.serving.scorer
        scorer.policy.generated |= self.intake.tally.generated
        self._note(scorer.take(valid), work)

    def _note(self, scored: Iterable[Scored], work: Work) -> None:
        scorer = self.serving.scorer
        try:
            for item in scored:
                work.alerts += item.alerts
                work.verdicts += verdicts(item, self._settings.record, self.serving)
                self.tap(item)
        except Exception as error:  # whatever a part raises
            if scorer.isolation is not None:
                raise
            self._go_back(error)
            raise WentBack("service", fault(error), "rows that can be scored", "ask again in a moment") from error
        if scorer.isolation is not None:
            work.refused += scorer.isolation.refused()

    def _go_back(self, error: Exception) -> None:
        """Do as after a kill, since rows have moved what they may not; from here on those at fault are set apart."""
        live.scoring_failed(fault(error))
        scorer = self.serving.scorer
        scorer.isolation = Isolation(scorer.model.design.schema.time)
        scorer.state = scorer.model.start()
        self._letters.take()  # refused again when they are read again
        self._reading.close()
        self._recover()

    def _finish(self, scored: Iterable[Scored]) -> None:
        work = Work()
        self._note(scored, work)
        self._commit(work)

    def _commit(self, work: Work) -> None:
        """Keep all of it or, while there is no room, none of it: nothing more is read meanwhile."""
        self._position = work.position or self._position
        self.intake.take_back(work.refused)
        again = self.replaying  # the journal is farther already
        step = Step(
            position=None if again else self._position,
            tally={} if again else self.intake.tally.to_json(),
            model=self.serving.digest,
            accepted=work.accepted,
            alerts=work.alerts,
            refused=self._letters.take(),
            verdicts=work.verdicts,
            withdrawn=work.withdrawn,
            receipts=self.outbox.receipts(),
        )
        began = self._clocks.elapsed()
        fresh = self._kept(step)
        now, kept = self._clocks.now(), self._clocks.elapsed()
        metrics.stage_took("commit", kept - began)
        metrics.batch_committed(work.received, kept - work.began, now, work.newest)
        self.rows += work.received
        self._unwritten += work.received
        live.committed(work.received)
        self.outbox.offer(fresh, now)
        if work.received and not self.source.replayable:
            self._reading.confirm()

    def _kept(self, step: Step) -> tuple[Alert, ...]:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return self.journal.commit(step)
            except NoRoom as error:
                if self._stopping.is_set():
                    raise
                live.journal_full(wait_s, error.problem.got)
                systemd.alive()  # another process would find the disk as full
                self._stopping.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _recover(self) -> int:
        """Go back to the last checkpoint, and replay what was accepted behind it; returns how many rows."""
        serving, progress = self.serving, self.journal.stored.progress()
        known = checkpoints.recover(self._checkpoint, serving.scorer, serving.digest)
        if known is not None:
            self.intake.remember(known.keys)
            if known.sequence > progress.sequence:
                live.journal_lost(known.sequence - progress.sequence)
                self.journal.go_on_from(known.sequence)
        elif progress.sequence and not self._checkpoint.exists():
            live.checkpoint_refused("no file beside a journal that goes on")
        if progress.position is not None and progress.position.source != self._reading.name:
            live.source_changed(progress.position.source, self._reading.name)
        begun = known if known is not None and self.source.replayable else progress
        self._position, self._known = begun.position, progress.tally.get("received", 0)
        self.intake.tally.update(begun.tally)
        rows = 0 if self.source.replayable else self._replay(known.sequence if known is not None else 0)
        if known is None:  # whoever is killed before the first one is due goes back to where it began
            self.write_checkpoint()
        elif rows or known.model != serving.digest:
            self._put_down()
        return rows

    def _replay(self, behind: int) -> int:
        rows = 0
        for batch in self.journal.accepted(behind):
            work = Work()
            self.intake.recall(batch)
            self._score(batch, work)  # rows that are set apart now were when they came, and are letters
            self.journal.commit(Step(alerts=work.alerts))
            rows += batch.rows
        return rows

"""What Tocsin says of itself: one function per thing that happens, log line and counter together.

Log lines are capitalised sentences with a full stop and key=value pairs. Nothing else in Tocsin logs.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.log import count
from tocsin.log import logger as _log

NAMED = 5
"""Names in a log line; the rest are counted."""


def rows_received(source: str, rows: int) -> None:
    """A source read rows; each is later passed on, quarantined or dropped as a duplicate."""
    count("tocsin_rows_received_total", rows, source=source)


def rows_passed_on(source: str, rows: int) -> None:
    """Rows fitted the schema and went on to the features."""
    count("tocsin_rows_passed_on_total", rows, source=source)


def rows_quarantined(source: str, rows: int, reason: str) -> None:
    """Some rows could not be used and were set aside with their reason."""
    _log.warning("Rows quarantined.", source=source, rows=rows, reason=reason)
    count("tocsin_rows_quarantined_total", rows, source=source, reason=reason)


def records_cut(source: str, rows: int) -> None:
    """Refused rows are larger than what is kept of one: they are told of, and cannot be replayed."""
    count("tocsin_records_cut_total", rows, source=source)


def duplicates_dropped(source: str, rows: int) -> None:
    """Rows repeated the declared key of earlier ones."""
    _log.info("Duplicates dropped.", source=source, rows=rows)
    count("tocsin_duplicates_dropped_total", rows, source=source)


def rows_ignored(source: str, rows: int) -> None:
    """Rows were left out on purpose: the config's labels say so."""
    count("tocsin_rows_ignored_total", rows, source=source)


def file_refused(source: str, file: str, reason: str, detail: str) -> None:
    """A file could not be read, or not to its end; rows before the break were passed on."""
    _log.warning("File refused.", source=source, file=file, reason=reason, detail=detail)
    count("tocsin_files_refused_total", source=source, reason=reason)


def columns_left_out(source: str, columns: tuple[str, ...], reason: str) -> None:
    """A source has columns that cannot become columns of a batch."""
    _log.warning("Columns left out.", source=source, columns=list(columns[:20]), reason=reason)
    count("tocsin_columns_left_out_total", len(columns), source=source, reason=reason)


def quarantine_full(file: str, limit_bytes: int) -> None:
    """The quarantine file reached its limit: from now on quarantined rows are only counted."""
    _log.warning("Quarantine full.", file=file, limit_bytes=limit_bytes)
    count("tocsin_quarantine_full_total")


def rows_marked(mark: str, rows: int) -> None:
    """Rows came late or again, or windows may lack what went before them: see `docs/features.md`."""
    _log.info("Rows marked.", mark=mark, rows=rows)
    count("tocsin_rows_marked_total", rows, mark=mark)


def entities_evicted(reason: str, entities: int = 1) -> None:
    """Entity state was given up as all places were taken; `idle` had no effect any more, `limit` had."""
    count("tocsin_entities_evicted_total", entities, reason=reason)


def feature_pass_run(rows: int) -> None:
    """Features of rows were computed, since the cache did not know them."""
    _log.debug("Features computed.", rows=rows)
    count("tocsin_feature_passes_total", result="computed")


def feature_pass_spared(rows: int) -> None:
    """Features of rows were computed by an earlier run, and taken from the cache."""
    _log.debug("Features taken from the cache.", rows=rows)
    count("tocsin_feature_passes_total", result="spared")


def feature_cache_damaged(reason: str) -> None:
    """An entry of the cache could not be read; it counts as none and is written anew."""
    _log.warning("Cached features damaged, computed anew.", reason=reason)
    count("tocsin_feature_cache_damaged_total")


def feature_cache_refused(reason: str) -> None:
    """Features could not be kept for the next run."""
    _log.warning("Features not kept for the next run.", reason=reason)
    count("tocsin_feature_cache_refused_total")


def epoch_ended(detector: str, epoch: int, error: float) -> None:
    """A detector has gone once more through its training rows."""
    _log.debug("Epoch ended.", detector=detector, epoch=epoch, held_out_error=error)
    count("tocsin_epochs_total", detector=detector)


def fit_resumed(detector: str, epochs: int) -> None:
    """A training that was ended before goes on behind the epochs that it had done."""
    _log.info("Training goes on where it was ended.", detector=detector, epochs=epochs)
    count("tocsin_fits_resumed_total", detector=detector)


def fit_not_kept(reason: str) -> None:
    """Where a training stands could not be kept: if it is killed, it begins anew."""
    _log.warning("Training not kept; killed, it would begin anew.", reason=reason)
    count("tocsin_fits_not_kept_total")


def gpu_lost(detector: str, epochs: int, reason: str) -> None:
    """The GPU failed; the training goes on without it, behind the epochs that it had done."""
    _log.warning(
        "GPU lost, the training goes on on the CPU; free the GPU and train again to use it.",
        detector=detector, epochs=epochs, reason=reason,
    )  # fmt: skip
    count("tocsin_gpus_lost_total", detector=detector)


def sink_failed(sink: str, reason: str) -> None:
    """A sink did not take its alerts and is left out until the end of the run."""
    _log.error("Sink failed and is left out.", sink=sink, reason=reason)
    count("tocsin_sinks_failed_total", sink=sink)


def windows_without_rows(windows: int, first: str, last: str) -> None:
    """Labelled windows of which none holds a row: most often two clocks in different zones."""
    _log.warning(
        "No labelled window holds a row; is its time zone that of the rows?", windows=windows, first=first, last=last
    )
    count("tocsin_windows_without_rows_total", windows)


def columns_constant(columns: tuple[str, ...]) -> None:
    """Features that never change in training: they carry nothing and are kept out of the scaler."""
    _log.warning("Constant columns kept out of the scaler.", columns=len(columns), first=list(columns[:NAMED]))
    count("tocsin_constant_columns_total", len(columns))


def columns_set_aside(columns: tuple[str, ...]) -> None:
    """Columns that only hid anomalies, judged on a part of the training rows: the detector is not shown them."""
    _log.info("Columns set aside.", columns=len(columns), first=list(columns[:NAMED]))
    count("tocsin_columns_set_aside_total", len(columns))


def columns_lost(columns: tuple[str, ...]) -> None:
    """Features that had values in training and have none in a whole batch: what they were computed from is gone."""
    _log.warning("Columns that training had are gone.", columns=len(columns), first=list(columns[:NAMED]))
    count("tocsin_lost_columns_total", len(columns))


def columns_empty(columns: tuple[str, ...]) -> None:
    """Features without a single value in training: they are held at one value and carry nothing."""
    _log.warning("Columns without any value.", columns=len(columns), first=list(columns[:NAMED]))
    count("tocsin_empty_columns_total", len(columns))


def budget_not_held(asked: str, served: str, state: str, needed: str) -> None:
    """The calibration span cannot hold the asked budget; `needed` is the span that could."""
    _log.warning("Alert budget not held.", asked=asked, served=served, state=state, needed=needed)
    count("tocsin_budget_not_held_total", state=state)


def budget_doubted(reason: str, detail: str) -> None:
    """The calibration rows are not what the promise of the alert budget needs; `reason` as `docs/budget.md` has it."""
    _log.warning("Alert budget in doubt.", reason=reason, detail=detail)
    count("tocsin_budget_doubted_total", reason=reason)


def calibration_rows_set_aside(rows: int, of: int) -> None:
    """So many of the calibration rows stand apart from all others, and the alert level was set without them."""
    _log.warning("Calibration rows stand apart and are set aside; label them if they are incidents.", rows=rows, of=of)
    count("tocsin_calibration_rows_set_aside_total", rows)


def trial_finished(number: int, value: float | None, reason: str) -> None:
    """A trial of a search is on the disk: with a value, or refused with a reason."""
    _log.info("Trial finished.", number=number, value=value, **({"refused": reason} if reason else {}))
    count("tocsin_trials_total", result="refused" if value is None else "finished")


def member_left_out(member: str, reason: str) -> None:
    """A blend was fitted without one of its members; the others share its weight."""
    _log.warning("Member of the blend left out.", member=member, reason=reason)
    count("tocsin_members_left_out_total")


def model_registered(name: str, version: int, digest: str, *, passed: bool) -> None:
    """A trained model entered the registry."""
    _log.info("Model registered.", name=name, version=version, digest=digest, passed=passed)
    count("tocsin_models_registered_total", passed=str(passed).lower())


def model_promoted(name: str, version: int, channel: str) -> None:
    """A channel moved to another version."""
    _log.info("Model promoted.", name=name, version=version, channel=channel)
    count("tocsin_models_promoted_total", channel=channel)


def promotion_lost(name: str, version: int) -> None:
    """Another run moved the channel first: the version is registered, and not promoted."""
    _log.warning("Not promoted, another run was first.", name=name, version=version)
    count("tocsin_promotions_lost_total")


def alerts_sent(sink: str, alerts: int) -> None:
    """A sink took alerts."""
    count("tocsin_alerts_sent_total", alerts, sink=sink)


def name_not_kept() -> None:
    """The table of pseudonyms is full: this name can be told to nobody."""
    count("tocsin_names_not_kept_total")


def storage_asked(kind: str, sent_bytes: int) -> None:
    """A request to a bucket is about to be made; every try counts."""
    count("tocsin_storage_requests_total", kind=kind)
    count("tocsin_storage_bytes_total", sent_bytes, way="sent")


def storage_answered(received_bytes: int) -> None:
    """Bytes came from a bucket."""
    count("tocsin_storage_bytes_total", received_bytes, way="received")


def storage_retried(kind: str, reason: str, wait_s: float) -> None:
    """A bucket did not answer as it should and is asked again after a while."""
    _log.info("Storage asked again.", kind=kind, reason=reason, wait_s=round(wait_s, 3))
    count("tocsin_storage_retries_total", kind=kind)


def run_uploaded(run: str, files: int, size_bytes: int) -> None:
    """What a run left behind lies beside the registry, too."""
    _log.info("Run uploaded.", run=run, files=files, bytes=size_bytes)
    count("tocsin_runs_uploaded_total", result="uploaded")


def run_not_uploaded(run: str, reason: str) -> None:
    """A run could not be copied to the registry's bucket; it is complete on this machine."""
    _log.warning("Run not uploaded, it is complete on this machine.", run=run, reason=reason)
    count("tocsin_runs_uploaded_total", result="refused")


def database_engine_old(version: str) -> None:
    """SQLite is one that two writers could damage a file with; Tocsin lets no second one in, other programs might."""
    _log.debug("SQLite older than 3.51.3; leave its files to Tocsin alone.", version=version)
    count("tocsin_database_engines_old_total")


def database_migrated(file: str, before: int, after: int) -> None:
    """A database took the steps to a newer schema; a backup of the earlier one lies beside it."""
    _log.info("Database migrated.", file=file, before=before, after=after)
    count("tocsin_databases_migrated_total")


def run_not_logged(reason: str) -> None:
    """What became of a training or an evaluation could not be written down for `tocsin status`."""
    _log.warning("Run not logged.", reason=reason)
    count("tocsin_runs_not_logged_total")


def object_left_out(name: str, reason: str) -> None:
    """An object is being written, or was written while it was read: it is left for the next time."""
    _log.info("Object left for the next time.", object=name, reason=reason)
    count("tocsin_objects_left_out_total", reason=reason)


def versions_retired(name: str, versions: Sequence[int]) -> None:
    """Versions were given up: no channel needs them, and they were too many or too old."""
    _log.info("Versions retired.", name=name, versions=len(versions), first=list(versions[:NAMED]))
    count("tocsin_versions_retired_total", len(versions))


def objects_collected(objects: int) -> None:
    """Stored files were deleted that only retired versions needed, or none."""
    _log.info("Objects collected.", objects=objects)
    count("tocsin_objects_collected_total", objects)


def index_caught_up(documents: int) -> None:
    """Documents of a registry were read that its index did not know yet."""
    _log.debug("Index caught up.", documents=documents)
    count("tocsin_index_documents_read_total", documents)


def index_made_anew(reason: str) -> None:
    """The index of a registry was damaged: it is made anew from the documents."""
    _log.debug("Index made anew.", reason=reason)
    count("tocsin_indexes_made_anew_total")


def index_set_aside(reason: str) -> None:
    """The index of a registry cannot be used now: the documents are read in its place."""
    _log.debug("Index set aside, the documents are read.", reason=reason)
    count("tocsin_indexes_set_aside_total")


def registry_begun(registry: str) -> None:
    """The first version of a place: its registry has an id and a root from now on."""
    _log.info("Registry begun.", registry=registry[:8])
    count("tocsin_registries_begun_total")


def registry_refused(reason: str) -> None:
    """A registry is not the one that was seen here before, or an older state of it."""
    _log.error("Registry refused.", reason=reason)
    count("tocsin_registries_refused_total", reason=reason)


def channel_refused(name: str, channel: str, reason: str) -> None:
    """A channel is not what was seen here or a later state: somebody has put another one in its place."""
    _log.error("Channel refused.", name=name, channel=channel, reason=reason)
    count("tocsin_channels_refused_total", reason=reason)


def channel_stale(name: str, channel: str, expires: str) -> None:
    """Nobody has renewed a channel in time, or somebody hides that; it goes on to serve."""
    _log.warning(
        "Channel no longer fresh; promote its version again to renew it.", name=name, channel=channel, expires=expires
    )
    count("tocsin_channels_stale_total")


def last_good_served(name: str, channel: str, version: int, reason: str) -> None:
    """A channel cannot be reached or trusted: the model that it last led to here goes on."""
    _log.error("Last good model goes on.", name=name, channel=channel, version=version, reason=reason)
    count("tocsin_last_good_served_total")


def last_good_not_kept(reason: str) -> None:
    """A model could not be kept for the day on which the registry cannot be reached."""
    _log.warning("Last good model not kept.", reason=reason)
    count("tocsin_last_good_not_kept_total")


def trust_not_kept(reason: str) -> None:
    """What was seen of a registry could not be written down: an older state would not be noticed next time."""
    _log.error("Last seen state not kept.", reason=reason)
    count("tocsin_trust_not_kept_total")


def key_rotated(role: str) -> None:
    """A role went to a new key."""
    _log.info("Key rotated.", role=role)
    count("tocsin_keys_rotated_total", role=role)


def tracking_failed(step: str, reason: str) -> None:
    """The tracking server or database was not told of a training, or of a channel that moved; nothing else failed."""
    _log.warning("Tracking failed, all else is done.", step=step, reason=reason)
    count("tocsin_tracking_failed_total", step=step)


def records_changed(source: str, records: int) -> None:
    """Records that were read already were written again: they count as they were first read."""
    count("tocsin_records_changed_total", records, source=source)


def stream_broken(source: str, reason: str) -> None:
    """A stream of events came to an end that nobody asked for; what is missing is read, then it is opened again."""
    _log.info("Stream broken off, reading what is missing.", source=source, reason=reason)
    count("tocsin_streams_broken_total", source=source)


def cleaned_up(what: str, items: int) -> None:
    """Things of one kind were deleted, since nobody needs them any more and somebody said so."""
    _log.info("Cleaned up.", what=what, items=items)
    count("tocsin_cleaned_up_total", items, what=what)


def model_replayed(digest: str) -> None:
    """A model scored its golden rows in a process of its own, and may be loaded here."""
    _log.info("Model replayed.", digest=digest)
    count("tocsin_models_replayed_total")

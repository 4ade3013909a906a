"""What a running service says of itself; the same rules as in `tocsin.observe`."""

from __future__ import annotations

from tocsin.log import count
from tocsin.log import logger as _log


def stream_began(source: str, replayed: int) -> None:
    """A service is at work; of a killed one, rows were replayed from behind its checkpoint."""
    _log.info("Stream began.", source=source, replayed=replayed)
    count("tocsin_streams_begun_total", source=source)


def source_changed(before: str, source: str) -> None:
    """A folder has served another source: what the features remember of that one is gone on with."""
    _log.warning("Another source than before; what features remember goes on.", before=before, source=source)
    count("tocsin_sources_changed_total", source=source)


def stream_ended(source: str, rows: int) -> None:
    """A service came to its end, or was told to stop; all that it took is committed."""
    _log.info("Stream ended.", source=source, rows=rows)
    count("tocsin_streams_ended_total", source=source)


def committed(rows: int) -> None:
    """Rows, what they rang and how far the source was read are kept for good."""
    count("tocsin_commits_total")
    count("tocsin_rows_committed_total", rows)


def checkpoint_written(entities: int, size_bytes: int) -> None:
    """What the features remember was written down."""
    _log.debug("Checkpoint written.", entities=entities, bytes=size_bytes)
    count("tocsin_checkpoints_total")


def checkpoint_put_off(reason: str) -> None:
    """There is no room for a checkpoint: it is tried again later, and a kill until then means more to replay."""
    _log.warning("Checkpoint put off.", reason=reason)
    count("tocsin_checkpoints_put_off_total")


def checkpoint_refused(reason: str) -> None:
    """What the features remembered cannot be used: they begin anew."""
    _log.error("Checkpoint refused, features begin anew.", reason=reason)
    count("tocsin_checkpoints_refused_total")


def journal_lost(steps: int) -> None:
    """A checkpoint knows of steps that the journal does not: it was deleted, or an older one was put in its place."""
    _log.error("Journal lost, alerts that waited in it are gone.", steps=steps)
    count("tocsin_journals_lost_total")


def journal_full(wait_s: float, reason: str) -> None:
    """There is no room to write the journal: nothing is read until there is."""
    _log.error("Journal full, reading nothing until there is room.", wait_s=round(wait_s, 1), reason=reason)
    count("tocsin_journal_full_total")


def thread_died(thread: str, error: BaseException | None) -> None:
    """A thread met a defect of Tocsin, or of a library: what it did is done no more until the next start."""
    _log.error("Thread died; please report it, and start the service again.", thread=thread, exc_info=error)
    count("tocsin_threads_died_total")


def metrics_not_written(reason: str) -> None:
    """The file of metrics could not be written; it is tried again."""
    _log.warning("Metrics not written.", reason=reason)
    count("tocsin_metrics_not_written_total")


def source_lost(source: str, reason: str) -> None:
    """A source stopped answering; it is opened again, later each time."""
    _log.warning("Source lost, opening it again.", source=source, reason=reason)
    count("tocsin_sources_lost_total", source=source)


def delivery_put_off(sink: str, alerts: int, wait_s: float, reason: str) -> None:
    """A sink did not take alerts; they are tried again."""
    _log.warning("Delivery put off.", sink=sink, alerts=alerts, wait_s=round(wait_s, 1), reason=reason)
    count("tocsin_deliveries_put_off_total", sink=sink)


def delivery_given_up(sink: str, alerts: int) -> None:
    """A sink has not taken alerts for so long that nobody would still want them; they stay in the journal."""
    _log.error("Delivery given up.", sink=sink, alerts=alerts)
    count("tocsin_deliveries_given_up_total", alerts, sink=sink)


def sink_succeeded(gone: str, sink: str, waiting: int) -> None:
    """What waits for a sink that the config has no more goes to a new one of its type."""
    _log.warning("Alerts that wait go to another sink of the same type.", gone=gone, sink=sink, waiting=waiting)
    count("tocsin_sinks_succeeded_total")


def peer_refused(host: str) -> None:
    """A connection to a host of the config would have ended at an address where none may; nothing was sent."""
    _log.error("Connection refused: neither public nor allowed.", host=host)
    count("tocsin_peers_refused_total")


def alert_shortened(sink: str) -> None:
    """An alert was longer than what a sink's receiver is sure to take; its end was left out."""
    _log.debug("Alert shortened.", sink=sink)
    count("tocsin_alerts_shortened_total", sink=sink)


def alert_file_turned(sink: str) -> None:
    """A file of alerts reached its size: it was moved aside, and a new one was begun."""
    _log.info("File of alerts moved aside.", sink=sink)
    count("tocsin_alert_files_turned_total", sink=sink)


def messages_redelivered(source: str, messages: int) -> None:
    """A broker gave messages once more that were committed before; they are left out."""
    _log.info("Messages redelivered, left out.", source=source, messages=messages)
    count("tocsin_messages_redelivered_total", messages, source=source)


def session_forgotten(source: str) -> None:
    """A broker no longer knows how far it was read: what came since the last connection may be lost."""
    _log.warning("Broker forgot the session; what it kept for it is lost.", source=source)
    count("tocsin_sessions_forgotten_total", source=source)


def message_left_out(broker: str) -> None:
    """There was no room for a message that its sender sent without asking for an acknowledgement (MQTT, QoS 0)."""
    _log.debug("Message of QoS 0 left out.", broker=broker)
    count("tocsin_messages_left_out_total")


def file_cut_short(source: str, file: str, unread_bytes: int) -> None:
    """A file that is followed lost what had been read of it: it is read from its beginning."""
    _log.info("File cut short, reading it anew.", source=source, file=file, unread_bytes=unread_bytes)
    count("tocsin_files_cut_short_total", source=source)
    count("tocsin_file_bytes_unread_total", unread_bytes, source=source)


def file_let_go(source: str, file: str, unread_bytes: int) -> None:
    """A file that was followed is gone, or renamed and at rest; a last line without an end counts as unread."""
    _log.info("File let go.", source=source, file=file, unread_bytes=unread_bytes)
    count("tocsin_files_let_go_total", source=source)
    count("tocsin_file_bytes_unread_total", unread_bytes, source=source)


def file_not_whole(source: str, file: str) -> None:
    """A packed file is not whole yet: it is looked at again when it has changed."""
    _log.info("File not whole yet.", source=source, file=file)
    count("tocsin_files_not_whole_total", source=source)


def messages_trimmed(source: str, messages: int) -> None:
    """A broker deleted messages that it had given and that were not committed yet: its limits are too tight."""
    _log.error("Messages deleted by the broker before they were committed.", source=source, messages=messages)
    count("tocsin_messages_trimmed_total", messages, source=source)


def events_appended(events: int) -> None:
    """Events were put into the embedded log, and are kept for good."""
    count("tocsin_events_appended_total", events)


def event_log_full(log: str, size_bytes: int) -> None:
    """The embedded log takes no events until the stream has read on."""
    _log.warning("Log of events full, refusing.", log=log, bytes=size_bytes)
    count("tocsin_event_log_full_total")


def event_rows_pruned(rows: int) -> None:
    """Rows of the embedded log were deleted, since the stream needs them no more."""
    _log.debug("Log of events pruned.", rows=rows)
    count("tocsin_event_rows_pruned_total", rows)


def event_log_begun_anew(source: str, log: str) -> None:
    """A log of events is not the one that was read before, since it holds less: it is read from its beginning."""
    _log.warning("Log of events begun anew.", source=source, log=log)
    count("tocsin_event_logs_begun_anew_total", source=source)


def letters_given_up(rows: int) -> None:
    """More rows were refused than are kept: the oldest of them are gone before their time."""
    _log.warning("Dead letters given up, there are too many.", rows=rows)
    count("tocsin_letters_given_up_total", rows)


def verdicts_given_up(rows: int) -> None:
    """More verdicts were written down than are kept: the oldest of them are gone before their time."""
    _log.debug("Verdicts given up, there are too many.", rows=rows)
    count("tocsin_verdicts_given_up_total", rows)


def letters_replayed(rows: int, passed_on: int) -> None:
    """Refused rows were given to the stream once more, since somebody asked for it."""
    _log.info("Dead letters replayed.", rows=rows, passed_on=passed_on)
    count("tocsin_letters_replayed_total", rows)


def scoring_failed(what: str) -> None:
    """A part raised while rows were scored: the stream goes back to its checkpoint, to find the row at fault."""
    _log.warning("Scoring failed, going back to find the row at fault.", what=what)
    count("tocsin_scoring_failed_total")


def row_not_scored(what: str, error: BaseException, *, again: bool) -> None:
    """A part raised on a row, which is a dead letter now; the rows beside it are scored. It is told once."""
    if not again:
        _log.error("Row not scored, it is among the dead letters.", what=what, exc_info=error)
    count("tocsin_rows_not_scored_total")

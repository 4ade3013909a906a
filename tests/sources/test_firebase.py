"""A Realtime Database read page by page and listened to, while it misbehaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sources.realtime_database import RealtimeDatabase
from tests.storage.misbehaving import Misbehaving, send
from tests.storage.test_bad_days import self_signed

from tocsin import log
from tocsin.checks.source import CHECKS
from tocsin.connections.server_sent_events import Event, _Parser
from tocsin.errors import ConfigError, DataError, LimitExceeded, SourceLost
from tocsin.records import ROW, Batch, Position
from tocsin.sources.base import Source
from tocsin.sources.firebase import KEY, Firebase
from tocsin.storage import Meter

PATIENCE_S = 20.0
CHANGED = 'tocsin_records_changed_total{source="firebase"}'


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


@pytest.fixture
def database() -> Iterator[RealtimeDatabase]:
    with RealtimeDatabase() as running:
        yield running


def flows(number: int, *, start: int = 0) -> dict[str, Any]:
    return {f"k{at:05d}": {"timestamp": 1_700_000_000 + at, "bytes": {"in": at}} for at in range(start, start + number)}


class Hurried(Firebase):
    """A source to which what it sleeps is past at once."""

    slept = 0.0

    def _elapsed(self) -> float:
        return time.monotonic() + self.slept

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds


def source_of(database: RealtimeDatabase, **parameters: Any) -> Firebase:
    return Hurried(url=f"{database.url}/flows", **parameters)


def batches_of(source: Firebase, resume: Position | None = None) -> list[Batch]:
    found = []
    with closing(source):
        source.open(resume)
        while not source.ended:
            batch = source.read(1.0)
            if batch is not None:
                found.append(batch)
                source.acknowledge(batch)
    return found


def keys(batches: list[Batch]) -> list[str]:
    return [key for batch in batches for key in batch[KEY].tolist()]


def read_until(source: Firebase, wanted: Callable[[list[Batch]], bool], seen: list[Batch]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(seen):
        assert time.monotonic() < deadline, f"only {keys(seen)} came"
        batch = source.read(0.1)
        if batch is not None:
            seen.append(batch)


def read_on(source: Firebase) -> None:
    """Read, whatever comes, until it fails."""
    for _ in range(200):
        source.read(0.1)


@pytest.mark.parametrize("order_by", ["$key", "timestamp"])
def test_history_comes_in_pages_and_nested_values_become_columns(database: RealtimeDatabase, order_by: str) -> None:
    database.put("flows", flows(25))
    source = source_of(database, order_by=order_by, page=10)
    batches = batches_of(source)
    assert keys(batches) == list(flows(25))
    assert [batch.rows for batch in batches] == [10, 10, 5]
    assert batches[0]["bytes.in"].tolist() == list(range(10))
    assert np.concatenate([batch[ROW] for batch in batches]).tolist() == list(range(1, 26))
    assert len(database.asked) == source.meter.requests["get"] == 3
    assert source.meter.received_bytes > 25 * 50


def test_more_records_at_one_place_than_a_page_holds_are_all_read(database: RealtimeDatabase) -> None:
    database.put("flows", {f"k{at}": {"timestamp": at // 20} for at in range(60)})
    found = keys(batches_of(source_of(database, order_by="timestamp", page=3)))
    assert sorted(found) == sorted(f"k{at}" for at in range(60))


KEYS = st.one_of(st.from_regex(r"[0-9]{1,4}", fullmatch=True), st.from_regex(r"[a-zA-Z_-]{1,5}", fullmatch=True))
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-5, 5), st.sampled_from(["", "a", "b", "ü"]))


@pytest.mark.soak
def test_any_values_to_order_by_give_every_record_once(
    database: RealtimeDatabase, rounds: Callable[[int, int], int]
) -> None:
    @settings(deadline=None, max_examples=rounds(30, 1_000))
    @given(values=st.dictionaries(KEYS, VALUES, max_size=30), page=st.integers(1, 7))
    def holds(values: dict[str, Any], page: int) -> None:
        database.tree = {"flows": {key: {"by": by, "is": 1} for key, by in values.items()}}
        assert sorted(keys(batches_of(source_of(database, order_by="by", page=page)))) == sorted(values)

    holds()


def test_a_list_and_what_is_no_object(database: RealtimeDatabase) -> None:
    database.tree = {"flows": [{"bytes": 1}, None, 7, {"bytes": 3}]}
    (batch,) = batches_of(source_of(database))
    assert batch["bytes"].tolist() == [1, 3]
    assert [(item.row, item.reason) for item in batch.rejected] == [(2, "not_an_object")]


def test_a_location_without_records_has_none(database: RealtimeDatabase) -> None:
    assert batches_of(source_of(database)) == []


def test_answers_that_are_cut_off_or_fail_are_asked_for_again(database: RealtimeDatabase) -> None:
    database.put("flows", flows(30))
    database.faults = [503, 0, 429, 500]
    assert keys(batches_of(source_of(database, page=10))) == list(flows(30))


def test_a_database_that_stays_away_is_lost_and_asked_again_by_the_next_read(database: RealtimeDatabase) -> None:
    database.put("flows", flows(3))
    database.faults = [503] * 5
    source = source_of(database)
    source.open()
    with pytest.raises(SourceLost, match="5 attempts"):
        read_on(source)
    seen: list[Batch] = []
    read_until(source, lambda seen: len(keys(seen)) == 3, seen)
    source.close()


def test_what_a_database_refuses_is_said_in_its_words(database: RealtimeDatabase) -> None:
    database.faults = [400]
    with pytest.raises(DataError, match=r"as told.*\n.*indexOn"):
        batches_of(source_of(database, order_by="timestamp"))
    database.faults = [401]
    with pytest.raises(SourceLost, match="GOOGLE_APPLICATION_CREDENTIALS"):
        batches_of(source_of(database))


def test_records_too_long_for_one_answer_come_in_smaller_ones(database: RealtimeDatabase) -> None:
    database.put("flows", {f"k{at}": {"text": "x" * (6 << 20)} for at in range(4)})
    assert keys(batches_of(source_of(database, page=4))) == ["k0", "k1", "k2", "k3"]


def test_one_record_too_long_for_an_answer_ends_it(database: RealtimeDatabase) -> None:
    database.put("flows", {"k": {"text": "x" * (17 << 20)}})
    with pytest.raises(LimitExceeded):
        batches_of(source_of(database))


def test_a_run_that_may_ask_no_more_ends(database: RealtimeDatabase) -> None:
    database.put("flows", flows(30))
    source = source_of(database, page=10)
    source.meter = Meter(requests=2)
    with pytest.raises(LimitExceeded, match=r"limits\.requests"):
        batches_of(source)


@pytest.mark.parametrize("order_by", ["timestamp", "iso", "$key"])
def test_what_is_too_old_is_not_asked_for(database: RealtimeDatabase, order_by: str) -> None:
    begin = 1_767_571_200
    days = [datetime.fromtimestamp(begin + at * 86_400, UTC) for at in range(40)]
    pushed = [_push_id(day) for day in days]
    database.put(
        "flows",
        {
            key: {"timestamp": day.timestamp() * 1_000, "iso": day.isoformat()}
            for key, day in zip(pushed, days, strict=True)
        },
    )
    source = source_of(database, order_by=order_by, page=100)
    source.since = days[30].timestamp()
    found = keys(batches_of(source))
    assert found[-10:] == pushed[30:]
    assert len(found) <= 11


def _push_id(moment: datetime) -> str:
    letters = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    number, text = int(moment.timestamp() * 1_000), ""
    for _ in range(8):
        number, place = divmod(number, 64)
        text = letters[place] + text
    return text + "0" * 12


def test_a_listing_names_the_records_and_when_their_keys_were_made(database: RealtimeDatabase) -> None:
    moment = datetime(2026, 11, 27, 12, tzinfo=UTC)
    database.put("flows", {_push_id(moment): {"a": 1}, "other": {"a": 2}})
    source = source_of(database)
    pieces = {piece.name.rpartition("/")[2]: piece for piece in source.pieces}
    assert pieces[_push_id(moment)].modified == moment
    assert pieces["other"].modified is None
    assert source.cost(list(pieces.values())).requests == 2


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_of_sources_holds_over_the_wire(
    database: RealtimeDatabase, check: Callable[[type[Source], Path], None], tmp_path: Path
) -> None:
    database.put("flows", {**flows(5), "k00002": "no object"})

    def example(cls: type[Firebase], folder: Path) -> Firebase:
        return cls(url=f"{database.url}/flows", page=2)

    check(type("Firebase", (Firebase,), {"example": classmethod(example)}), tmp_path)


class TestFollowing:
    def test_what_is_added_comes_once(self, database: RealtimeDatabase) -> None:
        database.put("flows", flows(3))
        source = source_of(database, follow=True)
        before = log.counters().get(CHANGED, 0)
        assert source.endless
        source.open()
        seen: list[Batch] = []
        read_until(source, lambda seen: bool(database.streams), seen)
        database.put("flows/k00003", {"timestamp": 4})
        database.tell("keep-alive")
        database.put("flows/k00001", {"timestamp": 5})  # it was read already
        database.put("flows/k00002/timestamp", 6)  # and so was this
        database.tell("patch", json.dumps({"path": "/", "data": {"k00004": {"timestamp": 7}}}))
        read_until(source, lambda seen: len(keys(seen)) == 5, seen)
        assert source.read(0.3) is None
        source.close()
        assert keys(seen) == [f"k{at:05d}" for at in range(5)]
        assert log.counters()[CHANGED] == before + 1  # the stream begins behind the other one

    def test_a_record_written_in_parts_is_read_whole(self, database: RealtimeDatabase) -> None:
        database.put("flows", flows(1))
        source = source_of(database, follow=True)
        source.open()
        seen: list[Batch] = []
        read_until(source, lambda seen: bool(database.streams), seen)
        database.put("flows/k00009/timestamp", 9)
        read_until(source, lambda seen: len(keys(seen)) == 2, seen)
        source.close()
        assert keys(seen) == ["k00000", "k00009"]

    @pytest.mark.soak
    def test_cuts_lose_nothing_and_repeat_nothing(
        self, database: RealtimeDatabase, rng: np.random.Generator, rounds: Callable[[int, int], int]
    ) -> None:
        cuts = rounds(8, 100)
        total = cuts * 20
        source = source_of(database, follow=True, page=7)

        def write() -> None:
            for at in range(total):
                database.put(f"flows/k{at:05d}", {"timestamp": at})
                time.sleep(0.002)

        def cut() -> None:
            for _ in range(cuts):
                time.sleep(float(rng.uniform(0.0, 0.08)))
                database.faults += [int(fault) for fault in rng.choice([503, 0], int(rng.integers(0, 2)))]
                database.cut()

        workers = [threading.Thread(target=write), threading.Thread(target=cut)]
        source.open()
        for worker in workers:
            worker.start()
        seen: list[Batch] = []
        position: Position | None = None
        deadline = time.monotonic() + PATIENCE_S * rounds(1, 10)
        while len(keys(seen)) < total:
            assert time.monotonic() < deadline, f"{len(keys(seen))} of {total}"
            batch = None
            with suppress(SourceLost):  # five failures in a row; the next read goes on
                batch = source.read(0.2)
            if batch is None:
                continue
            seen.append(batch)
            position = source.acknowledge(batch)
            if rng.random() < 0.05:  # and whoever reads is killed now and then
                source.close()
                source = source_of(database, follow=True, page=7)
                source.open(position)
        for worker in workers:
            worker.join()
        source.close()
        assert keys(seen) == [f"k{at:05d}" for at in range(total)]
        assert np.concatenate([batch[ROW] for batch in seen]).tolist() == list(range(1, total + 1))

    def test_a_stream_that_never_gives_anything_is_lost(self, database: RealtimeDatabase) -> None:
        database.put("flows", flows(1))
        source = source_of(database, follow=True)
        source.open()
        database.stream_fault = 503
        with pytest.raises(SourceLost, match="streams in a row"):
            read_on(source)
        source.close()

    def test_rules_that_no_longer_allow_it_end_it(self, database: RealtimeDatabase) -> None:
        source = source_of(database, follow=True)
        source.open()
        read_until(source, lambda seen: bool(database.streams), [])
        database.tell("cancel")
        with pytest.raises(SourceLost, match="no longer allow"):
            read_on(source)
        source.close()

    def test_a_redirect_to_elsewhere_is_not_followed(self, database: RealtimeDatabase) -> None:
        source = source_of(database, follow=True)
        with RealtimeDatabase() as elsewhere:
            database.redirect = f"{elsewhere.url}/flows.json"
            source.open()
            with pytest.raises(SourceLost, match="not to see the token"):
                read_on(source)
            assert elsewhere.asked == []
        source.close()


@pytest.fixture
def account(database: RealtimeDatabase, tmp_path: Path) -> Path:
    """The key file of a service account, whose tokens the database gives."""
    key = generate_private_key(65_537, 2_048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    content = {
        "type": "service_account",
        "client_email": "reader@project.iam.gserviceaccount.com",
        "private_key": pem,
        "private_key_id": "1",
        "token_uri": f"{database.url}/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_token_is_asked_for_once_and_again_when_it_is_revoked(
    database: RealtimeDatabase, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    database.put("flows", flows(25))
    source = source_of(database, page=10, follow=True)
    source.open()
    seen: list[Batch] = []
    read_until(source, lambda seen: len(keys(seen)) == 25 and bool(database.streams), seen)
    assert database.tokens_given == 1
    database.tell("auth_revoked", '"credential is no longer valid"')
    read_until(source, lambda _: database.tokens_given == 2, seen)
    database.put("flows/k00030", {"timestamp": 30})
    read_until(source, lambda seen: len(keys(seen)) == 26, seen)
    source.close()


@pytest.mark.parametrize("follow", [False, True])
def test_a_token_that_is_no_longer_taken_gives_way_to_another_one(
    database: RealtimeDatabase, account: Path, monkeypatch: pytest.MonkeyPatch, follow: bool
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    database.put("flows", flows(25))
    source = source_of(database, page=10, follow=follow)
    source.open()
    seen: list[Batch] = []
    read_until(source, lambda seen: len(keys(seen)) == 10 + 15 * follow, seen)
    database.token = "another one"  # noqa: S105  # a made-up one
    database.cut()
    database.put("flows/k00025", {"timestamp": 25})
    read_until(source, lambda seen: len(keys(seen)) == 26, seen)
    assert database.tokens_given == 2
    database.faults = [401, 401]
    database.cut()
    source.close()
    source.open()
    with closing(source), pytest.raises(SourceLost, match="401"):
        read_on(source)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    with Misbehaving(send(200, b"{}"), tls=self_signed(tmp_path)) as server:
        source = Hurried(url=f"{server.url}/flows")
        source.open()
        with closing(source), pytest.raises(SourceLost, match="CERTIFICATE_VERIFY_FAILED"):
            read_on(source)
        assert server.asked == []


@pytest.mark.parametrize("flaw", ["", "[]", "{}", '{"type": "service_account", "token_uri": "http://evil.example"}'])
def test_a_key_file_that_is_none_is_refused_without_its_content(
    database: RealtimeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    path = tmp_path / "account.json"
    path.write_text(flaw, "utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(ConfigError, match="no key file") as refusal:
        source_of(database).open()
    assert "evil" not in str(refusal.value)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="no key file"):
        source_of(database).open()


@pytest.mark.parametrize(
    "url", ["http://project.firebaseio.com/flows", "https://user:secret@project.firebaseio.com", "ftp://x/y", "flows"]
)
def test_a_url_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url") as refusal:
        Firebase(url=url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("flaw", [b"{", b"\xff"])
def test_an_export_that_is_none_is_told(tmp_path: Path, flaw: bytes) -> None:
    (tmp_path / "export.json").write_bytes(flaw)
    with pytest.raises(DataError, match="an export of a Realtime Database"):
        batches_of(Firebase(url=(tmp_path / "export.json").as_uri()))


@given(
    events=st.lists(st.tuples(st.sampled_from(["put", "patch"]), st.text("ab {}:", max_size=20)), max_size=5),
    cuts=st.lists(st.integers(1, 30), max_size=20),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_however_they_are_cut_into_pieces(
    events: list[tuple[str, str]], cuts: list[int], end: str
) -> None:
    text = "".join(f"event: {name}{end}data: {data}{end}{end}" for name, data in events).encode()
    parser = _Parser()
    found: list[Event] = []
    for size in [*cuts, len(text)]:
        found += parser.feed(text[:size])
        text = text[size:]
    assert found == [Event(name, data.encode()) for name, data in events]

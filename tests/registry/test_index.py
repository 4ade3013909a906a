"""The index says what the documents say, whatever became of it; and it is asked, not they."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.storage.servers import S3Server

from tocsin import log
from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle, example_report, opened
from tocsin.database import Database
from tocsin.errors import RegistryError
from tocsin.registry import CANDIDATE, CHAMPION, Registry
from tocsin.registry.index import APPLICATION, MIGRATIONS, Index
from tocsin.storage import LocalStore, Meter, Store, open_store


class Counting(LocalStore):
    """A local store that knows which documents were asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []

    def get(self, name: str, limit_bytes: int) -> bytes:
        self.asked.append(name)
        return super().get(name, limit_bytes)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "registry")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a machine and its registry, once for all."""
    folder = tmp_path_factory.mktemp("template")
    lived(opened(LocalStore(folder / "registry"), folder, keep=3))
    return folder


@pytest.fixture
def registry(store: Store, template: Path, tmp_path: Path) -> Registry:
    """A registry with some history."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return opened(store, tmp_path, keep=3)


@pytest.fixture
def index(registry: Registry, tmp_path: Path) -> Index:
    return registry.index(tmp_path / "registry" / "index.db")


def add(registry: Registry, seed: int, name: str = NAME) -> int:
    return registry.add(name, example_bundle(seed), example_report(seed), PASSED if seed % 2 else FAILED).version


def lived(registry: Registry, versions: int = 7) -> Registry:
    """A registry with some history: promotions, a roll back, judgements, retired versions."""
    for seed in range(versions):
        number = add(registry, seed)
        if seed in {1, 3}:
            registry.promote(NAME, number)
    registry.roll_back(NAME)
    registry.add_judgement(NAME, 2, FAILED, example_report())
    return registry


def rows(path: Path) -> list[tuple[Any, ...]]:
    with Database(path, APPLICATION, MIGRATIONS) as database:
        return database.rows("SELECT * FROM documents ORDER BY place")


def agrees(registry: Registry, index: Index) -> None:
    listing = index.listing(NAME)
    assert list(listing.living) == list(registry.history(NAME))
    assert {channel: steps[-1].document.version for channel, steps in listing.channels.items()} == dict(
        registry.channels(NAME)
    )
    for channel, steps in listing.channels.items():
        assert tuple(signed.document for signed in steps) == registry.channel_history(NAME, channel)
    assert listing.problems == ()


def test_a_listing_says_what_the_documents_say(registry: Registry, index: Index) -> None:
    agrees(registry, index)
    listing = index.listing(NAME)
    assert sorted(listing.versions) == [1, 2, 3, 4, 5, 6, 7]
    assert listing.retired == {1, 3}
    assert listing.channels.keys() == {CANDIDATE, CHAMPION}
    (judged,) = listing.judgements[2]
    assert judged.document.verdict == FAILED
    assert {signed.key for signed in listing.channels[CHAMPION]} == {judged.key}
    assert {signed.key for signed in listing.versions.values()} != {judged.key}


def test_only_what_is_new_is_read(registry: Registry, index: Index, store: Counting) -> None:
    index.listing(NAME)
    store.asked.clear()
    index.listing(NAME)
    assert [name for name in store.asked if name.startswith("models/")] == [f"models/{NAME}/versions/000007.json"]
    registry.promote(NAME, add(registry, 9))
    store.asked.clear()
    assert index.listing(NAME).channels[CHAMPION][-1].document.version == 8
    assert sorted(name for name in store.asked if name.startswith("models/")) == [
        f"models/{NAME}/channels/candidate/000008.json",
        f"models/{NAME}/channels/champion/000004.json",
        f"models/{NAME}/versions/000007.json",
        f"models/{NAME}/versions/000008.json",
    ]
    agrees(registry, index)


def test_a_rebuilt_index_has_the_same_rows(registry: Registry, index: Index, tmp_path: Path) -> None:
    path = tmp_path / "registry" / "index.db"
    for seed in range(3):
        index.listing(NAME)
        add(registry, seed)
    add(registry, 1, "another")
    index.listing(NAME)
    index.listing("another")
    caught_up = rows(path)
    assert index.rebuild() == len(caught_up) > 20
    assert rows(path) == caught_up
    path.unlink()
    assert index.rebuild() == len(caught_up)
    assert rows(path) == caught_up


def test_it_can_be_asked_with_sql(registry: Registry, index: Index, tmp_path: Path) -> None:
    registry.index(tmp_path / "registry" / "index.db").listing(NAME)
    with closing(sqlite3.connect(tmp_path / "registry" / "index.db")) as database:
        versions = database.execute("SELECT version, digest, passed, figures FROM versions ORDER BY version").fetchall()
        steps = database.execute("SELECT step, version, reason FROM steps WHERE channel = 'champion' ORDER BY step")
        assert steps.fetchall() == [(1, 2, "promoted"), (2, 4, "promoted"), (3, 2, "rolled_back")]
    assert [version[:3] for version in versions] == [
        (seed + 1, example_bundle(seed).digest, seed % 2) for seed in range(7)
    ]
    assert json.loads(versions[3][3])["recall"] == 0.95


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000])


def scribbled(path: Path) -> None:
    path.write_bytes(b"scribbled over, and no database any more" * 500)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4_096:] = os.urandom(len(content) - 4_096)
    path.write_bytes(content)


def edited(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        changed = database.execute("UPDATE documents SET document = replace(document, '0.95', '0.99')")
        assert changed.rowcount > 0


def stripped(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE documents")


@pytest.mark.parametrize("damage", [cut, scribbled, emptied, flipped, edited, stripped, Path.unlink])
def test_a_damaged_index_is_made_anew_in_silence(
    damage: Callable[[Path], None], registry: Registry, index: Index, tmp_path: Path
) -> None:
    path = tmp_path / "registry" / "index.db"
    index.listing(NAME)
    before = rows(path)
    damage(path)
    agrees(registry, index)
    assert rows(path) == before


def set_aside() -> int:
    return log.counters().get("tocsin_indexes_set_aside_total", 0)


def test_an_index_in_use_elsewhere_is_done_without(registry: Registry, index: Index, tmp_path: Path) -> None:
    index.listing(NAME)
    before = set_aside()
    with Database(tmp_path / "registry" / "index.db", APPLICATION, MIGRATIONS):
        agrees(registry, index)
    assert set_aside() > before


def test_the_index_of_a_newer_tocsin_and_another_programs_file_are_left_alone(
    registry: Registry, index: Index, tmp_path: Path
) -> None:
    path = tmp_path / "registry" / "index.db"
    for spoil in ("PRAGMA user_version = 99", "PRAGMA application_id = 99"):
        index.rebuild()
        with closing(sqlite3.connect(path)) as database:
            database.execute(spoil)
        content = path.read_bytes()
        agrees(registry, index)
        assert path.read_bytes() == content


def test_on_a_full_disk_a_listing_is_read_from_the_documents(registry: Registry, disk: Path) -> None:
    index = registry.index(disk / "index.db")
    (disk / "filler").write_bytes(bytes(8 * 2**20 - 8_192))
    before = set_aside()
    agrees(registry, index)
    assert set_aside() > before
    (disk / "filler").unlink()
    agrees(registry, index)
    assert len(rows(disk / "index.db")) > 10


def test_a_document_that_was_altered_is_named_and_the_others_listed(
    registry: Registry, index: Index, store: Store
) -> None:
    place = f"models/{NAME}/versions/000006.json"
    data = store.get(place, 2**20)
    store.delete(place)
    store.put(place, data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    listing = index.listing(NAME)
    assert sorted(listing.versions) == [1, 2, 3, 4, 5, 7]
    assert [problem.where for problem in listing.problems] == [place]


def test_a_registry_that_took_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    for site, seeds in (("one", (1, 3)), ("other", (5, 7))):
        registry = opened(LocalStore(tmp_path / site), tmp_path / f"machine-{site}")
        for seed in seeds:
            add(registry, seed)
        listing = registry.index(tmp_path / "index.db").listing(NAME)
        assert [signed.document.version.digest for signed in listing.versions.values()] == [
            example_bundle(seed).digest for seed in seeds
        ]


def test_asking_for_what_is_not_there_makes_no_index(tmp_path: Path) -> None:
    registry = opened(LocalStore(tmp_path / "registry"), tmp_path)
    with pytest.raises(RegistryError, match="the registry is empty"):
        registry.index(tmp_path / "registry" / "index.db").listing(NAME)
    assert not (tmp_path / "registry").exists()


def test_from_a_bucket_a_listing_asks_little(s3: S3Server, tmp_path: Path, tell: Callable[[str], None]) -> None:
    url, meter = s3.bucket(), Meter()
    registry = lived(opened(open_store(url), tmp_path))
    asking = opened(open_store(url, meter=meter), tmp_path)
    asking.names()
    asked = []
    for path in ("first.db", "first.db", "second.db"):
        meter.requests.clear()
        listing = asking.index(tmp_path / path).listing(NAME)
        assert len(listing.versions) == 7
        asked.append(meter.requests["get"])
    documents = len(rows(tmp_path / "first.db"))
    assert asked[0] == asked[2] == asked[1] - 1 + documents
    assert meter.requests["list"] <= 3
    tell(f"{asked[0]} documents read without an index, {asked[1]} with one; {meter.requests['list']} lists each time")
    assert {version.version for version in registry.history(NAME)} == {2, 3, 4, 5, 6, 7}

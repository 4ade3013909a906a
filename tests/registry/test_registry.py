from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle, example_report, opened
from tocsin.errors import ConflictError, GateRefused, IntegrityError, NewerFormatError, RegistryError
from tocsin.model.bundle import Bundle
from tocsin.model.documents import seal
from tocsin.records import Judgement, Verdict
from tocsin.registry import CANDIDATE, CHAMPION, Registry
from tocsin.storage import LocalStore

MUCH_LATER = timedelta(days=30)
STRAY = ("versions", "retired", "channels", "channels/stray2", "channels/champion", "channels/champion/deeper")


def much_later() -> datetime:
    return datetime.now(UTC) + MUCH_LATER


def add(registry: Registry, seed: int, verdict: Verdict = PASSED) -> int:
    return registry.add(NAME, example_bundle(seed), example_report(seed), verdict).version


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return opened(LocalStore(tmp_path / "registry"), tmp_path, clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_version_says_what_was_added(registry: Registry) -> None:
    version = registry.add(NAME, example_bundle(), {"figures": {"recall": {"value": 0.9}, "auc": {"value": 1}}}, PASSED)
    assert (version.name, version.version, version.passed, version.generated) == (NAME, 1, True, True)
    assert version.created == "2026-03-01T12:00:00.000+00:00"
    assert version.digest == example_bundle().digest
    assert version.summary == {"recall": 0.9, "auc": 1, "train_seconds": 0.5, "generated": True}
    assert registry.history(NAME) == (version,)


def test_asking_changes_nothing_on_the_disk(tmp_path: Path) -> None:
    registry = opened(LocalStore(tmp_path / "registry"), tmp_path)
    assert registry.names() == ()
    with pytest.raises(RegistryError, match="the registry is empty"):
        registry.load(NAME, CANDIDATE)
    assert not (tmp_path / "registry").exists()


def test_an_unknown_name_version_or_channel_is_answered_with_the_known_ones(registry: Registry) -> None:
    add(registry, 0)
    with pytest.raises(RegistryError, match='did you mean "edge-flows"'):
        registry.load("edge-flow", 1)
    with pytest.raises(RegistryError, match="no version 7, wanted one of: 1"):
        registry.promote(NAME, 7)
    with pytest.raises(RegistryError, match='did you mean "candidate"'):
        registry.load(NAME, "candidat")
    with pytest.raises(RegistryError, match='no channel "champion"'):
        registry.load(NAME, CHAMPION)


@pytest.mark.parametrize("name", ["", "../up", "A model", "a/b", ".hidden"])
def test_a_name_that_is_not_closed_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="the name"):
        registry.add(name, example_bundle(), {}, PASSED)
    with pytest.raises(RegistryError, match="the name"):
        registry.history(name)
    with pytest.raises(RegistryError, match="the name"):
        registry.promote(NAME, 1, channel=name)


def test_a_refused_promotion_names_the_targets_that_were_missed(registry: Registry) -> None:
    add(registry, 0, FAILED)
    with pytest.raises(GateRefused, match=r"recall >= 0\.9, got 0\.5"):
        registry.promote(NAME, 1)


def test_a_figure_without_a_number_is_kept_in_the_verdict(registry: Registry) -> None:
    verdict = Verdict(False, (Judgement("auc", ">= 0.9", float("nan"), False, "one class only"),))
    add(registry, 0, verdict)
    assert registry.verdict(NAME, 1).judgements[0].got == "nan"


def test_a_report_that_json_cannot_hold_stores_nothing(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"report\.json \$\.auc"):
        registry.add(NAME, example_bundle(), {"auc": float("nan")}, PASSED)
    assert registry.names() == ()


def test_promotions_roll_back_in_the_order_they_were_made(registry: Registry) -> None:
    for seed in range(3):
        add(registry, seed)
    for version in (1, 2, 1, 3, 3):
        registry.promote(NAME, version)
    assert [registry.roll_back(NAME).version for _ in range(3)] == [1, 2, 1]
    with pytest.raises(RegistryError, match="nothing before it"):
        registry.roll_back(NAME)


def test_a_roll_back_can_be_followed_by_a_promotion(registry: Registry) -> None:
    for seed in range(3):
        registry.promote(NAME, add(registry, seed))
    registry.roll_back(NAME)
    registry.promote(NAME, 3)
    assert registry.roll_back(NAME).version == 2
    reasons = [entry.reason for entry in registry.channel_history(NAME, CHAMPION)]
    assert reasons == ["promoted"] * 3 + ["rolled_back", "promoted", "rolled_back"]


def test_channels_beside_the_champion_are_kept_apart(registry: Registry) -> None:
    for seed in range(2):
        add(registry, seed)
    registry.promote(NAME, 1)
    registry.promote(NAME, 2, channel="shadow")
    assert registry.channels(NAME) == {CANDIDATE: 2, CHAMPION: 1, "shadow": 2}
    assert registry.load(NAME, "shadow")[1].version == 2


def test_the_same_model_again_is_a_new_version_of_the_same_objects(registry: Registry, tmp_path: Path) -> None:
    add(registry, 0)
    objects = LocalStore(tmp_path / "registry").list("objects")
    assert add(registry, 0) == 2
    assert LocalStore(tmp_path / "registry").list("objects") == objects


def test_adding_again_repairs_a_damaged_object(registry: Registry, tmp_path: Path) -> None:
    add(registry, 0)
    store = LocalStore(tmp_path / "registry")
    for name in store.list("objects"):
        store.delete(name)
        store.put(name, b"damaged")
    with pytest.raises(IntegrityError):
        registry.load(NAME, 1)
    add(registry, 0)
    assert registry.verify(NAME) == []


def test_young_orphans_are_left_alone_and_old_ones_collected(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    orphan = f"objects/sha256/ab/{'ab' * 32}"
    registry = opened(store, tmp_path)
    add(registry, 0)
    store.put(orphan, b"left by a killed add")
    assert registry.collect_garbage() == 0
    assert opened(store, tmp_path, clock=much_later).collect_garbage() == 1
    assert orphan not in store.list("objects")
    assert registry.verify(NAME) == []


def test_nothing_is_collected_while_a_version_cannot_be_read(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    add(opened(store, tmp_path), 0)
    (name,) = store.list(f"models/{NAME}/versions")
    store.delete(name)
    store.put(name, b"damaged")
    before = store.list("objects")
    later = opened(store, tmp_path, clock=much_later)
    with pytest.raises(IntegrityError):
        later.collect_garbage()
    assert later.add("another", example_bundle(1), {}, PASSED).version == 1
    assert set(before) <= set(store.list("objects"))


def test_stray_files_are_no_models_versions_or_channels(registry: Registry, tmp_path: Path) -> None:
    registry.promote(NAME, add(registry, 0))
    store = LocalStore(tmp_path / "registry")
    for stray in ("models/stray", "models/other/stray", *(f"models/{NAME}/{place}/stray" for place in STRAY)):
        store.put(stray, b"not ours")
    assert registry.names() == (NAME,)
    assert add(registry, 1) == 2
    assert registry.channels(NAME) == {CANDIDATE: 2, CHAMPION: 1}
    assert registry.verify(NAME) == []


def test_swapped_documents_are_refused(registry: Registry, tmp_path: Path) -> None:
    add(registry, 0, FAILED)
    add(registry, 1)
    versions = tmp_path / "registry/models" / NAME / "versions"
    (versions / "000001.json").unlink()
    (versions / "000002.json").rename(versions / "000001.json")
    with pytest.raises(IntegrityError, match=r"000001\.json"):
        registry.promote(NAME, 1)


def test_verify_names_what_is_missing(registry: Registry, tmp_path: Path) -> None:
    for seed in range(3):
        add(registry, seed)
    store = LocalStore(tmp_path / "registry")
    store.delete(f"models/{NAME}/versions/000002.json")
    assert any("no 2" in problem.got for problem in registry.verify(NAME))


def test_a_registry_of_a_newer_tocsin_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "registry")
    store.put("registry.json", orjson.dumps({"format": 3, "sealed": "otherwise"}))
    for ask in (lambda: registry.load(NAME, 1), lambda: add(registry, 0), registry.names):
        with pytest.raises(NewerFormatError, match="format 3"):
            ask()
    assert store.list("") == ("registry.json",)


def test_a_version_of_a_newer_tocsin_is_named_as_such(registry: Registry, tmp_path: Path) -> None:
    add(registry, 0)
    store, name = LocalStore(tmp_path / "registry"), f"models/{NAME}/versions/000002.json"
    store.put(name, seal({"format": 3, "name": name, "document": {}}, name))
    with pytest.raises(NewerFormatError, match="format 3"):
        registry.load(NAME, 2)
    assert registry.load(NAME, 1)[1].version == 1


class RegistryMachine(RuleBasedStateMachine):
    """The registry against a dict: numbers, channels, what may go live, what retention must leave."""

    KEEP = 2

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        store = LocalStore(Path(self.folder.name))
        self.registry = opened(store, Path(self.folder.name), keep=self.KEEP, clock=much_later)
        self.verdicts: dict[int, Verdict] = {}
        self.seeds: dict[int, int] = {}
        self.living: set[int] = set()
        self.pile: list[int] = []

    def teardown(self) -> None:
        self.folder.cleanup()

    def retire(self) -> None:
        last = set(sorted(self.verdicts)[-self.KEEP :])
        before = [version for version in self.pile[:-1] if version in self.living and version != self.pile[-1]]
        self.living &= last | set(self.pile[-1:]) | set(before[-1:])

    @rule(seed=st.integers(0, 3), verdict=st.sampled_from([PASSED, FAILED]))
    def add(self, seed: int, verdict: Verdict) -> None:
        number = add(self.registry, seed, verdict)
        assert number == len(self.verdicts) + 1
        self.verdicts[number], self.seeds[number] = verdict, seed
        self.living.add(number)
        self.retire()

    @precondition(lambda self: self.verdicts)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.verdicts)))
        if number not in self.living:
            with pytest.raises(RegistryError, match="no version"):
                self.registry.promote(NAME, number)
        elif not self.verdicts[number].passed:
            with pytest.raises(GateRefused):
                self.registry.promote(NAME, number)
        else:
            champion = self.pile[-1] if self.pile else 0
            with pytest.raises(ConflictError):
                self.registry.promote(NAME, number, expected=champion + 1)
            self.registry.promote(NAME, number, expected=champion)
            if champion != number:
                self.pile.append(number)

    @precondition(lambda self: self.verdicts)
    @rule()
    def roll_back(self) -> None:
        before = [version for version in self.pile[:-1] if version in self.living and version != self.pile[-1]]
        if not before:
            with pytest.raises(RegistryError, match="nothing before"):
                self.registry.roll_back(NAME)
            return
        assert self.registry.roll_back(NAME).version == before[-1]
        self.pile.pop()
        while self.pile[-1] != before[-1]:
            self.pile.pop()

    @precondition(lambda self: self.verdicts)
    @invariant()
    def agrees(self) -> None:
        assert {version.version for version in self.registry.history(NAME)} == self.living
        wanted = {CANDIDATE: len(self.verdicts)} | ({CHAMPION: self.pile[-1]} if self.pile else {})
        assert self.registry.channels(NAME) == wanted
        for number in self.living:
            bundle, version = self.registry.load(NAME, number)
            assert bundle.digest == version.digest == example_bundle(self.seeds[number]).digest
        assert self.registry.verify(NAME) == []


RegistryMachine.TestCase.settings = settings(max_examples=8, stateful_step_count=12, deadline=None)
TestRegistryMachine = RegistryMachine.TestCase


WRITER = """
import sys
from pathlib import Path
from tocsin.checks.registry import NAME, PASSED, example_bundle, example_report, opened
from tocsin.errors import ConflictError, RegistryError
from tocsin.storage import LocalStore

registry = opened(LocalStore(Path(sys.argv[1])), Path(sys.argv[1]), keep=3)
writer, rounds = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for round in range(rounds):
    seed = 1000 * writer + round
    version = registry.add(NAME, example_bundle(seed), example_report(seed), PASSED)
    print("added", version.version, version.digest, flush=True)
    while True:
        steps = registry.channel_history(NAME, "champion")
        try:
            registry.promote(NAME, version.version, expected=steps[-1].version if steps else 0)
        except ConflictError:
            print("lost", flush=True)
        except RegistryError as error:
            assert "no version" in str(error), error
            print("retired", flush=True)
            break
        else:
            print("won", version.version, flush=True)
            break
"""


@contextmanager
def writer(folder: Path, number: int, rounds: int) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for its signal to add and promote; it does not outlive the test."""
    command = [sys.executable, "-c", WRITER, str(folder), str(number), str(rounds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_eight_processes_get_versions_without_gaps_and_one_winner_each(tmp_path: Path) -> None:
    writers, rounds = 8, 3
    with ExitStack() as stack:
        processes = [stack.enter_context(writer(tmp_path, number, rounds)) for number in range(writers)]
        for process in processes:
            go(process)
        outputs = [process.communicate(timeout=120)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * writers
    lines = [line.split() for output in outputs for line in output.splitlines()]
    added = {int(words[1]): words[2] for words in lines if words[0] == "added"}
    assert sorted(added) == list(range(1, writers * rounds + 1))
    assert len(set(added.values())) == writers * rounds
    registry = opened(LocalStore(tmp_path), tmp_path)
    steps = registry.channel_history(NAME, CHAMPION)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert sorted(step.version for step in steps) == sorted(int(words[1]) for words in lines if words[0] == "won")
    assert registry.channels(NAME)[CANDIDATE] == writers * rounds
    assert registry.verify(NAME) == []
    assert registry.load(NAME, CHAMPION)[0].digest == added[steps[-1].version]


def test_a_full_disk_refuses_the_new_model_and_keeps_the_old(disk: Path, rng: np.random.Generator) -> None:
    (disk / "most").write_bytes(bytes(8 * 2**20 - 2**19))
    registry = opened(LocalStore(disk / "registry"), disk.parent)
    registry.promote(NAME, add(registry, 0))
    large = Bundle({"kind": "large"}, {"noise": rng.normal(size=100_000)}, {})
    for _ in range(3):
        with pytest.raises(RegistryError, match="still holds; free some space, then repeat"):
            registry.add(NAME, large, {}, PASSED)
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(2**20))
    with pytest.raises(RegistryError, match="still holds"):
        add(registry, 1)
    with pytest.raises(RegistryError, match="still holds"):
        registry.promote(NAME, 1, channel="shadow")
    assert registry.verify(NAME) == []
    assert registry.load(NAME, CHAMPION)[0].digest == example_bundle(0).digest
    assert registry.channels(NAME) == {CANDIDATE: 1, CHAMPION: 1}
    filler.unlink()
    registry.promote(NAME, add(registry, 1))
    assert registry.load(NAME, CHAMPION)[0].digest == example_bundle(1).digest

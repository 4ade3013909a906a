"""A version in one file: the same model elsewhere, unjudged; nothing that was changed on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tocsin.checks.registry import FAILED, NAME, PASSED, example_bundle, example_report, opened
from tocsin.config import RegistryConfig
from tocsin.errors import GateRefused, IntegrityError, LimitExceeded, RegistryError, TocsinError
from tocsin.registry import CANDIDATE, Registry
from tocsin.registry.packages import Package, take, unpacked
from tocsin.storage import LocalStore
from tocsin.storage.archive import Archive, write_archive

LIMIT = 1 << 22


def now() -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


def site(folder: Path) -> Registry:
    return opened(LocalStore(folder / "registry"), folder, clock=now)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Two versions; the second was judged twice and promoted."""
    found = site(tmp_path / "here")
    for seed in range(2):
        found.add(NAME, example_bundle(seed), example_report(seed), PASSED)
    found.add_judgement(NAME, 2, PASSED, example_report(7))
    found.promote(NAME, 2)
    return found


@pytest.fixture
def file(registry: Registry, tmp_path: Path) -> Path:
    path = tmp_path / "version.zip"
    write_archive(path, registry.luggage(NAME).package(2))
    return path


def read(file: Path, rules: RegistryConfig | None = None) -> Package:
    return unpacked(Archive(file.read_bytes(), file.name, LIMIT), rules or RegistryConfig(), now)


def test_a_package_holds_the_same_model_and_all_that_was_said_of_it(registry: Registry, file: Path) -> None:
    package = read(file)
    assert package.bundle.digest == example_bundle(1).digest
    assert package.report == example_report(1)
    assert package.judged == registry.judgements(NAME, 2)
    assert package.version == registry.history(NAME)[1]


def test_two_packages_of_one_version_are_equal(registry: Registry, file: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "again.zip", registry.luggage(NAME).package(2))
    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()


def test_what_is_imported_is_a_candidate_that_nobody_has_judged_here(file: Path, tmp_path: Path) -> None:
    other = site(tmp_path / "elsewhere")
    version = take(other, NAME, read(file))
    assert (version.digest, version.passed) == (example_bundle(1).digest, False)
    assert other.load(NAME, CANDIDATE)[1] == version
    with pytest.raises(GateRefused, match="judged here"):
        other.promote(NAME, version.version)
    assert "another registry" in other.verdict(NAME, version.version).judgements[0].reason
    other.add_judgement(NAME, version.version, PASSED, example_report(1))
    other.promote(NAME, version.version)
    assert other.verify(NAME) == []
    with pytest.raises(RegistryError, match="as version 1"):
        take(other, NAME, read(file))


def test_a_failed_verdict_is_told(registry: Registry, tmp_path: Path) -> None:
    registry.add_judgement(NAME, 1, FAILED, example_report(0))
    write_archive(tmp_path / "failed.zip", registry.luggage(NAME).package(1))
    other = site(tmp_path / "elsewhere")
    take(other, NAME, read(tmp_path / "failed.zip"))
    assert "failed there" in other.verdict(NAME, 1).judgements[0].reason


def test_a_package_for_others_and_a_large_one_are_refused(file: Path) -> None:
    with pytest.raises(IntegrityError, match="audience"):
        read(file, RegistryConfig(audience="other-fleet"))
    with pytest.raises(LimitExceeded):
        read(file, RegistryConfig(max_size=100))


def test_a_package_with_more_or_less_in_it_is_refused(registry: Registry, tmp_path: Path) -> None:
    files = registry.luggage(NAME).package(2)
    changed = {"more": {**files, "objects/sha256/aa/aa": b"x"}, "second": files | registry.luggage(NAME).package(1)}
    changed |= {f"without {name}": {key: files[key] for key in files if key != name} for name in files}
    for number, (how, contents) in enumerate(changed.items()):
        write_archive(tmp_path / f"{number}.zip", contents)
        if how.startswith("without models/") and "judgements" in how:
            continue  # a verdict that is kept back is not missed, and would not count elsewhere anyway
        if how == "without registry.json":
            continue  # then it is no package, and nobody opens it as one
        with pytest.raises(TocsinError):
            read(tmp_path / f"{number}.zip")


def test_any_flipped_bit_is_refused_or_harmless(file: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    whole, wanted = file.read_bytes(), read(file)
    for at in rng.integers(0, len(whole) * 8, 400).tolist():
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        flipped = tmp_path / "flipped.zip"
        flipped.write_bytes(data)
        try:
            package = read(flipped)
        except TocsinError:
            continue
        assert (package.bundle.digest, package.judged) == (wanted.bundle.digest, wanted.judged), at

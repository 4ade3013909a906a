from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NewerFormatError, RegistryError, TocsinError
from tocsin.model.documents import Sealed, Shelf, canonical, seal, sha256, unseal
from tocsin.storage import LocalStore

KEYS = ("format", "text")


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    weight: float = 1.0


class Stamp:
    """Signs with a word, and takes what is signed with it."""

    def __init__(self, word: str = "mine") -> None:
        self.word = word

    def sign(self, document: object, body: bytes) -> dict[str, str]:
        return {self.word: sha256(body)}

    def check(self, document: object, sealed: Sealed) -> str:
        if sealed.signatures != {self.word: sha256(sealed.body)}:
            raise IntegrityError(sealed.name, "no signature of mine")
        return self.word


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf[Note]:
    return Shelf(LocalStore(tmp_path), "notes/here", Note, Stamp())


def test_one_value_has_one_text() -> None:
    assert canonical({"b": (1, 2.0), "a": "ä"}, "value") == canonical({"a": "ä", "b": [1, 2.0]}, "value")
    assert canonical({"b": (1, 2.0), "a": "ä"}, "value") == '{"a":"ä","b":[1,2.0]}'.encode()


def test_every_flipped_bit_of_a_sealed_document_is_found() -> None:
    data = seal({"format": 1, "text": "as it was"}, "note")
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises((IntegrityError, NewerFormatError), match="note"):
            unseal(bytes(changed), "note", KEYS, newest=1)
    assert unseal(data, "note", KEYS, newest=1) == {"format": 1, "text": "as it was"}


@pytest.mark.parametrize("document", [{"format": 1}, {"format": 1, "text": "", "more": 1}])
def test_keys_are_exactly_those_expected(document: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match="keys"):
        unseal(seal(document, "note"), "note", KEYS, newest=1)


def test_documents_are_numbered_from_one(shelf: Shelf[Note]) -> None:
    for _ in range(3):
        shelf.append(lambda number: Note(f"number {number}"))
    assert shelf.numbers() == [1, 2, 3]
    assert shelf.read(2) == Note("number 2")
    assert list(shelf.gaps()) == []


def test_other_spellings_of_a_number_are_none(shelf: Shelf[Note], tmp_path: Path) -> None:
    shelf.create(1, Note("first"))
    for name in ("000000.json", "1.json", "0000002.json", "000003.txt"):
        LocalStore(tmp_path).put(f"notes/here/{name}", b"{}")
    assert shelf.numbers() == [1]
    assert shelf.append(lambda number: Note(f"number {number}")).text == "number 2"


def test_a_number_is_taken_once(shelf: Shelf[Note]) -> None:
    shelf.create(1, Note("first"))
    with pytest.raises(ConflictError):
        shelf.create(1, Note("second"))
    assert shelf.read(1) == Note("first")


def test_whoever_loses_a_number_takes_the_next(shelf: Shelf[Note]) -> None:
    def overtaken(number: int) -> Note:
        if number < 3:
            shelf.create(number, Note("somebody else"))
        return Note("mine")

    shelf.append(overtaken)
    assert [shelf.read(number).text for number in (1, 2, 3)] == ["somebody else", "somebody else", "mine"]


def test_a_missing_number_is_named(shelf: Shelf[Note]) -> None:
    for number in (1, 2, 4):
        shelf.create(number, Note(""))
    shelf.delete(1)
    assert [problem.got for problem in shelf.gaps()] == ["no 1, 3"]


def test_a_document_under_the_name_of_another_is_refused(shelf: Shelf[Note], tmp_path: Path) -> None:
    shelf.create(1, Note("first"))
    (tmp_path / shelf.name(1)).rename(tmp_path / shelf.name(2))
    with pytest.raises(IntegrityError, match=r"000002\.json"):
        shelf.read(2)


def test_a_document_says_who_signed_it_and_a_stranger_is_refused(shelf: Shelf[Note], tmp_path: Path) -> None:
    digest = shelf.create(1, Note("first"))
    signed = shelf.signed(1)
    assert (signed.document, signed.key, signed.digest) == (Note("first"), "mine", digest)
    Shelf(LocalStore(tmp_path), "notes/here", Note, Stamp("foreign")).create(2, Note("second"))
    with pytest.raises(IntegrityError, match="no signature of mine"):
        shelf.read(2)


@pytest.mark.parametrize("document", [{"text": 1}, {}, {"text": "a", "weight": "1"}, ["a"], None])
def test_a_document_of_other_types_is_refused(shelf: Shelf[Note], tmp_path: Path, document: object) -> None:
    values = {"format": 2, "name": shelf.name(1), "document": document}
    sealed = seal({**values, "signatures": Stamp().sign(None, canonical(values, "note"))}, "note")
    LocalStore(tmp_path).put(shelf.name(1), sealed)
    with pytest.raises(IntegrityError, match="do not fit"):
        shelf.read(1)


@pytest.mark.parametrize(
    ("note", "error"), [(Note("x" * 2**20), LimitExceeded), (Note("", float("nan")), RegistryError)]
)
def test_what_cannot_be_read_back_is_not_written(shelf: Shelf[Note], note: Note, error: type[TocsinError]) -> None:
    with pytest.raises(error):
        shelf.create(1, note)
    assert shelf.numbers() == []

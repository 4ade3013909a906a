from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tocsin.errors import ConflictError, IntegrityError, LimitExceeded, NewerFormatError, RegistryError, TocsinError
from tocsin.model import bundle as bundle_module
from tocsin.model.bundle import ARRAYS, MANIFEST, Bundle, digest, pack, read, unpack, write
from tocsin.model.documents import seal, sha256

CONTENT = {"kind": "example", "trees": 2, "rate": 0.1, "names": ["bytes", "größe"], "nothing": None, "on": True}
NOTES = {"train_seconds": 1.5, "report": {"recall": 0.9}}


def example() -> Bundle:
    rng = np.random.default_rng(1)
    arrays: dict[str, NDArray[Any]] = {
        "flags": np.array([True, False, True]),
        "detector.left": rng.integers(-1, 9, (2, 7)).astype(np.int32),
        "detector.threshold": rng.normal(size=(2, 7)),
        "empty": np.empty((0, 3), dtype=np.float32),
        "one": np.array(np.nan),
        "levels": np.arange(5, dtype=np.uint8),
    }
    return Bundle(CONTENT, arrays, NOTES)


def forged(change: Callable[[dict[str, Any]], None], packed: bytes | None = None) -> dict[str, bytes]:
    """A bundle that somebody changed and whose hashes they made right again, save the model's digest."""
    files = pack(example())
    manifest = orjson.loads(files[MANIFEST])
    del manifest["sha256"]
    if packed is not None:
        files[ARRAYS] = packed
        manifest["files"][ARRAYS] = {"sha256": sha256(packed), "size": len(packed)}
    change(manifest)
    return {MANIFEST: seal(manifest, MANIFEST), ARRAYS: files[ARRAYS]}


def assert_same(got: Bundle, wanted: Bundle) -> None:
    assert got.content == wanted.content
    assert got.notes == wanted.notes
    assert got.arrays.keys() == wanted.arrays.keys()
    for name, array in wanted.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(got.arrays[name], array)


def test_a_bundle_comes_back_as_it_was() -> None:
    assert_same(unpack(pack(example())), example())


def test_arrays_come_back_aligned_and_read_only() -> None:
    for array in unpack(pack(example())).arrays.values():
        assert array.flags.aligned
        assert not array.flags.writeable


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
some_arrays = st.one_of(
    *(hnp.arrays(np.dtype(name), shapes) for name in ("float64", "float32", "int64", "int32", "int8", "uint8", "bool"))
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=9), json_values, max_size=3),
    st.dictionaries(st.text(min_size=1, max_size=9), some_arrays, max_size=4),
)
def test_any_bundle_comes_back_as_it_was(content: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    bundle = Bundle(content, arrays, {})
    files = pack(bundle)
    assert_same(unpack(files), bundle)
    assert pack(unpack(files)) == files


def test_a_folder_holds_a_bundle_once(tmp_path: Path) -> None:
    write(tmp_path / "model", example())
    assert_same(read(tmp_path / "model"), example())
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [ARRAYS, MANIFEST]
    with pytest.raises(ConflictError):
        write(tmp_path / "model", example())


def test_a_folder_without_its_manifest_or_with_a_stranger_is_refused(tmp_path: Path) -> None:
    write(tmp_path, example())
    (tmp_path / "extra.py").write_text("print('hello')")
    with pytest.raises(IntegrityError, match=r"extra\.py"):
        read(tmp_path)
    (tmp_path / "extra.py").unlink()
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(IntegrityError, match="exactly: manifest"):
        read(tmp_path)


def test_the_digest_is_that_of_the_model_and_not_of_what_is_known_about_it() -> None:
    one = example()
    other = Bundle(dict(sorted(CONTENT.items())), dict(sorted(one.arrays.items())), {"train_seconds": 99.0})
    assert one.digest == other.digest == digest(other.content, other.arrays)


def test_the_digest_does_not_depend_on_how_arrays_lie_in_memory() -> None:
    table = np.arange(6.0).reshape(2, 3)
    lying = np.asfortranarray(table)
    swapped = table.astype(table.dtype.newbyteorder(">"))
    assert len({digest({}, {"a": array}) for array in (table, lying, swapped)}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(4), "b": np.zeros(2)},
        {"a": np.zeros(6)},
        {"a": np.zeros((2, 3), dtype=np.int64), "c": np.zeros(0)},
        {"a": np.zeros((3, 2))},
        {"a": np.zeros((2, 3), dtype=np.int64)},
        {"b": np.zeros((2, 3))},
        {"a": np.array([[0.0, 0.0, -0.0], [0.0, 0.0, 0.0]])},
    ],
)
def test_the_digest_tells_names_types_shapes_and_bytes_apart(other: dict[str, NDArray[Any]]) -> None:
    assert digest({}, other) != digest({}, {"a": np.zeros((2, 3))})


def test_every_flipped_bit_is_refused_by_name(rng: np.random.Generator) -> None:
    files = pack(example())
    for _ in range(1_000):
        name = (MANIFEST, ARRAYS)[rng.integers(2)]
        data = bytearray(files[name])
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        with pytest.raises((IntegrityError, NewerFormatError)):
            unpack({**files, name: bytes(data)})
    assert_same(unpack(files), example())


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
def test_a_file_cut_off_anywhere_is_refused(name: str) -> None:
    files = pack(example())
    for length in range(len(files[name])):
        with pytest.raises(IntegrityError):
            unpack({**files, name: files[name][:length]})


def test_the_files_of_two_bundles_do_not_mix() -> None:
    other = Bundle(CONTENT, {"one": np.ones(3)}, NOTES)
    with pytest.raises(IntegrityError, match="named in the manifest"):
        unpack({MANIFEST: pack(example())[MANIFEST], ARRAYS: pack(other)[ARRAYS]})


def first_array(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["arrays"][0].update(changes)


FORGERIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "other content": lambda manifest: manifest["content"].update(trees=3),
    "unknown key": lambda manifest: manifest.update(surprise=1),
    "missing key": lambda manifest: manifest.pop("notes"),
    "content of another type": lambda manifest: manifest.update(content=[]),
    "arrays of another type": lambda manifest: manifest.update(arrays={}),
    "format as text": lambda manifest: manifest.update(format="1"),
    "format as truth": lambda manifest: manifest.update(format=True),
    "array with another key": first_array(offset=0),
    "array that is no mapping": lambda manifest: manifest["arrays"].insert(0, "detector.threshold"),
    "array of objects": first_array(dtype="object"),
    "array of a dtype that is no text": first_array(dtype=["float64"]),
    "negative side": first_array(shape=[-2, -7]),
    "side as truth": first_array(shape=[True, 14]),
    "745 GiB": first_array(shape=[10**11]),
    "a huge side behind an empty one": first_array(shape=[0, 2**62, 2**62]),
    "too many dimensions": first_array(shape=[1] * 40),
    "longer than it is": first_array(shape=[3, 7]),
    "shorter than it is": first_array(shape=[1, 7]),
    "a name twice": lambda manifest: manifest["arrays"][1].update(name=manifest["arrays"][0]["name"]),
    "a name too long": first_array(name="a" * 1_000),
    "another order": lambda manifest: manifest["arrays"].reverse(),
    "too many arrays": lambda manifest: manifest["arrays"].extend(manifest["arrays"][3:4] * 5_000),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_manifest_is_refused(name: str) -> None:
    with pytest.raises(IntegrityError):
        unpack(forged(FORGERIES[name]))


def test_a_manifest_written_twice_over_is_refused() -> None:
    files = pack(example())
    doubled = files[MANIFEST].replace(b'{"arrays"', b'{"format":1,"arrays"', 1)
    with pytest.raises(IntegrityError, match="changed"):
        unpack({**files, MANIFEST: doubled})


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"[" * 5_000, b'{"format":1e999}', b"\xff"])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(IntegrityError):
        unpack({**pack(example()), MANIFEST: text})


def test_a_bomb_is_stopped_one_byte_after_what_was_declared() -> None:
    bomb = zlib.compress(bytes(50 * 2**20))
    with pytest.raises(IntegrityError, match="more or fewer bytes than declared"):
        unpack(forged(lambda _: None, bomb))


@pytest.mark.parametrize("values", [3, 10_000, 100_000])
def test_bytes_behind_the_stream_are_refused(values: int) -> None:
    """However many pieces the stream is unpacked in."""

    def as_many(manifest: dict[str, Any]) -> None:
        manifest["arrays"] = [{"name": "values", "dtype": "float64", "shape": [values]}]

    with pytest.raises(IntegrityError, match="more or fewer"):
        unpack(forged(as_many, zlib.compress(bytes(8 * values)) + b"extra"))


def test_a_truth_value_that_is_neither_is_refused() -> None:
    def one_flag(manifest: dict[str, Any]) -> None:
        manifest["arrays"] = [{"name": "flags", "dtype": "bool", "shape": [1]}]

    with pytest.raises(IntegrityError, match="0 or 1"):
        unpack(forged(one_flag, zlib.compress(b"\x02")))


def test_a_newer_format_is_named_as_such() -> None:
    with pytest.raises(NewerFormatError, match="format 2, wanted at most 1"):
        unpack(forged(lambda manifest: manifest.update(format=2, unheard_of=True)))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_json_lacks_is_refused_with_its_path(number: float) -> None:
    with pytest.raises(RegistryError, match=r"\$\.notes\.report\[1\]\.auc") as caught:
        pack(Bundle({}, {}, {"report": [{}, {"auc": number}]}))
    assert "array" in caught.value.problem.hint


@pytest.mark.parametrize("value", [object(), {1: "a"}, np.zeros(3), np.int64(3), b"bytes", 2**70, "\ud800", {"a"}])
def test_a_value_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(RegistryError):
        pack(Bundle({"value": value}, {}, {}))


def test_a_bottomless_value_is_refused() -> None:
    bottomless: list[Any] = []
    bottomless.append(bottomless)
    with pytest.raises(RegistryError, match="nested deeper"):
        pack(Bundle({"value": bottomless}, {}, {}))


@pytest.mark.parametrize(
    "array",
    [np.array([None]), np.array(["text"]), np.zeros(2, np.complex128), np.zeros(2, np.int16), np.zeros([1] * 5)],
)
def test_an_array_outside_the_closed_set_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(RegistryError, match="array odd"):
        pack(Bundle({}, {"odd": array}, {}))


def test_what_is_too_large_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitExceeded, match="arrays"):
        pack(Bundle({}, {str(number): np.zeros(0) for number in range(4_097)}, {}))
    monkeypatch.setattr(bundle_module, "MAX_ARRAYS_BYTES", 100)
    with pytest.raises(LimitExceeded, match="smaller model"):
        pack(Bundle({}, {"a": np.zeros(13)}, {}))
    with pytest.raises(LimitExceeded, match=MANIFEST):
        pack(Bundle({}, {}, {"report": "x" * 5_000_000}))


def test_a_declared_size_beyond_the_cap_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    files = pack(Bundle({}, {"a": np.zeros(13)}, {}))
    monkeypatch.setattr(bundle_module, "MAX_ARRAYS_BYTES", 100)
    with pytest.raises(TocsinError, match="at most 100"):
        unpack(files)

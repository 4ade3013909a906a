from __future__ import annotations

import numpy as np
import pytest

from tocsin.errors import SchemaError
from tocsin.features.base import EXAMPLE, compile_program
from tocsin.features.category import Category
from tocsin.kernel.run import Kernel
from tocsin.records import Batch


def protocols(*values: str) -> Batch:
    return Batch({"protocol": np.array(values, dtype=object)})


def encoded(category: Category, training: Batch, rows: Batch) -> dict[str, list[float]]:
    program = compile_program(EXAMPLE, (), [category], training)
    kernel = Kernel(program)
    values = kernel.run(rows, kernel.start()).values
    return {name: column.tolist() for name, column in zip(program.outputs, values.T, strict=True)}


def test_row_14_unseen_and_missing_values_are_other() -> None:
    got = encoded(Category(columns=("protocol",)), protocols("udp", "tcp", "tcp"), protocols("tcp", "gre", "", "udp"))
    assert got == {"protocol=tcp": [1, 0, 0, 0], "protocol=udp": [0, 0, 0, 1], "protocol=other": [0, 1, 1, 0]}


def test_the_most_frequent_values_are_kept_and_ties_are_alphabetical() -> None:
    training = protocols("d", "d", "c", "b", "a", "", "", "", "other", "other", "other")
    assert Category(columns=("protocol",), limit=3).learn(EXAMPLE, training) == {"protocol": ["d", "a", "b"]}


def test_a_value_spelled_other_is_no_second_column() -> None:
    got = encoded(Category(columns=("protocol",)), protocols("other", "tcp"), protocols("other", "tcp"))
    assert got == {"protocol=tcp": [0, 1], "protocol=other": [1, 0]}


def test_row_14_the_vocabulary_is_in_the_fingerprint() -> None:
    category = Category(columns=("protocol",))
    one, two = (compile_program(EXAMPLE, (), [category], protocols(value)) for value in ("tcp", "udp"))
    assert one.fingerprint != two.fingerprint


def test_row_14_hash_bins_are_the_same_in_every_process_and_release() -> None:
    got = encoded(Category(columns=("protocol",), how="hash", bins=8), protocols(), protocols("tcp", "udp", "icmp"))
    assert [[name for name, ones in got.items() if ones[row]] for row in range(3)] == [
        ["protocol=bin_5"],
        ["protocol=bin_2"],
        ["protocol=bin_6"],
    ]


def test_a_missing_value_is_in_no_bin() -> None:
    got = encoded(Category(columns=("protocol",), how="hash", bins=4), protocols(), protocols("", "tcp"))
    assert [sum(ones) for ones in zip(*got.values(), strict=True)] == [0, 1]


def test_text_that_no_encoding_holds_still_has_a_bin() -> None:
    got = encoded(Category(columns=("protocol",), how="hash", bins=4), protocols(), protocols("\udcff"))
    assert sum(ones[0] for ones in got.values()) == 1


def test_a_vocabulary_never_stores_identities_but_a_hash_may_fold_them() -> None:
    with pytest.raises(SchemaError, match=r'a vocabulary of "host", an identity(.|\n)*take `how: hash`'):
        Category(columns=("host",)).compile(EXAMPLE, {"host": []})
    assert Category(columns=("host",), how="hash").compile(EXAMPLE, {})


def test_numbers_are_no_categories() -> None:
    with pytest.raises(SchemaError, match=r'field "bytes", a float, wanted a category'):
        Category(columns=("bytes",)).compile(EXAMPLE, {"bytes": []})


@pytest.mark.parametrize("parameter", ["limit", "bins"])
def test_the_number_of_columns_is_bounded(parameter: str) -> None:
    with pytest.raises(ValueError, match=f"{parameter} is 5000, wanted 1 to 4096"):
        Category(
            columns=("protocol",), limit=5_000 if parameter == "limit" else 1, bins=5_000 if parameter == "bins" else 1
        )


def test_a_code_is_the_place_in_the_vocabulary_and_its_length_for_all_others() -> None:
    training, rows = protocols("udp", "tcp", "tcp"), protocols("tcp", "udp", "gre", "")
    assert encoded(Category(columns=("protocol",), how="code"), training, rows) == {"protocol_code": [0, 1, 2, 2]}


def test_codes_of_an_identity_are_refused_as_its_vocabulary_is() -> None:
    with pytest.raises(SchemaError, match="an identity"):
        compile_program(EXAMPLE, (), [Category(columns=("host",), how="code")], Batch({}))

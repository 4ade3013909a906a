from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tocsin.errors import IntegrityError, RegistryError
from tocsin.registry.keys import ROLES, Keyring, Role, key_id, signers

# RFC 8032, section 7.1, test 3.
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
MESSAGE = bytes.fromhex("af82")
SIGNATURE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


def test_signatures_are_those_of_the_standard() -> None:
    signatures = {key_id(PUBLIC): SIGNATURE}
    assert list(signers([PUBLIC], MESSAGE, signatures)) == [key_id(PUBLIC)]
    assert list(signers([PUBLIC], MESSAGE + b"!", signatures)) == []
    for odd in ("", "00" * 64, "no hex", SIGNATURE[:-2], SIGNATURE + "00"):
        assert list(signers([PUBLIC], MESSAGE, {key_id(PUBLIC): odd})) == []


def test_a_signature_counts_under_its_own_key_alone(keyring: Keyring) -> None:
    mine, other = keyring.make("train"), keyring.make("channel")
    signatures = keyring.sign("train", [mine], b"bytes")
    assert list(signers([mine, other], b"bytes", signatures)) == [key_id(mine)]
    assert list(signers([other], b"bytes", {key_id(other): signatures[key_id(mine)]})) == []
    assert keyring.sign("train", [other], b"bytes") == {}


@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_made_once_for_its_owner_alone(role: Role, keyring: Keyring) -> None:
    assert keyring.public(role) is None
    public = keyring.make(role)
    assert keyring.make(role) == keyring.public(role) == public
    path = keyring.path(role)
    assert (path.name, path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (f"{role}.key", 0o600, 0o700)


def test_openssl_reads_a_key_as_well(keyring: Keyring, need: Callable[[bool, str], None]) -> None:
    need(shutil.which("openssl") is not None, "there is no openssl")
    public = keyring.make("train")
    words = ["openssl", "pkey", "-in", str(keyring.path("train")), "-pubout", "-outform", "DER"]
    assert subprocess.run(words, capture_output=True, check=True).stdout[-32:].hex() == public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(mode: int, keyring: Keyring) -> None:
    keyring.make("train")
    keyring.path("train").chmod(mode)
    with pytest.raises(RegistryError, match=rf"others may read \(mode 0{mode:o}\), wanted mode 0600"):
        keyring.public("train")


def test_what_is_no_key_is_refused(keyring: Keyring) -> None:
    keyring.make("train")
    path = keyring.path("train")
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for text, message in ((b"", "no private key"), (b"key", "no private key"), (other, "a key of another kind")):
        path.write_bytes(text)
        with pytest.raises(IntegrityError, match=message):
            keyring.public("train")
    path.write_bytes(bytes(10_000))
    with pytest.raises(IntegrityError, match="more than 4096 bytes"):
        keyring.public("train")


def test_a_successor_signs_before_it_has_taken_the_place_and_after(keyring: Keyring) -> None:
    old = keyring.make("root")
    new = keyring.successor("root")
    assert keyring.successor("root") == new, "a rotation that was killed goes on with the key that it made"
    assert keyring.sign("root", [old, new], b"bytes").keys() == {key_id(old), key_id(new)}
    keyring.succeed("root")
    assert keyring.public("root") == new
    assert keyring.sign("root", [old, new], b"bytes").keys() == {key_id(new)}
    assert [path.name for path in keyring.folder.iterdir()] == ["root.key"]

"""What a bucket does when the network, the server or the credentials fail."""

from __future__ import annotations

import datetime as dt
import logging
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.storage.misbehaving import Handler, Misbehaving, echo, reset, send, stall, status

from tocsin import log
from tocsin.errors import (
    ConflictError,
    IntegrityError,
    LimitExceeded,
    RegistryError,
    SourceLost,
)
from tocsin.storage import Meter, open_bucket, open_store
from tocsin.storage.gcs import Gcs
from tocsin.storage.remote import TRIES, RemoteBucket
from tocsin.storage.s3 import S3
from tocsin.storage.wire import ANSWER_TIMEOUT_S, Intake, Passing, Wire

KEY_ID, SECRET, SESSION = "AKIAPLANTEDPLANTED12", "planted/secret/0123456789abcdef", "planted-session-token"
Maker = Callable[..., RemoteBucket]


class Waits(list[float]):
    """Seconds that were waited for."""


@pytest.fixture(params=["s3", "gs"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A cloud with credentials of nobody, and nothing of this machine's own."""
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    scheme: str = request.param
    return scheme


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def make(cloud: str, waits: Waits, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Maker:
    def made(server: Misbehaving, meter: Meter | None = None, silence_s: float = 20.0) -> RemoteBucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        wire: Wire = (S3 if cloud == "s3" else Gcs)(f"{cloud}://bucket", "bucket", silence_s)
        return RemoteBucket(wire, "", meter or Meter(), sleep=waits.append, rng=rng)

    return made


def test_what_passes_is_tried_again(make: Maker, waits: Waits) -> None:
    meter = Meter()
    with Misbehaving(status(503), reset, status(429), send(200, b"bytes")) as server:
        assert make(server, meter).read("key") == b"bytes"
    assert meter.requests == {"get": 4} == {"get": len(server.asked)}
    assert [round(wait / 2**tries, 3) for tries, wait in enumerate(waits)] == pytest.approx([0.375] * 3, abs=0.126)


def test_a_bucket_that_never_answers_is_given_up(make: Maker, waits: Waits) -> None:
    for answer, said in ((status(503), "status 503"), (reset, "the connection failed")):
        meter = Meter()
        with Misbehaving(*[answer] * 10) as server, pytest.raises(SourceLost, match=rf"{TRIES} tries \({said}"):
            make(server, meter).read("key")
        assert meter.requests.total() == len(server.asked) == TRIES
    assert len(waits) == 2 * (TRIES - 1)
    assert max(waits) <= 8.0


def test_a_body_that_breaks_off_counts_and_is_read_from_its_beginning(make: Maker) -> None:
    meter = Meter()
    with Misbehaving(send(200, b"x" * 60, declared=100), send(200, b"y" * 100)) as server:
        assert make(server, meter).read("key") == b"y" * 100
    assert meter.received_bytes == 160


def test_an_answer_that_falls_silent_is_asked_for_again(make: Maker) -> None:
    meter = Meter()
    with Misbehaving(stall, send(200, b"bytes")) as server:
        assert make(server, meter, silence_s=1.0).read("key") == b"bytes"
    assert meter.requests.total() == len(server.asked) == 2


def test_a_drop_at_a_time_does_not_last_for_ever() -> None:
    now = 0.0
    into = Intake("key", None, lambda _: None, lambda: now)
    into.write(b"x")
    now = ANSWER_TIMEOUT_S + 1
    with pytest.raises(Passing):
        into.write(b"x")


def test_a_refusal_is_final(make: Maker, waits: Waits) -> None:
    for code in (400, 401, 403, 405):
        with Misbehaving(status(code)) as server, pytest.raises(SourceLost, match=rf"refusal \({code}"):
            make(server).read("key")
        assert len(server.asked) == 1
    assert waits == []


def test_a_redirect_takes_no_key_along(make: Maker) -> None:
    """Cloud Storage has no use for redirects; S3 redirects what goes to a bucket that is a few minutes old."""
    with (
        Misbehaving(send(200, b"elsewhere")) as other,
        Misbehaving(send(307, b"", Location=f"{other.url}/x")) as server,
        suppress(SourceLost),
    ):
        make(server).read("key")
    assert [asked for asked in other.asked if "authorization" in {name.lower() for name in asked.headers}] == []


def test_an_answer_that_was_lost_may_have_done_it(make: Maker) -> None:
    """The first try created the object and its answer never came: the second one finds it."""
    with Misbehaving(reset, status(412), send(200, b"mine")) as server:
        make(server).create("key", b"mine")
    with Misbehaving(reset, status(412), send(200, b"not!")) as server, pytest.raises(ConflictError):
        make(server).create("key", b"mine")
    with Misbehaving(reset, status(412), send(200, b"more than mine")) as server, pytest.raises(ConflictError):
        make(server).create("key", b"mine")
    with Misbehaving(status(412)) as server, pytest.raises(ConflictError):
        make(server).create("key", b"mine")
    assert len(server.asked) == 1


def test_a_range_that_is_ignored_is_not_taken_for_one(make: Maker) -> None:
    def whole(handler: Handler) -> None:
        del handler.headers["Range"]
        send(200, b"0123456789")(handler)

    with Misbehaving(*[whole] * TRIES) as server, pytest.raises(SourceLost):
        make(server).read("key", start=4, length=3)


def test_tries_are_within_the_limit_too(make: Maker) -> None:
    with Misbehaving(*[status(503)] * 10) as server, pytest.raises(LimitExceeded):
        make(server, Meter(requests=3)).read("key")
    assert len(server.asked) == 3


def test_what_is_declared_too_large_is_not_read(make: Maker) -> None:
    meter = Meter()
    with Misbehaving(send(200, b"x", declared=10**9)) as server, pytest.raises(IntegrityError):
        make(server, meter).read("key", limit=10**6)
    assert meter.received_bytes == 0


def test_no_secret_is_told(make: Maker, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    log.configure("debug")
    caplog.set_level(logging.DEBUG)
    with Misbehaving(status(503), echo) as server:
        bucket = make(server)
        with pytest.raises(SourceLost) as refused:
            bucket.read("key")
    said = [repr(bucket), repr(vars(bucket)), str(refused.value), repr(refused.value), caplog.text, *capfd.readouterr()]
    assert refused.value.__cause__ is None
    for secret in (KEY_ID, SECRET, SESSION, server.asked[-1].headers.get("authorization", "AWS4-HMAC")):
        assert [text for text in said if secret in text] == []


def test_a_server_that_cannot_prove_who_it_is_gets_nothing(make: Maker, tmp_path: Path) -> None:
    with Misbehaving(send(200, b"bytes"), tls=self_signed(tmp_path)) as server:
        with pytest.raises(SourceLost, match="certificate"):
            make(server).read("key")
        assert server.asked == []


@pytest.mark.parametrize("variable", ["AWS_ALLOW_INVALID_CERTIFICATES", "AWS_ALLOW_HTTP"])
def test_the_environment_does_not_turn_tls_off(
    variable: str, make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "true")
    with Misbehaving(send(200, b"bytes"), tls=self_signed(tmp_path)) as server:
        with pytest.raises(SourceLost, match="certificate"):
            make(server).read("key")
        assert server.asked == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://192.0.2.1:9000", "http://minio.example", "ftp://127.0.0.1", "https://user:word@host", "https://"],
)
def test_keys_go_to_servers_with_tls_alone(cloud: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", endpoint)
    with pytest.raises(RegistryError) as refused:
        open_bucket(f"{cloud}://bucket")
    assert "word" not in str(refused.value)


def test_without_credentials_one_is_told_what_to_set(
    cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(SourceLost, match=r"AWS_ACCESS_KEY_ID|GOOGLE_APPLICATION_CREDENTIALS"):
        open_bucket(f"{cloud}://bucket").read("key")


def test_a_broken_key_file_is_not_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{SECRET}\n[default\n", "utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    for url, kind in (("s3://bucket", RegistryError), ("gs://bucket", SourceLost)):
        with pytest.raises(kind) as refused:
            open_bucket(url)
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None


def test_the_files_of_aws_tools_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "pi")
    for variable, section, text in (
        ("AWS_SHARED_CREDENTIALS_FILE", "pi", f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"),
        ("AWS_CONFIG_FILE", "profile pi", "region = eu-north-1\nendpoint_url = {url}\n"),
    ):
        monkeypatch.setenv(variable, str(tmp_path / variable))
        (tmp_path / variable).write_text(f"[default]\naws_access_key_id = other\n\n[{section}]\n{text}", "utf-8")
    with Misbehaving(send(200, b"bytes")) as server:
        config = tmp_path / "AWS_CONFIG_FILE"
        config.write_text(config.read_text("utf-8").format(url=server.url), "utf-8")
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        assert open_bucket("s3://bucket").read("key") == b"bytes"
    (asked,) = server.asked
    signed = asked.headers["authorization"]
    assert f"Credential={KEY_ID}/" in signed
    assert "/eu-north-1/s3/" in signed


@pytest.mark.parametrize(("url", "package"), [("s3://bucket", "obstore"), ("gs://bucket", "google.auth")])
def test_without_the_extra_one_is_told_its_name(url: str, package: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\nfrom tocsin.storage import open_bucket; open_bucket({url!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("pip install 'tocsin[cloud]'")


@pytest.mark.parametrize(
    "place",
    [
        "ftp://host/x",
        "s3://",
        "s3://UPPER",
        "s3://key:word@bucket",
        "gs://a/../b",
        "s3://bucket/a//b",
        "gs://bucket?x=1",
    ],
)
def test_a_place_that_is_none(place: str) -> None:
    with pytest.raises(RegistryError) as refused:
        open_store(place)
    assert "word" not in str(refused.value)


def self_signed(folder: Path) -> ssl.SSLContext:
    """A certificate that says of itself that it is right."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context

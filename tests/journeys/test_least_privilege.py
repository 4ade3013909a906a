"""The policies in `deploy/`: each role can do its work on a bucket that holds it to them, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import boto3
import httpx2
import pytest
import yaml
from tests.storage.servers import S3Server, s3_server

from tocsin.errors import SourceLost
from tocsin.storage import open_bucket

Run = Callable[..., CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ROLES = ("reader", "trainer", "gate", "keeper")
HASH = "ab" * 32
OBJECT = f"objects/sha256/ab/{HASH}"
WRITERS = {
    "registry.json": {"keeper"},
    "root/000001.json": {"keeper"},
    OBJECT: {"trainer", "gate"},
    "models/edge/versions/000001.json": {"trainer"},
    "models/edge/judgements/000001/000001.json": {"gate"},
    "models/edge/channels/candidate/000001.json": {"trainer"},
    "models/edge/channels/champion/000001.json": {"gate"},
    "models/edge/heirlooms/000001.json": {"trainer"},
    "models/edge/pins/000001.json": {"trainer", "gate"},
    "models/edge/pins/000002.json": {"gate"},
    f"models/edge/pinned/{HASH}": {"trainer", "gate"},
    "models/edge/retired/000001.json": {"keeper"},
    "runs/edge-1/report.json": {"trainer"},
}
"""Every kind of name that a registry writes, and who may create it."""
DELETERS = {
    OBJECT: {"keeper"},
    "models/edge/retired/000001.json": {"keeper", "gate"},
    "runs/edge-1/report.json": {"keeper"},
}


def policy(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "s3" / f"{name}-policy.json").read_text("utf-8"))
    return found


def patterns(name: str, action: str) -> list[str]:
    """What a role may do that to, below the registry."""
    found = [item for item in policy(name)["Statement"] if item["Action"] == action]
    places = [place for item in found for place in item["Resource"]]
    return [place.removeprefix("arn:aws:s3:::BUCKET/registry/") for place in places]


def matches(names: Sequence[str], name: str) -> bool:
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) for pattern in names)


@pytest.mark.parametrize("name", WRITERS)
def test_every_name_has_its_writers_and_nobody_else(name: str) -> None:
    assert {role for role in ROLES if matches(patterns(role, "s3:PutObject"), name)} == WRITERS[name]
    assert {role for role in ROLES if matches(patterns(role, "s3:DeleteObject"), name)} == DELETERS.get(name, set())


@pytest.mark.parametrize("role", ROLES)
def test_no_policy_gives_more_than_the_registry_uses(role: str) -> None:
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:GetObject"):
        for pattern in patterns(role, action):
            assert any(matches([pattern], name) for name in WRITERS), pattern
    allowed = {item["Action"] for item in policy(role)["Statement"]}
    assert allowed <= {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    for item in policy(role)["Statement"]:
        if item["Action"] == "s3:PutObject":
            assert item["Condition"] == {"Null": {"s3:if-none-match": "false"}}, "what exists could be overwritten"


def test_a_registry_writes_no_other_name(site: Path, tocsin: Run, s3: S3Server) -> None:
    url = at_work(site, tocsin, s3.bucket())
    keys = {entry.key.replace("/small/", "/edge/") for entry in open_bucket(url).list()}
    assert {kind(key) for key in keys if not key.startswith("runs/")} <= {kind(name) for name in WRITERS}


def kind(name: str) -> str:
    return re.sub(r"[0-9a-f]{64}|(?<=sha256/)[0-9a-f]{2}|\d{6}", "~", name)


def test_cloud_storage_says_the_same() -> None:
    """The conditions of the Cloud Storage policy, read as Google reads them, on the same names."""
    bindings = yaml.safe_load((DEPLOY / "gcs" / "policy.yaml").read_text("utf-8"))["bindings"]
    for name, writers in WRITERS.items():
        assert creators(bindings, name) >= writers, name
        assert creators(bindings, name) - writers <= {"keeper"}, name  # who deletes can also create there
        assert creators(bindings, name, ("objectUser",)) == (
            {"keeper"} if "keeper" in writers | DELETERS.get(name, set()) else set()
        )


def creators(bindings: Any, name: str, roles: Sequence[str] = ("objectCreator", "objectUser")) -> set[str]:
    found = set()
    for binding in bindings:
        if binding["role"].removeprefix("roles/storage.") in roles and holds(binding["condition"]["expression"], name):
            found |= {who for member in binding["members"] for who in re.findall(r"tocsin-(\w+)@", member)}
    return found


def holds(expression: str, name: str) -> bool:
    """Conditions of `&&` over groups of `||`, and of no other kind than those in the file."""
    resource = f"projects/_/buckets/BUCKET/objects/registry/{name}"

    def atom(text: str) -> bool:
        text = text.strip().strip("()") if text.strip().startswith("(") else text.strip()
        if found := re.fullmatch(r'resource\.name == "([^"]+)"', text):
            return resource == found[1]
        if found := re.fullmatch(r'resource\.name\.(startsWith|endsWith)\("([^"]+)"\)', text):
            return resource.startswith(found[2]) if found[1] == "startsWith" else resource.endswith(found[2])
        found = re.fullmatch(r'resource\.name\.extract\("([^{]+)\{name\}([^"]+)"\) != ""', text)
        assert found, text
        return re.search(re.escape(found[1]) + ".+?" + re.escape(found[2]), resource) is not None

    grouped = re.search(r"\((resource.*?) &&\s+\((.*)\)\)$", expression, re.S)
    if not grouped:
        return any(map(atom, expression.split("||")))
    before = [item for item in expression[: grouped.start()].split("||") if item.strip()]
    return any(map(atom, before)) or (atom(grouped[1]) and any(map(atom, grouped[2].split("||"))))


def test_firebase_opens_no_more_than_telemetry() -> None:
    rules = json.loads((DEPLOY / "firebase" / "database.rules.json").read_text("utf-8"))["rules"]
    assert (rules[".read"], rules[".write"]) == (False, False)
    assert rules.keys() - {".read", ".write"} == {"telemetry"}
    assert "!data.exists()" in rules["telemetry"]["$stream"]["$row"][".write"]
    storage = (DEPLOY / "firebase" / "storage.rules").read_text("utf-8")
    assert "allow read, write: if false;" in storage
    assert re.findall(r"allow (?:create|update|delete|write)[^;]*if(?! false)", storage) == []


def at_work(site: Path, tocsin: Run, url: str) -> str:
    """A site whose registry is in a bucket, with a champion."""
    config = site / "tocsin.yaml"
    config.write_text(config.read_text("utf-8") + f"registry: {{path: {url}/registry}}\n", "utf-8")
    for words in (("train", "--no-plots"), ("models", "promote", "1")):
        done = tocsin(*words)
        assert done.returncode == 0, done.stderr
    return f"{url}/registry"


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server of its own, which asks for nobody's rights until it is told to."""
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def hired(bucket: str, role: str) -> dict[str, str]:
    """The environment of a new user with a policy of `deploy/`; `moto` knows none of its conditions."""
    text = (DEPLOY / "s3" / f"{role}-policy.json").read_text("utf-8").replace("BUCKET", bucket)
    document = json.loads(text)
    for statement in document["Statement"]:
        statement.pop("Condition", None)
    iam = boto3.client("iam")
    iam.create_user(UserName=role)
    iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=role)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_each_role_does_its_work_and_no_more(
    site: Path, tocsin: Run, guarded: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = at_work(site, tocsin, guarded.bucket())
    users = {role: hired(url.split("/")[2], role) for role in ROLES}
    httpx2.post(f"{guarded.url}/moto-api/reset-auth", content=b"0").raise_for_status()

    def become(role: str) -> None:
        for name, value in users[role].items():
            monkeypatch.setenv(name, value)

    def refused(*words: str) -> bool:
        done = tocsin(*words)
        assert "Traceback" not in done.stderr
        return done.returncode != 0 and "403 AccessDenied" in done.stderr

    become("trainer")
    assert tocsin("train", "--no-plots").returncode == 0
    assert refused("models", "promote", "2")
    become("reader")
    assert tocsin("score", str(site / "data" / "rows.csv")).returncode == 0
    assert refused("train", "--no-plots")
    assert refused("models", "promote", "2")
    become("gate")
    assert tocsin("models", "promote", "2").returncode == 0
    assert refused("train", "--no-plots")
    bucket = open_bucket(url)
    keys = [entry.key for entry in bucket.list("models/")]
    for role in ("reader", "trainer", "gate"):
        become(role)
        for key in keys:
            with pytest.raises(SourceLost, match="AccessDenied"):
                open_bucket(url).delete(key)
    become("keeper")
    assert tocsin("models", "verify").returncode == 0

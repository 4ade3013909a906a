"""`tocsin check --connect` asks everything that a config names and tells of each on its own; it writes nothing."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.storage.servers import S3Server

from tocsin import load
from tocsin.storage import open_bucket
from tocsin.system import dependencies

Run = Callable[..., CompletedProcess[str]]
Configure = Callable[..., Path]
Asked = Callable[[], dict[str, Any]]


@pytest.fixture
def asked(tocsin: Run) -> Asked:
    """What `tocsin check --connect --json` says; its exit code goes by it."""

    def ask() -> dict[str, Any]:
        done = tocsin("check", "--connect", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == {"valid": 0, "partial": 1, "invalid": 2}[found["status"]]
        return found

    return ask


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["status"] for item in found["dependencies"]}


def test_each_thing_is_told_on_its_own_and_nothing_is_made(site: Path, tocsin: Run, asked: Asked) -> None:
    before = sorted(site.rglob("*"))
    found = asked()
    assert found.keys() == {"status", "problems", "dependencies"}
    assert list(statuses(found)) == ["packages", "source", "registry", "keys", "channels", "sinks[0]"]
    assert set(statuses(found).values()) == {"valid"}
    assert "✓ source: csv, 1,200 of 1,200 first rows can be used" in tocsin("check", "--connect").stdout
    assert [path for path in sorted(site.rglob("*")) if ".tocsin" not in path.parts] == before


def test_what_is_read_live_is_asked_too(configure: Configure, asked: Asked) -> None:
    configure(more="stream: {source: {type: csv, path: absent.csv}}\n")
    found = asked()
    assert [name for name, status in statuses(found).items() if status != "valid"] == ["stream.source"]
    assert "no file matching 'absent.csv'" in found["problems"][0]["got"]


@pytest.mark.parametrize(
    ("changes", "name", "got"),
    [
        (("data/*.csv", "dato/*.csv"), "source", "no file matching 'dato/*.csv'"),
        (("unit: bytes, minimum", "unit: bytes, maximum"), "source", "no row that can be used (1200 out_of_range)"),
        (("path: alerts.jsonl", "path: tocsin.yaml"), "sinks[0]", "a file that holds something else"),
        (("path: alerts.jsonl", "path: data/rows.csv/a.jsonl"), "sinks[0]", "data/rows.csv, which takes no new file"),
    ],
)
def test_one_thing_that_is_broken_leaves_the_others_valid(
    changes: tuple[str, str], name: str, got: str, configure: Configure, asked: Asked
) -> None:
    configure(changes)
    found = asked()
    assert found["status"] == "partial"
    assert {other for other, status in statuses(found).items() if status != "valid"} == {name}
    (problem,) = found["problems"]
    assert got in problem["got"]


def test_whether_the_server_could_begin_is_told(configure: Configure, tocsin: Run, asked: Asked, site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        configure(more=f"server: {{listen: '{address}'}}\n")
        found = asked()
        assert statuses(found)["server"] == "partial"
        assert found["problems"][0]["got"].startswith(f"{address}: Address already in use")
    assert f"✓ server: {address}, without keys" in tocsin("check", "--connect").stdout
    configure(more=f"server: {{listen: '{address}', keys: api.json, tls: {{certificate: a.pem, key: a.key}}}}\n")
    found = asked()
    assert (statuses(found)["server"], found["problems"][0]["wanted"]) == (
        "invalid",
        "a certificate and its key, in PEM",
    )
    configure(more=f"server: {{listen: '{address}', keys: api.json}}\n")
    found = asked()
    assert (statuses(found)["server"], found["problems"][0]["got"]) == ("partial", "no key that holds")
    tocsin("keys", "api", "new", "--role", "viewer")
    assert f"✓ server: {address}, 1 keys hold" in tocsin("check", "--connect").stdout
    (site / "api.json").chmod(0o644)
    found = asked()
    assert (statuses(found)["server"], found["problems"][0]["got"]) == (
        "invalid",
        "a file that others may read or write",
    )


def test_a_registry_that_takes_nothing_is_told(configure: Configure, asked: Asked) -> None:
    configure(more="registry: {path: data/rows.csv/registry}\n")
    found = asked()
    assert (found["status"], statuses(found)["registry"]) == ("partial", "invalid")


def test_a_key_that_the_registry_does_not_know_is_told(site: Path, tocsin: Run, asked: Asked) -> None:
    assert tocsin("train", "--promote", "--no-plots").returncode == 0
    assert "✓ keys: root, train, channel here" in tocsin("check", "--connect").stdout
    (site / ".tocsin" / "keys" / "train.key").unlink()
    tocsin("keys", "new", "--role", "train")
    found = asked()
    assert statuses(found)["keys"] == "partial"
    assert [problem["got"] for problem in found["problems"]] == ["a train key unknown to the registry"]
    shutil.rmtree(site / ".tocsin" / "keys")
    assert "✓ keys: none here: this machine only reads" in tocsin("check", "--connect").stdout


def test_a_channel_past_its_time_is_told(configure: Configure, tocsin: Run, asked: Asked) -> None:
    configure(more="registry: {expires: 1ms}\n")
    tocsin("train", "--promote", "--no-plots")
    found = asked()
    assert statuses(found)["channels"] == "partial"
    assert {problem["got"] for problem in found["problems"]} == {"candidate, past its time", "champion, past its time"}


def test_a_bucket_is_asked_whether_it_may_be_written(
    s3: S3Server, configure: Configure, tocsin: Run, asked: Asked
) -> None:
    url = s3.bucket()
    configure(more=f"registry: {{path: '{url}/models'}}\n")
    assert "✓ registry: no model of this name yet, the first training begins it" in tocsin("check", "--connect").stdout
    tocsin("train", "--no-plots")
    before = [(entry.key, entry.etag) for entry in open_bucket(url).list()]
    done = tocsin("check", "--connect")
    assert "✓ registry: 1 version, may be written" in done.stdout
    assert "✓ credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY set" in done.stdout
    assert [(entry.key, entry.etag) for entry in open_bucket(url).list()] == before
    configure(more=f"registry: {{path: '{url}-that-is-not/models'}}\n")
    assert statuses(asked())["registry"] == "invalid"


def test_a_file_of_credentials_is_for_its_owner_alone(
    site: Path, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configure(("source:", "test: {type: object_store, url: 'gs://nowhere/*.csv'}\nsource:"))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    secret = site / "account.json"
    secret.write_text("{}", "utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(secret))
    for mode, status in ((0o644, "partial"), (0o600, "valid")):
        secret.chmod(mode)
        found = {item.name: item.status for item in dependencies(load(str(path)), within_s=0.2)}
        assert found["credentials"] == status


@pytest.mark.filterwarnings("ignore")  # MLflow's words to its own authors
@pytest.mark.parametrize(("uri", "status"), [("sqlite:///mlflow.db", "valid"), ("http://127.0.0.1:1", "invalid")])
def test_an_mlflow_is_asked(
    uri: str, status: str, configure: Configure, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    configure(more=f"tracking: {{uri: '{uri}'}}\n")
    assert statuses(asked())["tracking"] == status
    assert not Path("mlflow.db").exists()


def test_a_server_that_never_answers_is_waited_for_no_longer_than_it_may_take(configure: Configure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        query = f"{{type: prometheus, url: '{url}', queries: {{bytes: up}}, step: 1m, last: 1h}}"
        path = configure(('{type: csv, path: "data/*.csv"}', query))
        found = {item.name: item for item in dependencies(load(str(path)), within_s=0.3)}
    assert found["source"].problems[0].got == "nothing in 0.3 s"
    assert found["registry"].status == "valid"


@pytest.mark.parametrize(
    ("change", "more", "place", "package", "extra"),
    [
        ("lstm_autoencoder", "", "$.detector", "torch", "deep"),
        ("blend, of: [{type: xgboost}, {type: robust_zscore}]", "", "$.detector.of[0]", "xgboost", "boost"),
        ("robust_zscore", "registry: {path: 's3://bucket'}\n", "$.registry.path", "obstore", "cloud"),
        ("robust_zscore", "tracking: {uri: 'sqlite:///m.db'}\n", "$.tracking", "mlflow", "mlflow"),
    ],
)
def test_a_package_that_a_training_needs_is_missed_before_it_begins(  # noqa: PLR0917  # one per column of the table
    change: str, more: str, place: str, package: str, extra: str, configure: Configure, in_child: Run
) -> None:
    configure(("{type: robust_zscore}", f"{{type: {change}}}"), more=more)
    without = in_child("check", before=f"import sys\nsys.modules['{package}'] = None")
    assert without.returncode == 1, without.stdout + without.stderr
    assert f"{place}\n  got no package '{package}' in this environment" in without.stdout
    assert f"Hint: pip install 'tocsin[{extra}]'" in without.stdout
    assert "The config is partial: 1 problem." in without.stdout

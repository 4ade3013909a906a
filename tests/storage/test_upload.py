from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from tests.storage.servers import S3Server

from tocsin.storage import Meter, open_bucket, upload_run
from tocsin.storage.upload import MAX_FILES


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "edge-20260101T000000.000-12345678"
    (folder / "model").mkdir(parents=True)
    for name in (
        "report.json",
        "verdict.json",
        "report.html",
        "timeline.png",
        "model/manifest.json",
        "model/arrays.bin",
    ):
        (folder / name).write_text(name, "utf-8")
    for name in ("tocsin.yaml", "inputs.json", "predictions.csv"):
        (folder / name).write_text("stays here", "utf-8")
    (folder / "linked.png").symlink_to(folder / "tocsin.yaml")
    return folder


def test_a_run_is_copied_and_its_manifest_is_the_last(run: Path, s3: S3Server) -> None:
    url = s3.bucket()
    mark = s3.mark()
    assert upload_run(url, run, Meter())
    assert s3.since(mark)[-1].endswith(f"runs/{run.name}/manifest.json?")
    bucket = open_bucket(f"{url}/runs/{run.name}")
    manifest = json.loads(bucket.read("manifest.json"))
    keys = {entry.key for entry in bucket.list()} - {"manifest.json"}
    assert keys == set(manifest["files"]) >= {"timeline.png", "model/arrays.bin"}
    assert not {"tocsin.yaml", "inputs.json", "predictions.csv", "linked.png"} & keys
    for name, said in manifest["files"].items():
        data = bucket.read(name)
        assert (said["sha256"], said["size"]) == (sha256(data).hexdigest(), len(data))


def test_a_run_that_cannot_be_copied_stops_nothing(run: Path, s3: S3Server, tmp_path: Path) -> None:
    url = s3.bucket()
    assert not upload_run(f"{url}-not", run, Meter())
    assert upload_run(url, run, Meter())
    assert not upload_run(url, run, Meter())
    for number in range(MAX_FILES):
        (run / f"{number}.png").write_bytes(b"")
    other = s3.bucket()
    assert not upload_run(other, run, Meter())
    assert list(open_bucket(other).list()) == []
    assert not upload_run(str(tmp_path / "registry"), run, Meter())
    assert not (tmp_path / "registry").exists()

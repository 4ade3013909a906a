"""The database that the tests of `firebase` run against, judged by the official client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.sources.realtime_database import RealtimeDatabase

JUDGE = """
import json, os, sys, time
import firebase_admin
from firebase_admin import db

class Nobody(firebase_admin.credentials.Base):
    def get_credential(self):
        from google.auth.credentials import AnonymousCredentials
        return AnonymousCredentials()

app = firebase_admin.initialize_app(Nobody(), {"databaseURL": "https://judge.firebaseio.com"})
flows = db.reference("flows")
found = {}
flows.set({"a": {"timestamp": 3, "bytes": 30}, "b": {"timestamp": 1, "bytes": 10}})
found["set, get"] = flows.get()
flows.child("c").set({"timestamp": 2, "bytes": 20})
flows.child("a").update({"bytes": 31})
found["update"] = flows.child("a").get()
found["order"] = list(flows.order_by_child("timestamp").get())
found["first"] = list(flows.order_by_child("timestamp").limit_to_first(2).get())
found["last"] = list(flows.order_by_child("timestamp").limit_to_last(1).get())
found["from"] = list(flows.order_by_child("timestamp").start_at(2).get())
found["to"] = list(flows.order_by_child("timestamp").end_at(2).get())
found["equal"] = list(flows.order_by_child("timestamp").equal_to(2).get())
found["by key"] = list(flows.order_by_key().start_at("b").get())
found["shallow"] = flows.get(shallow=True)
found["pushed"] = flows.push({"timestamp": 9}).key[:1]
counter = db.reference("counter")
counter.set(1)
found["transaction"] = counter.transaction(lambda value: value + 1)
value, etag = counter.get(etag=True)
found["unless changed"] = [counter.set_if_unchanged("other", 7)[0], counter.set_if_unchanged(etag, 7)[0], counter.get()]
heard = []
listener = db.reference("heard").listen(lambda event: heard.append([event.event_type, event.path, event.data]))
time.sleep(0.5)
db.reference("heard/x").set(1)
db.reference("heard").update({"y": 2})
end = time.monotonic() + 10
while len(heard) < 3 and time.monotonic() < end:
    time.sleep(0.05)
found["heard"] = heard
flows.delete()
found["deleted"] = flows.get()
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)  # closing a listener fails in a thread of the client itself
"""


@pytest.fixture
def database() -> Iterator[RealtimeDatabase]:
    with RealtimeDatabase() as running:
        yield running


def test_the_official_client_finds_a_realtime_database(database: RealtimeDatabase) -> None:
    environment = {**os.environ, "FIREBASE_DATABASE_EMULATOR_HOST": f"127.0.0.1:{database.port}"}
    environment.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
    done = subprocess.run(
        [sys.executable, "-c", JUDGE], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "set, get": {"a": {"timestamp": 3, "bytes": 30}, "b": {"timestamp": 1, "bytes": 10}},
        "update": {"timestamp": 3, "bytes": 31},
        "order": ["b", "c", "a"],
        "first": ["b", "c"],
        "last": ["a"],
        "from": ["c", "a"],
        "to": ["b", "c"],
        "equal": ["c"],
        "by key": ["b", "c"],
        "shallow": {"a": True, "b": True, "c": True},
        "pushed": "-",
        "transaction": 2,
        "unless changed": [False, True, 7],
        "heard": [["put", "/", None], ["put", "/x", 1], ["patch", "/", {"y": 2}]],
        "deleted": None,
    }

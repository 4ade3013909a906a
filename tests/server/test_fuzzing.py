"""What a machine makes of the OpenAPI document: thousands of requests, as every role, and not one server error.

Each answer must have a status that the document names for its route, and the form that it names for that status. What
breaks the schema must be refused for that, and not for the state that something happens to be in.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.server.conftest import Opened
from tests.server.test_api import Kept

from tocsin.log import counters
from tocsin.server.keys import ApiKeys
from tocsin.server.policy import ADMIN, ROLES, Role
from tocsin.server.site import Clocks

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,negative_data_rejection,unsupported_method,allow_header_conformance"
)
CONFIG = """\
[checks]
negative_data_rejection.expected-statuses = {refused}
[phases.stateful.generation]
max-examples = {scenarios}
"""
MISFIT = ["400", "404", "413", "415", "422"]
"""What breaks the schema: an address may be none then (404), a body with too many rows be too large (413)."""
ANSWERED = "tocsin_rest_requests_total"


def answered() -> dict[str, int]:
    """Answers so far, by series."""
    return {series: count for series, count in counters().items() if series.startswith(ANSWERED)}


@pytest.mark.soak
@pytest.mark.parametrize("role", ROLES)
def test_no_request_is_a_server_error_or_not_in_the_document(
    opened: Opened, tmp_path: Path, seed: int, rounds: Callable[[int, int], int], role: Role
) -> None:
    clocks = Clocks()
    secret = ApiKeys(tmp_path / "keys.json", clocks.now, clocks.elapsed).new(ADMIN, timedelta(days=1))
    client = opened(log=Kept(10**9), keys="keys.json", requests_per_second=1e6)
    (tmp_path / "openapi.json").write_bytes(
        client.get("/openapi.json", headers={"authorization": f"Bearer {secret}"}).content
    )
    secret = ApiKeys(tmp_path / "keys.json", clocks.now, clocks.elapsed).new(role, timedelta(days=1))
    refused = MISFIT if role == ADMIN else [*MISFIT, "403"]
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(refused=refused, scenarios=rounds(2, 100)), "utf-8")
    known = answered()
    before = sum(known.values())
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", str(client.base_url),
        "-H", f"Authorization: Bearer {secret}", "--checks", CHECKS, "--max-examples", str(rounds(6, 900)),
        "--seed", str(seed), "--phases", "coverage,fuzzing,stateful", "--suppress-health-check", "all", "--no-color",
        # With a database Hypothesis holds every request against all that were good before: minutes, for nothing here.
        "--generation-database", "none", "--no-shrink", "--continue-on-failure", "--warnings", "off",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:]
    faults = {series: count for series, count in answered().items() if 'status="5' in series}
    assert {series: count for series, count in faults.items() if count > known.get(series, 0)} == {}
    assert sum(answered().values()) - before >= rounds(300, 5_000)

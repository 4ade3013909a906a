"""The servers that `benchmarks/rest.py` speaks to, each in a process of its own: ours, and what is usually written."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import time
from pathlib import Path

from benchmarks.stream import BEGIN, CONFIG, fitted, made

from tocsin import log
from tocsin.alerts import AlertPolicy
from tocsin.config import ServerConfig, parse
from tocsin.scoring.requests import Requests
from tocsin.scoring.scorer import Scorer
from tocsin.scoring.work import Serving
from tocsin.server.bodies import batch
from tocsin.server.running import Server
from tocsin.server.site import Site
from tocsin.system.project import Project

FEW = CONFIG.replace("[1m, 5m, 15m]", "[5m]").replace("[mean, std, min, max, sum]", "[mean, std, max]")
"""12 features."""
SEEN = 100_000
"""Events that the entities have behind them."""


def ours(config: str = CONFIG) -> None:
    """Serve until standard input ends; the address is the first line of standard output."""
    log.configure("error")
    model = fitted(config)
    scorer = Scorer(model, AlertPolicy(cooldown_s=120.0))
    model.features(model.design.schema.split(batch(list(made(SEEN, BEGIN))))[0], scorer.state)
    serving = Serving(scorer, 1, model.digest)

    site = Site(Project(parse(CONFIG)), lambda: serving, Requests().ask, dict, lambda *_: [])
    with Server(site, ServerConfig(listen="127.0.0.1:0", requests_per_second=1e9), Path) as server:
        gc.collect()
        gc.freeze()  # as `tocsin serve` does
        print(server.address, flush=True)
        sys.stdin.read()


def theirs() -> None:
    """The same, as `uvicorn` runs it."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config("benchmarks._rest_peer:app", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    print("{}:{}".format(*listening.getsockname()), flush=True)
    sys.stdin.read()
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    {"ours": ours, "few": lambda: ours(FEW), "theirs": theirs}[sys.argv[1]]()

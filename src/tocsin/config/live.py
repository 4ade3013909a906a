"""The mappings of a config that only a running service reads: its stream, its server, and how long things are kept."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tocsin.component import Duration, Spec
from tocsin.config.sections import PathText, Section

MAX_PORT = 65_535


class StreamConfig(Section):
    """How `tocsin run` works.

    Parameters
    ----------
    source
        What is read live; by default the config's source, whose files are then followed as they grow.
    journal
        Folder of the journal and the checkpoint: what a killed service goes on from.
    record
        Which verdicts stay queryable: `all` rows, those `flagged`, or an even `sample` of one in a hundred and all
        flagged ones. They stay for `privacy.keep.verdicts`, the last million of them at most.
    latency
        How long a row may wait for others that are committed together with it.
    checkpoint
        Time after which what the features remember is written down; whatever came since is replayed after a kill.
    follow
        How often the registry is asked whether its channel leads to another version.
    channel
        Which channel serves.
    watch
        How long a version that took over is watched beside the one before it, which serves again if it does worse.
    warm_up
        Time of events for which a version with other features is taken along at most before it serves.
    shadow
        A channel or version number that is scored beside it and never rings.
    idle
        Time without rows after which those that wait for older ones are released.
    dry_run
        Decide and journal as always, and deliver nothing.
    metrics
        A file for the textfile collector of node_exporter, written every 15 s; see `docs/observability.md`.
    """

    source: Spec | None = None
    journal: PathText = ".tocsin/stream"
    record: Literal["all", "flagged", "sample"] = "flagged"
    latency: Annotated[Duration, Field(le=10.0)] = 0.05
    checkpoint: Annotated[Duration, Field(le=3_600.0)] = 30.0
    follow: Annotated[Duration, Field(ge=0.1)] = 30.0
    channel: str = "champion"
    watch: Annotated[Duration, Field(le=86_400.0)] = 600.0
    warm_up: Annotated[Duration, Field(le=31 * 86_400.0)] = 86_400.0
    shadow: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    idle: Duration = 60.0
    dry_run: bool = False
    metrics: PathText | None = None


class TlsConfig(Section):
    """The certificate that a server shows, and its key; both PEM files."""

    certificate: PathText
    key: PathText


class ServerConfig(Section):
    """The REST server of a running service.

    Parameters
    ----------
    listen
        Address and port. Beyond loopback it needs keys, and either `tls` or `behind_proxy`.
    keys
        File of the hashed API keys, see `tocsin keys api`. Without it, only who is on this machine is served.
    tls
        Certificate and key.
    behind_proxy
        Host names under which a reverse proxy that ends TLS forwards requests.
    body
        Bytes that a request may have.
    requests_per_second
        Of one key, or of one address without a key.
    """

    listen: str = Field(default="127.0.0.1:8643", pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):\d{1,5}$")
    keys: PathText | None = None
    tls: TlsConfig | None = None
    behind_proxy: tuple[str, ...] = ()
    body: Annotated[int, Field(ge=1_024, le=64 * 2**20)] = 2**20
    requests_per_second: Annotated[float, Field(gt=0)] = 20_000.0

    @model_validator(mode="after")
    def _safe_elsewhere(self) -> Self:
        host, _, port = self.listen.rpartition(":")
        host = host.strip("[]")
        if int(port) > MAX_PORT:
            raise ValueError(f"port {port}, wanted at most {MAX_PORT}")
        here = host in ("127.0.0.1", "::1", "localhost")
        if not here and self.keys is None:
            raise ValueError(f"{self.listen}, wanted keys where others can reach it: tocsin keys api")
        if not here and self.tls is None and not self.behind_proxy:
            raise ValueError(f"{self.listen}, wanted tls or behind_proxy where others can reach it")
        return self

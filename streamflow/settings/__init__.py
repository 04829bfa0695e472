"""The tree of settings: read by entry points only, validated at start, frozen afterwards, documented from here.

Environment variables are `STREAMFLOW_<SECTION>__<FIELD>`; a YAML file named by `STREAMFLOW_CONFIG` comes below them.
Unknown keys are refused. Secrets are references (`env:NAME` or `file:/path`), resolved when they are used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from streamflow.settings.access import Access as Access
from streamflow.settings.access import OpenIdConnect as OpenIdConnect
from streamflow.settings.approvals import Approvals as Approvals
from streamflow.settings.approvals import Environment as Environment
from streamflow.settings.history import History as History
from streamflow.settings.kafka import Kafka as Kafka
from streamflow.settings.metrics import Metrics as Metrics
from streamflow.settings.mirror import Mirror as Mirror
from streamflow.settings.models import Models as Models
from streamflow.settings.notifications import NOTIFICATION_KINDS as NOTIFICATION_KINDS
from streamflow.settings.notifications import NotificationKind as NotificationKind
from streamflow.settings.notifications import Notifications as Notifications
from streamflow.settings.notifications import NotificationTarget as NotificationTarget
from streamflow.settings.registry import Registry as Registry
from streamflow.settings.section import HostName, HostPort
from streamflow.settings.section import SecretRef as SecretRef
from streamflow.settings.section import Section as Section
from streamflow.settings.tracing import Tracing as Tracing

DEFAULT_PREFIX = "streamflow."
DEFAULT_ENVIRONMENT = "main"
PLUGIN_SECRET_NAME = r"[a-z][a-z0-9_-]{0,39}"  # noqa: S105 - the pattern of a name


class Topics(Section):
    """The fixed set of topics."""

    prefix: str = Field(
        default=DEFAULT_PREFIX,
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="put before every topic name, group and transactional id",
    )
    partitions: int = Field(
        default=12,
        ge=1,
        le=1000,
        description="partitions of commands, runs, tasks and state; fixed once the topics exist",
    )
    replication_factor: int = Field(default=1, ge=1, le=7, description="replicas of every topic; 3 in production")
    min_insync_replicas: int = Field(
        default=1,
        ge=1,
        le=7,
        description="replicas that must have a record before it counts as written; 2 in production",
    )
    commands_retention_hours: int = Field(
        default=168, ge=1, description="hours that commands are kept; at least as long as the sources"
    )
    runs_retention_hours: int = Field(default=2160, ge=1, description="hours that transitions of runs are kept")
    dead_letters_retention_hours: int = Field(default=672, ge=1, description="hours that dead letters are kept")
    unclaimed_retention_hours: int = Field(
        default=168, ge=1, description="hours that records of events that no run consumed are kept"
    )
    logs_retention_hours: int = Field(default=720, ge=1, description="hours that log lines about runs are kept")
    tombstone_retention_hours: int = Field(
        default=24,
        ge=1,
        description="hours that deletions stay in the changelog; a local store that is older than half of it, by the "
        "clocks of two workers, is deleted and restored",
    )


class Engine(Section):
    """The engine worker."""

    instance_id: str | None = Field(
        default=None,
        description="static group membership: a name that stays the same across restarts, such as a pod's ordinal",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which a worker's partitions are assigned to others",
    )
    checkpoint_s: float = Field(default=0.5, gt=0, description="seconds between checkpoints under load")
    checkpoint_idle_s: float = Field(
        default=5.0, gt=0, description="seconds between checkpoints when there is little input"
    )
    checkpoint_bytes: int = Field(
        default=8_000_000,
        ge=10_000,
        description="bytes of input since the last checkpoint after which the next one is due at once",
    )
    batch_records: int = Field(default=2000, ge=1, description="maximum number of records of one fetch")
    store_write_buffer_bytes: int = Field(default=16 << 20, ge=1 << 16, description="RocksDB memtable of one partition")
    store_block_cache_bytes: int = Field(
        default=32 << 20, ge=1 << 16, description="RocksDB block cache of one partition"
    )


class Ingress(Section):
    """The ingress worker."""

    commit_s: float = Field(default=0.5, gt=0, description="seconds between commits of source offsets")
    watermark_s: float = Field(default=1.0, gt=0, description="seconds between watermarks")
    max_engine_lag: int = Field(
        default=50_000,
        ge=1,
        description="lag of the engine in one partition, in commands, above which ingress appends no more to it",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which a worker's partitions are assigned to others",
    )
    instance_id: str | None = Field(default=None, description="static group membership, as for the engine")


class Lane(Section):
    """A lane: a queue for calls, with its own topic, consumer group and number of workers."""

    in_flight: int = Field(default=100, ge=1, le=10_000, description="attempts that one worker runs at the same time")
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which a worker's partitions are assigned to others",
    )
    commit_s: float = Field(
        default=0.1,
        gt=0,
        description="seconds between commits; attempts that ended since the last one are repeated after a crash",
    )


class Connection(Section):
    """An external system that definitions use by name. The kind decides what `url` and `options` mean; secrets are
    references."""

    kind: Literal["postgres", "s3", "folder", "nats", "http"] = Field(description="kind of system")
    url: str = Field(description="address of the system, without secrets")
    user: str | None = Field(default=None, description="user name or access key")
    password: SecretRef | None = Field(
        default=None, description="reference to the password or secret key: env:NAME or file:/path"
    )
    headers: dict[str, SecretRef] = Field(
        default_factory=dict, description="headers of every HTTP request, each a reference to its value"
    )
    options: dict[str, str] = Field(default_factory=dict, description="further options of its kind, such as a region")


class Tasks(Section):
    """Task workers and the systems that they may reach."""

    lanes: dict[str, Lane] = Field(default={"default": Lane()}, description="lanes by name")
    instance_id: str | None = Field(default=None, description="static group membership, as for the engine")
    drain_s: float = Field(
        default=20.0,
        ge=0,
        description="seconds that running attempts have to end when a worker is stopped or loses a partition",
    )
    connections: dict[str, Connection] = Field(default_factory=dict, description="connections by name")
    plugin_secrets: dict[Annotated[str, Field(pattern=f"^{PLUGIN_SECRET_NAME}$")], SecretRef] = Field(
        default_factory=dict,
        description="secrets of plugins by name, each a reference: env:NAME or file:/path",
    )
    allow_hosts: list[HostPort] = Field(
        default_factory=list,
        description="host[:port] of private addresses or unusual ports that HTTP operations may reach",
    )
    callback_url: str | None = Field(
        default=None, description="address at which other systems reach the sidecar, for callbacks"
    )
    callback_secret: SecretRef | None = Field(
        default=None,
        description="reference to the key that signs callback addresses, a random text of at least 16 characters, the "
        "same for task workers and sidecars",
    )
    output_bytes: int = Field(default=256_000, ge=1000, description="maximum bytes of one operation's output")


class Sidecar(Section):
    """The HTTP process for people and plugins."""

    host: str = Field(default="127.0.0.1", description="address it listens on")
    port: int = Field(default=8484, ge=0, le=65535, description="port it listens on; 0: any free one")
    token: SecretRef | None = Field(
        default=None,
        description="reference to the bearer token that every request but callbacks and "
        "/api/v1/health must carry; unset: none is required",
    )
    hosts: list[HostName] = Field(
        default_factory=list,
        description="host names it accepts in the headers Host and Origin, such as flow.example.org; localhost, host "
        "and the host of tasks.callback_url are always accepted",
    )
    trusted_proxies: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="addresses and networks, such as 10.0.0.0/8, of the proxies in front of it: the address of a "
        "client, by which failed log-ins are counted, is then the rightmost one in X-Forwarded-For that is not one of "
        "these; if there are any, requests from 127.0.0.1 must authenticate too",
    )
    connections: int = Field(
        default=500,
        ge=1,
        description="maximum number of open connections; above it, and above half of the process's file descriptors, "
        "the one that has been idle longest is closed",
    )
    requests: int = Field(
        default=200,
        ge=1,
        description="requests that are served at the same time, at most two fifths of the connections; further ones "
        "get 503",
    )
    streams: int = Field(
        default=250,
        ge=1,
        description="streams of events and WebSockets that are open at the same time, at most half of the connections; "
        "further ones get 503",
    )
    streams_each: int = Field(default=40, ge=1, description="those of one user, or of the sidecar's token")
    head_s: float = Field(
        default=10.0,
        gt=0,
        description="seconds in which the head of a request must be complete, and in which a client must read what "
        "it has been sent",
    )
    body_s: float = Field(default=30.0, gt=0, description="seconds in which the body of a request must be complete")


class Limits(Section):
    """Maximum sizes and counts, checked before anything is written."""

    event_bytes: int = Field(default=512_000, ge=1000, description="bytes of one event's payload")
    batch_bytes: int = Field(
        default=16 << 20,
        ge=1 << 20,
        le=1 << 30,
        description="bytes of one fetched batch of records once it is decompressed; a batch above it is not read",
    )
    definition_bytes: int = Field(
        default=400_000, ge=1000, description="bytes of a definition with its catalog entries"
    )
    record_bytes: int = Field(default=900_000, ge=1000, description="bytes of any record that the engine writes")
    transitions_per_command: int = Field(
        default=256,
        ge=1,
        description="transitions of one decision, after which the run continues in another command",
    )
    kept_events: int = Field(
        default=100, ge=1, description="events that are kept for the runs of one definition and business key"
    )
    kept_bytes: int = Field(default=1 << 20, ge=1000, description="bytes of their payloads")
    open_runs: int = Field(default=100, ge=1, description="open runs of one definition and business key")
    lost_attempt_s: int = Field(
        default=60,
        ge=1,
        description="seconds after its queue and attempt limits when an unanswered attempt counts as lost",
    )
    items: int = Field(default=10_000, ge=1, description="items of one list that a step is repeated for")
    window_hours: int = Field(
        default=168,
        ge=1,
        le=2160,
        description="hours that a consumed event is remembered, so that a repeated one is a duplicate, unless its "
        "definition has a `window`; longer while a run is open that was open then",
    )


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix="STREAMFLOW_", env_nested_delimiter="__", extra="forbid", frozen=True)

    environment: str = Field(
        default=DEFAULT_ENVIRONMENT,
        pattern=r"^[a-z0-9]{1,16}$",
        description="name of this environment, such as test or prod: a part of run ids, idempotency keys, client ids "
        "and the source of events; cannot be changed once the topics exist",
    )
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    engine: Engine = Engine()
    ingress: Ingress = Ingress()
    tasks: Tasks = Tasks()
    sidecar: Sidecar = Sidecar()
    limits: Limits = Limits()
    models: Models = Models()
    history: History = History()
    access: Access = Access()
    approvals: Approvals = Approvals()
    metrics: Metrics = Metrics()
    mirror: Mirror = Mirror()
    notifications: Notifications = Notifications()
    registry: Registry = Registry()
    tracing: Tracing = Tracing()
    state_dir: Path = Field(
        default=Path("var/state"),
        description="folder of the workers' local stores and of the results of model probes; may be deleted, and is "
        "then restored from the changelog",
    )
    broker_dir: Path = Field(
        default=Path("var/broker"), description="data folder of the Kafka that streamflow starts itself"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="format of log lines")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level that is logged"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings, env_settings]
        if path := os.environ.get("STREAMFLOW_CONFIG"):
            sources.append(YamlConfigSettingsSource(settings_cls, yaml_file=Path(path)))
        return tuple(sources)

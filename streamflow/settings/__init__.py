"""The one tree of settings: read by entry points only, validated at start, frozen afterwards, documented from here.

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
from streamflow.settings.models import Models as Models
from streamflow.settings.notifications import NOTIFICATION_KINDS as NOTIFICATION_KINDS
from streamflow.settings.notifications import NotificationKind as NotificationKind
from streamflow.settings.notifications import Notifications as Notifications
from streamflow.settings.notifications import NotificationTarget as NotificationTarget
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
        default=12, ge=1, le=1000, description="partitions of commands, runs, tasks and state; never changed afterwards"
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
        default=168, ge=1, description="hours that records of events that no run took are kept"
    )
    logs_retention_hours: int = Field(default=720, ge=1, description="hours that log lines about runs are kept")
    tombstone_retention_hours: int = Field(
        default=24,
        ge=1,
        description="hours that deletions stay in the changelog; a local store that is older than half of it, by the "
        "clocks of two workers, is thrown away and restored",
    )


class Engine(Section):
    """The engine worker."""

    instance_id: str | None = Field(
        default=None, description="static group membership: a name that stays the same over restarts (a pod's ordinal)"
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which the group gives a worker's partitions away",
    )
    checkpoint_s: float = Field(default=0.5, gt=0, description="seconds between checkpoints while there is work")
    checkpoint_idle_s: float = Field(default=5.0, gt=0, description="seconds between checkpoints when little happens")
    checkpoint_bytes: int = Field(
        default=8_000_000, ge=10_000, description="bytes of unsaved input after which a checkpoint is due at once"
    )
    batch_records: int = Field(default=2000, ge=1, description="records of one fetch at most")
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
        description="commands that the engine may be behind in one partition before ingress appends no more there",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which the group gives a worker's partitions away",
    )
    instance_id: str | None = Field(default=None, description="static group membership, as for the engine")


class Lane(Section):
    """A lane: a kind of work with a topic, a consumer group and a scale of its own."""

    in_flight: int = Field(default=100, ge=1, le=10_000, description="attempts that one worker makes at the same time")
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which the group gives a worker's partitions away",
    )
    commit_s: float = Field(
        default=0.1,
        gt=0,
        description="seconds between commits; what ended since the last one is done again after a crash",
    )


class Connection(Section):
    """Something outside that operations name. What `url` and `options` mean is the operation's to say; secrets are
    references."""

    kind: Literal["postgres", "s3", "folder", "nats", "http"] = Field(description="what is there")
    url: str = Field(description="where it is, without secrets")
    user: str | None = Field(default=None, description="user name or access key")
    password: SecretRef | None = Field(
        default=None, description="reference to the password or secret key: env:NAME or file:/path"
    )
    headers: dict[str, SecretRef] = Field(
        default_factory=dict, description="headers of every HTTP request, each a reference to its value"
    )
    options: dict[str, str] = Field(
        default_factory=dict, description="what else its kind understands, such as a region"
    )


class Tasks(Section):
    """Task workers and what they may reach."""

    lanes: dict[str, Lane] = Field(default={"default": Lane()}, description="the lanes, by name")
    instance_id: str | None = Field(default=None, description="static group membership, as for the engine")
    drain_s: float = Field(
        default=20.0,
        ge=0,
        description="seconds that attempts may still take when a worker is stopped or loses a partition",
    )
    connections: dict[str, Connection] = Field(default_factory=dict, description="what operations may name, by name")
    plugin_secrets: dict[Annotated[str, Field(pattern=f"^{PLUGIN_SECRET_NAME}$")], SecretRef] = Field(
        default_factory=dict,
        description="secrets that plugins may be registered with, by name, each a reference: env:NAME or file:/path",
    )
    allow_hosts: list[HostPort] = Field(
        default_factory=list,
        description="host[:port] that http operations may reach although they are private or unusual",
    )
    callback_url: str | None = Field(
        default=None, description="address under which others reach the sidecar, for callbacks"
    )
    callback_secret: SecretRef | None = Field(
        default=None,
        description="reference to the key that signs callback addresses, a random text of at least 16 characters, the "
        "same for task workers and sidecars",
    )
    output_bytes: int = Field(default=256_000, ge=1000, description="bytes of one operation's output")


class Sidecar(Section):
    """The HTTP process for people and plugins."""

    host: str = Field(default="127.0.0.1", description="address it listens on")
    port: int = Field(default=8484, ge=0, le=65535, description="port it listens on; 0: any free one")
    token: SecretRef | None = Field(
        default=None,
        description="reference to the bearer token that every request but callbacks and "
        "/api/v1/health must carry; unset: none is asked for",
    )
    hosts: list[HostName] = Field(
        default_factory=list,
        description="names under which it may be asked (the header Host), beside localhost, host and that of "
        "tasks.callback_url, such as flow.example.org; pages of these hosts may ask too (the header Origin)",
    )
    trusted_proxies: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="addresses and networks, such as 10.0.0.0/8, of the proxies in front of it: the address of a "
        "client, by which log-ins that fail are counted, is then the rightmost one in X-Forwarded-For that is none of "
        "these; if there are any, everybody must say who they are, on 127.0.0.1 too",
    )
    connections: int = Field(
        default=500,
        ge=1,
        description="open connections; above it, and above half of the process's file descriptors, the one that has "
        "waited longest for a request is closed",
    )
    requests: int = Field(default=200, ge=1, description="requests that are served at the same time; others get 503")
    head_s: float = Field(
        default=10.0, gt=0, description="seconds until the head of a request is complete, and that an answer is held"
    )
    body_s: float = Field(default=30.0, gt=0, description="seconds until the body of a request is complete")


class Limits(Section):
    """Sizes and counts, checked before anything is written."""

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
        description="transitions of one decision, after which the run goes on in a command of its own",
    )
    kept_events: int = Field(
        default=100, ge=1, description="events that are kept for the runs of one definition and business key"
    )
    kept_bytes: int = Field(default=1 << 20, ge=1000, description="bytes of their payloads")
    open_runs: int = Field(default=100, ge=1, description="open runs of one definition and business key")
    lost_attempt_s: int = Field(
        default=60,
        ge=1,
        description="seconds after its queue and attempt limits that an unanswered attempt is held to be lost",
    )
    items: int = Field(default=10_000, ge=1, description="items of one list that a step is done for")
    window_hours: int = Field(
        default=168,
        ge=1,
        le=2160,
        description="hours that a consumed event is remembered, so that a repeated one is a duplicate, unless its "
        "definition has a `window`; longer while a run is open that was open then",
    )


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="STREAMFLOW_", env_nested_delimiter="__", extra="forbid", frozen=True)

    environment: str = Field(
        default=DEFAULT_ENVIRONMENT,
        pattern=r"^[a-z0-9]{1,16}$",
        description="name of this environment, such as test or prod: a part of run ids, idempotency keys, client ids "
        "and the source of events; fixed with the topics, never changed afterwards",
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
    notifications: Notifications = Notifications()
    tracing: Tracing = Tracing()
    state_dir: Path = Field(
        default=Path("var/state"),
        description="folder of the workers' local stores and of what probes of language models found; may be deleted, "
        "at the price of a restore",
    )
    broker_dir: Path = Field(
        default=Path("var/broker"), description="data folder of the Kafka that streamflow starts itself"
    )
    log_format: Literal["console", "json"] = Field(default="console", description="how log lines are written")
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

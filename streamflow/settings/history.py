"""The section `history`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from streamflow.settings.section import SecretRef, Section


class History(Section):
    """The history store and its worker."""

    path: Path = Field(
        default=Path("var/history.db"), description="file of the history store, unless it is in PostgreSQL"
    )
    postgresql: str | None = Field(
        default=None,
        description="PostgreSQL for the history store instead of a file, such as "
        "postgresql://host:5432/database, without a password",
    )
    user: str | None = Field(default=None, description="user of that PostgreSQL")
    password: SecretRef | None = Field(
        default=None, description="reference to that user's password: env:NAME or file:/path"
    )
    schema_name: str = Field(
        default="streamflow_history",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="schema of the tables in PostgreSQL; a different one for each installation",
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which a worker's partitions are assigned to others (PostgreSQL)",
    )
    batch_records: int = Field(
        default=5000, ge=1, le=100_000, description="maximum number of records of one transaction"
    )
    runs_days: int = Field(default=90, ge=1, description="days that runs are kept after they ended")
    events_days: int = Field(default=30, ge=1, description="days that outcomes of events are kept")
    logs_days: int = Field(default=30, ge=1, description="days that log lines about runs are kept")
    trouble_days: int = Field(default=90, ge=1, description="days that trouble is kept after its last occurrence")
    counters_days: int = Field(default=400, ge=1, description="days that hourly counters are kept")
    retention_s: float = Field(default=600.0, gt=0, description="seconds between deletions of expired rows")
    retention_rows: int = Field(default=2000, ge=1, description="rows deleted in one transaction")
    archive: str | None = Field(
        default=None,
        description="connection of tasks.connections, of kind folder or s3, that ended runs are moved to before they "
        "are deleted; unset: they are deleted",
    )

"""The section `mirror`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streamflow.settings.section import Section

MirroredTopic = Literal["runs", "commands", "dead-letters"]


class Mirror(Section):
    """The mirror worker, which writes Streamflow's own records in Avro. [Schemas](schemas.md#streamflows-own-records)
    shows how."""

    topics: list[MirroredTopic] = Field(
        default_factory=list,
        description="topics whose records are also written in Avro, each to a topic of its name with .avro behind it; "
        "needs registry.url",
    )
    batch_records: int = Field(default=2000, ge=1, le=50_000, description="maximum number of records of a transaction")
    interval_s: float = Field(
        default=0.5, gt=0, le=10, description="seconds that records wait for others of their transaction"
    )
    session_timeout_s: float = Field(
        default=10.0,
        ge=1,
        description="seconds without a heartbeat after which a worker's partitions are assigned to others",
    )
    instance_id: str | None = Field(
        default=None,
        description="static group membership, as for the engine: a worker that is started again under the name ends "
        "the open transaction of its predecessor at once, else the broker ends it after 15 s",
    )

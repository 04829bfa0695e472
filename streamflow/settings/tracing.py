"""The section `tracing`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from streamflow.settings.section import SecretRef, Section

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class Tracing(Section):
    """The export of spans by OpenTelemetry's protocol (OTLP over HTTP). Needs the extra `tracing`."""

    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="address to which spans are sent, such as http://collector:4318/v1/traces; the same for every "
        "process of an environment; unset: no spans are made, and trace contexts are passed on unchanged",
    )
    headers: dict[HeaderName, SecretRef] = Field(
        default_factory=dict,
        description="headers of each export, by name, such as `authorization`: references to their values, env:NAME or "
        "file:/path",
    )
    sample_ratio: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="share of the traces that begin in Streamflow that is recorded, 1 for all; a trace from outside is "
        "recorded if its sampled flag is set",
    )
    queue_spans: int = Field(
        default=4096,
        ge=1,
        le=1_000_000,
        description="maximum number of spans that wait for their export; further ones are dropped. Those of one "
        "command or record count as one",
    )
    batch_spans: int = Field(default=512, ge=1, le=10_000, description="maximum number of spans of one export")
    export_s: float = Field(default=5.0, ge=0.05, le=60, description="seconds between exports, unless a batch is full")
    timeout_s: float = Field(
        default=10.0, ge=0.1, le=60, description="seconds for one export, after which its spans are dropped"
    )

"""The section `metrics`."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class Metrics(Section):
    """The export of metrics for Prometheus."""

    listen: str | None = Field(
        default=None,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}$",
        description="host:port at which this process serves its metrics, such as 127.0.0.1:9464, a different one for "
        "each process of a machine; port 0: any free one; unset: metrics are not served",
    )
    measure_s: float = Field(
        default=5.0, ge=0.2, description="seconds between the measurements of lag by `streamflow exporter`"
    )
    open_s: float = Field(
        default=30.0, ge=1, description="seconds between counts of open runs and steps by the history worker"
    )

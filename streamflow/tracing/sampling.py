"""Which of the traces that enter a process are recorded."""

from __future__ import annotations

from streamflow.engine.trace import Sampling
from streamflow.settings import Tracing


def sampling_of(tracing: Tracing) -> Sampling | None:
    """As the settings say; None: no spans are exported, and trace contexts are passed on as they came."""
    return None if tracing.endpoint is None else Sampling(tracing.sample_ratio)

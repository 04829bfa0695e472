from __future__ import annotations

from tests.unit.kafka.logs import memory_log

__all__ = ["memory_log"]

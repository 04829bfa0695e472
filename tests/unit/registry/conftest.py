"""What tests of schema registries share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.memory_registry import MemoryRegistry, memory_registry


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with memory_registry() as running:
        yield running

"""Prometheus's promtool, which evaluates alert rules on series that a test makes up."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from tests.servers.process import ServerMissing


@contextlib.contextmanager
def promtool() -> Iterator[str]:
    """The path of promtool. Raises ServerMissing."""
    yield program()


def program() -> str:
    """The path of promtool. Raises ServerMissing."""
    found = shutil.which("promtool")
    if found is None:
        raise ServerMissing("promtool of Prometheus is not installed. Run: make servers.")
    return found

"""Where the `streamflow dev` of a folder has its Kafka, so that other terminals in that folder need not be told."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from streamflow.settings import Settings


def _file(settings: Settings) -> Path:
    return settings.broker_dir / "dev.json"


@contextlib.contextmanager
def announced(settings: Settings, bootstrap: str) -> Iterator[None]:
    """Tells `running` in the same folder, as long as the block lasts."""
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"bootstrap_servers": bootstrap, "pid": os.getpid()}))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running(settings: Settings) -> str | None:
    """The bootstrap servers of the `dev` that runs here, if one does."""
    try:
        said = json.loads(_file(settings).read_text())
        os.kill(int(said["pid"]), 0)
        return str(said["bootstrap_servers"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

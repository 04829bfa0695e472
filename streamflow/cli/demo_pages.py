"""The web application of a demo: a history and a sidecar of its own, on a free port."""

from __future__ import annotations

from pathlib import Path

from streamflow.cli.dev import pages_at
from streamflow.cli.dev_discovery import SidecarPlace
from streamflow.cli.processes import Workers
from streamflow.settings import Settings

LISTENING = "sidecar_listening"  # what the sidecar's log says when the pages can be opened


class DemoPages:
    """`told` says where the pages are, or why there are none; `api` is where the sidecar answers, if it runs. It runs
    where there are pages, and where it `is_needed`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        from streamflow.sidecar.pages import are_built  # with Starlette: only for those who need it

        place = SidecarPlace(settings)
        self.api = f"{place.url}/api/v1"
        self.is_needed = False
        self._environment = {"STREAMFLOW_HISTORY__PATH": str(folder / "history.db"), **place.environment()}
        self._has_history = settings.history.postgresql is None
        self._are_there = self._has_history and are_built()
        self.told = (
            pages_at(place.url)
            if self._has_history
            else "The settings name a PostgreSQL for the history; a demo writes nothing there and has no pages."
        )

    def start(self, workers: Workers) -> None:
        """Starts what the pages need, if there are any, and the sidecar where it is needed."""
        if self._are_there:
            workers.start("history", "history", **self._environment)
        if self._are_there or self.is_needed:
            workers.start("sidecar", "sidecar", **self._environment)

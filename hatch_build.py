"""Refuses a wheel without the web application; an editable installation goes without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebApplication(BuildHookInterface):  # type: ignore[type-arg]
    """Named in pyproject.toml."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before anything is packed. `version` is `standard` or `editable`."""
        index = Path(self.root, "streamflow", "web", "index.html")
        if version != "editable" and not index.is_file():
            raise FileNotFoundError(
                f"{index} is missing: the web application is not built, and a wheel without it is incomplete. "
                "Build it with `make ui`."
            )

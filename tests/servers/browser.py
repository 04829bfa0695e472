"""The browser in which the web application is tested: the system's Chromium."""

from __future__ import annotations

import shutil

from tests.servers.process import ServerMissing


def program() -> str:
    """Its path. Raises ServerMissing."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise ServerMissing("chromium is missing. Install it: apt-get install chromium.")
    return found

"""Where the web application's sources and its built files are."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]
SOURCES = PROJECT / "web"
INDEX = PROJECT / "streamflow" / "web" / "index.html"

"""Where the examples are that come with Streamflow."""

from __future__ import annotations

from pathlib import Path


def examples_folder() -> Path:
    """The folder of the examples: inside the installed package, or `definitions` of a checkout."""
    package = Path(__file__).parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "definitions"

"""A wheel is refused without the web application, and an editable installation is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hatch_build import WebApplication


def hook(root: Path) -> WebApplication:
    return WebApplication(str(root), {}, None, None, str(root), "wheel")  # type: ignore[arg-type]


def test_a_wheel_without_the_application_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make ui"):
        hook(tmp_path).initialize("standard", {})


def test_an_editable_installation_goes_without_it(tmp_path: Path) -> None:
    hook(tmp_path).initialize("editable", {})


def test_a_wheel_with_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "streamflow" / "web").mkdir(parents=True)
    (tmp_path / "streamflow" / "web" / "index.html").write_text("<!doctype html>")
    hook(tmp_path).initialize("standard", {})

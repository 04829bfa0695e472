"""Prompts are versioned files: a published version is never changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamflow.errors import EngineFault
from streamflow.models.prompts import names, prompt, versions

KNOWN: dict[str, str] = json.loads((Path(__file__).parent / "prompt_checksums.json").read_text())


def test_no_published_prompt_was_changed() -> None:
    """A change is a new file with the next number, and its line in prompt_checksums.json."""
    found = {f"{name}@{version}": prompt(name, version).sha for name in names() for version in versions(name)}

    assert found == KNOWN


@pytest.mark.parametrize("name", names())
def test_versions_are_counted_from_one_without_a_gap(name: str) -> None:
    assert versions(name) == tuple(range(1, len(versions(name)) + 1))
    assert prompt(name).version == versions(name)[-1]
    assert str(prompt(name)) == f"{name}@{versions(name)[-1]}"


@pytest.mark.parametrize("name", names())
def test_a_prompt_is_short_plain_text_without_a_time(name: str) -> None:
    """What changes from call to call would keep a provider from caching the prefix."""
    text = prompt(name).text

    assert 0 < len(text) < 8000
    assert not any(mark in text for mark in ("{{", "20" + "26", "today is"))


@pytest.mark.parametrize(("name", "version"), [("nothing", None), ("data", 99), ("../data", None)])
def test_a_missing_prompt_is_a_fault(name: str, version: int | None) -> None:
    with pytest.raises(EngineFault) as caught:
        prompt(name, version)
    assert caught.value.code == "prompt_missing"

"""Prompts as versioned files: `<name>/<version>.md`, package data.

A published version is never changed: a change is a new file with the next number, and a test compares each file with
its checksum. A record of a conversation can therefore name a prompt by name, version and digest.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from streamflow.errors import EngineFault

_FILE = re.compile(r"([1-9][0-9]{0,3})\.md")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of a prompt; `sha` is the sha256 of its text."""

    name: str
    version: int
    text: str

    @property
    def sha(self) -> str:
        """The sha256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@cache
def prompt(name: str, version: int | None = None) -> Prompt:
    """The prompt `name`, by default its newest version. Raises EngineFault (`prompt_missing`)."""
    known = versions(name)
    wanted = max(known, default=0) if version is None else version
    if wanted not in known:
        raise EngineFault(
            "prompt_missing", f"There is no prompt {name} of version {wanted}. Install the package again."
        )
    return Prompt(name, wanted, (files(__name__) / name / f"{wanted}.md").read_text(encoding="utf-8"))


def versions(name: str) -> tuple[int, ...]:
    """The versions of the prompt `name`, oldest first."""
    folder = files(__name__) / name
    if not folder.is_dir():
        return ()
    return tuple(sorted(int(found[1]) for one in folder.iterdir() if (found := _FILE.fullmatch(one.name))))


def names() -> tuple[str, ...]:
    """The names of all prompts."""
    return tuple(sorted(one.name for one in files(__name__).iterdir() if one.is_dir() and versions(one.name)))

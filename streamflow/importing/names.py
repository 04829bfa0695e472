"""Names of a foreign process as legal ones: ids of steps, names of definitions and operations, each unlike the
others."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import get_args

from streamflow.definition.graph_check import RESERVED
from streamflow.definition.model import FieldName
from streamflow.importing.report import Refused

_ID, _NAME, _PART, _LEVELS = 64, 100, 50, 4
_LONGEST = 1000  # characters of a foreign name that are looked at
_BETWEEN = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FIELD = str(get_args(FieldName)[1].pattern)


def words(text: str) -> list[str]:
    """The words of `text`, in small letters: `fetchUserURL-2` gives fetch, user, url, 2."""
    parted = _BETWEEN.sub(" ", text[:_LONGEST])
    return re.findall(r"[a-z0-9]+", parted.lower())


def step_id(text: str, taken: Container[str]) -> str:
    """A legal id of a step like `text`, unlike those in `taken`."""
    plain = text if re.fullmatch(r"[a-z][a-z0-9_]*", text) else "_".join(words(text))
    first = _lettered(plain, "step")
    return _free(f"{first}_step" if first in RESERVED else first, taken, _ID, "_")


def definition_name(text: str) -> str:
    """A legal name of a definition like `text`."""
    return _lettered("-".join(words(text)), "process")[:_NAME].rstrip("-")


def operation_name(text: str) -> str:
    """A legal name of an operation like `text`: `@acme/plugin-http` gives acme.plugin-http."""
    if re.fullmatch(r"[a-z][a-z0-9_-]{0,49}(\.[a-z][a-z0-9_-]{0,49}){0,3}", text):
        return text
    parts = ["-".join(words(part)) for part in re.split(r"[./:]+", text)]
    found = [_lettered(part, "op")[:_PART].rstrip("-") for part in parts if part]
    return ".".join(found[-_LEVELS:]) or "operation"


def field_name(text: str) -> str:
    """`text`, a legal name of a value as it is. Raises Refused."""
    if not re.fullmatch(_FIELD, text):
        raise Refused(
            f"`{text[:60]}` cannot be the name of a value.", "Use letters, digits, _ and -, or put it one level deeper."
        )
    return text


def _lettered(text: str, instead: str) -> str:
    """`text` with a letter in front."""
    if not text:
        return instead
    return text if text[0].isalpha() else f"{instead}-{text}" if "-" in text else f"{instead}_{text}"


def _free(text: str, taken: Container[str], longest: int, joint: str) -> str:
    text = text[:longest].rstrip("_-")
    number, found = 2, text
    while found in taken:
        tail = f"{joint}{number}"
        number, found = number + 1, text[: longest - len(tail)] + tail
    return found

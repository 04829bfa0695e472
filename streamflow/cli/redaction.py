"""Settings as they may be shown: without passwords in addresses and options.

Secrets belong into references (`env:NAME`, `file:/path`), which are shown as they are. What is written out all the same
is hidden: the password of an address (RFC 3986, section 3.2.1, deprecates it there), and the value of a name that says
it is a secret, in a query, a connection string or an option.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_WORD = r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key|signature|sig)"
_NAMED = rf"[\w.-]{{0,40}}{_WORD}[\w.-]{{0,40}}"
_NAME = re.compile(_NAMED, re.I)
_PAIR = re.compile(rf"(?<![\w.-])({_NAMED})=([^&;\s,]+)", re.I)
_AUTHORITY = re.compile(r"//([^/?#\s]*)")
_REFERENCE = re.compile(r"(env:|file:).*", re.S)


def without_passwords(value: Any) -> Any:
    """`value`, of JSON, with passwords hidden in all its texts."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {name: _field(str(name), item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_passwords(item) for item in value]
    return value


def _field(name: str, value: Any) -> Any:
    if isinstance(value, str) and _NAME.fullmatch(name) and not _REFERENCE.fullmatch(value):
        return HIDDEN
    return without_passwords(value)


def _text(text: str) -> str:
    if _REFERENCE.fullmatch(text):
        return text
    return _PAIR.sub(rf"\1={HIDDEN}", _AUTHORITY.sub(_authority, text))


def _authority(found: re.Match[str]) -> str:
    return "//" + ",".join(_host(part) for part in found[1].split(","))


def _host(part: str) -> str:
    """One of the hosts of an address. What stands before it without a colon may be a token."""
    user, at, host = part.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{name + colon if colon else ''}{HIDDEN}@{host}" if at else part

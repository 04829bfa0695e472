"""Text from outside as it may stand on a terminal or in a log for people.

Keys, messages and payloads are written by strangers. A control character (ESC most of all) moves the cursor, recolours
or hides what was printed, or makes the terminal answer; a newline forges a line; a bidirectional or invisible character
has a name look like another one (CVE-2021-42574). Such characters are shown as escapes of JSON and Python: `\\x1b`,
`\\n`, `\\u202e`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import MutableMapping
from typing import Any

_LINES = frozenset({"exception", "stack"})  # fields of a log line that have several
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# C0, DEL and C1; soft hyphen; Arabic letter mark; zero width and directional marks; line and paragraph separators;
# embeddings, overrides and isolates; invisible operators; fillers; variation selectors; lone surrogates; BOM;
# interlinear annotations; tags.
_UNSAFE_RANGES = (
    "\\x00-\\x1f\\x7f-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\u3164\\ud800-\\udfff\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
)
_UNSAFE = re.compile(f"[{_UNSAFE_RANGES}]")
_UNSAFE_BUT_LINES = re.compile(f"(?!\\n)[{_UNSAFE_RANGES}]")


def visible(text: str) -> str:
    """`text` on one line, with whatever cannot be seen, or changes what is seen, as escapes."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_escaped, text)


def visible_lines(text: str) -> str:
    """As `visible`, for text of ours with several lines: newlines stay."""
    return text if text.isascii() and text.isprintable() else _UNSAFE_BUT_LINES.sub(_escaped, text)


def visible_fields(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The fields of a log line, visible: a processor of structlog, before what renders lines for people."""
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = visible_lines(value) if name in _LINES else visible(value)
        elif not isinstance(value, int | float | None):
            fields[name] = visible(repr(value))
    return fields


def width(text: str) -> int:
    """The columns that `text` takes: wide letters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _escaped(found: re.Match[str]) -> str:
    letter = found[0]
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

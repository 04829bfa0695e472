"""A conversation with a language model, independent of providers, and the delimiters of what is only data. Pure.

Whatever strangers may have written (catalogs, samples, imported files, results of tools) is `Material`: it is put
between delimiters that its own text cannot forge, in the role of a user, never of the system. The delimiter is derived
from the content, not drawn by chance, so that the same prefix stays the same and a provider can cache it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streamflow.errors import EngineFault
from streamflow.terminal import visible_lines

_NAME = re.compile(r"[a-z][a-z0-9 _.-]{0,79}")
_MARK_CHARS = 16


@dataclass(frozen=True, slots=True)
class Material:
    """Data that the model reads and does not obey: `name` says what it is (small letters), `text` is the data."""

    name: str
    text: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise EngineFault(
                "material_name", f"A material is named {self.name[:100]!r}. Name it in lower-case letters."
            )

    def delimited(self) -> str:
        """The text between its delimiters. The mark is a digest of the whole, so no text can hold its own; characters
        that are invisible or steer a display are escaped, tabs are kept."""
        shown = "\t".join(map(visible_lines, self.text.split("\t")))
        mark = hashlib.sha256(f"{self.name}\n{shown}".encode()).hexdigest()[:_MARK_CHARS]
        return f'<data name="{self.name}" mark="{mark}">\n{shown}\n</data mark="{mark}">'


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What a person wrote, with material that belongs to it."""

    text: str
    materials: tuple[Material, ...] = ()

    def content(self) -> str:
        """Material first, then the person's words."""
        return "\n\n".join(
            [*(material.delimited() for material in self.materials), *([self.text] if self.text else [])]
        )


def well_formed(text: str) -> str:
    """`text` as UTF-8 can hold it. Halves of surrogate pairs are joined, as gateways cut characters between the parts
    of an answer; a half alone becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that the model made earlier: its id, the tool's name, and the arguments as JSON text of an object."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any]:
        """The arguments as data; none where the model wrote no JSON object, which providers do not take back."""
        try:
            found = json.loads(self.arguments or "{}")
            if isinstance(found, dict):
                plain: dict[str, Any] = json.loads(well_formed(json.dumps(found, ensure_ascii=False)))
                return plain
        except (ValueError, RecursionError):
            pass
        return {}


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """What the model answered earlier."""

    text: str
    calls: tuple[MadeCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of one call: its id, a text, and whether it failed. The text is data and is delimited."""

    id: str
    text: str
    failed: bool = False

    def content(self) -> str:
        """The text between delimiters."""
        return Material("result of a tool", self.text).delimited()


Message = UserMessage | AssistantMessage | ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Everything that the model is given. What changes least stands first, so that a provider can cache the prefix:
    instructions, tools, materials, messages."""

    instructions: tuple[str, ...]  # prompts of ours and additions of the operator: the system's role
    messages: tuple[Message, ...]  # the last one is a user's or a tool's
    materials: tuple[Material, ...] = field(default=())  # for the whole conversation, such as the catalog

    def system(self) -> str:
        """The text of the system's role."""
        return "\n\n".join(part.strip() for part in self.instructions if part.strip())

    def material(self) -> str:
        """The text of all materials of the conversation, empty if there are none."""
        return "\n\n".join(material.delimited() for material in self.materials)

    def texts(self) -> Iterator[str]:
        """All texts that are sent, to estimate their size."""
        yield self.system()
        yield self.material()
        for message in self.messages:
            if isinstance(message, AssistantMessage):
                yield message.text
                yield from (call.name + call.arguments for call in message.calls)
            else:
                yield message.content()

"""A Dockerfile as data, and which files of its context a .dockerignore leaves out.

Only what deploy/Dockerfile uses; everything else is refused. Source: the Dockerfile reference of Docker.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

_STEPS = ("COPY", "ENV", "RUN", "USER", "WORKDIR")
_SETTINGS = ("CMD", "ENTRYPOINT", "STOPSIGNAL")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction of a stage."""

    name: str  # in capitals, such as RUN
    flags: Mapping[str, str]  # by name, such as {"from": "build"}
    text: str  # what follows, on one line

    def words(self, variables: Mapping[str, str]) -> list[str]:
        """The arguments, with variables replaced. Quotes group, as in a shell."""
        return shlex.split(substituted(self.text, variables))

    def array(self) -> list[str]:
        """The arguments of CMD and ENTRYPOINT, which are a JSON array."""
        return [str(word) for word in json.loads(self.text)]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What follows one FROM."""

    name: str  # empty if it has none
    base: str  # the name of an image, or of an earlier stage
    instructions: tuple[Instruction, ...]

    def last(self, name: str) -> Instruction:
        """The one that holds of those with this name. Raises KeyError."""
        found = [one for one in self.instructions if one.name == name]
        if not found:
            raise KeyError(name)
        return found[-1]


def read(text: str, arguments: Mapping[str, str] | None = None) -> tuple[Stage, ...]:
    """The stages of a Dockerfile; the last one is the image. `arguments` are those of `--build-arg`. Raises ValueError
    for what is not understood."""
    variables: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in instructions(text):
        if instruction.name == "ARG" and not stages:
            name, _, default = instruction.text.partition("=")
            variables[name] = (arguments or {}).get(name, default)
        elif instruction.name == "FROM":
            match instruction.words(variables):
                case [base]:
                    stages.append(Stage(name="", base=base, instructions=()))
                case [base, "AS", name]:
                    stages.append(Stage(name=name, base=base, instructions=()))
                case words:
                    raise ValueError(f"FROM {words}")
        elif stages and instruction.name in _STEPS + _SETTINGS:
            last = stages[-1]
            stages[-1] = Stage(name=last.name, base=last.base, instructions=(*last.instructions, instruction))
        else:
            raise ValueError(f"{instruction.name} {instruction.text}")
    return tuple(stages)


def instructions(text: str) -> list[Instruction]:
    """All in order. Comments within a continued line are left out, as Docker does."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        flags = {}
        while flag := re.match(r"--([a-z]+)=(\S+)\s+", rest):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        if set(flags) - ({"from"} if name.upper() == "COPY" else set()) or rest.startswith("--") or "<<" in rest:
            raise ValueError(f"not understood: {line}")
        found.append(Instruction(name=name.upper(), flags=flags, text=rest.strip()))
    return found


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """With `$NAME` and `${NAME}` replaced; an unknown name is empty."""
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: variables.get(found[1] or found[2], ""), text)


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore with these patterns leaves out a file or folder, itself or with a folder above it. `path`
    is relative to the context. Raises ValueError for an exception (`!`)."""
    if exceptions := [pattern for pattern in patterns if pattern.startswith("!")]:
        raise ValueError(f"exceptions are not understood: {exceptions}")
    parts = path.split("/")
    above = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    for pattern in patterns:
        anywhere = pattern.removeprefix("**/")
        for one in above:
            if anywhere != pattern and fnmatchcase(one.rpartition("/")[2], anywhere):
                return True
            if one.count("/") == pattern.count("/") and fnmatchcase(one, pattern):
                return True
    return False

"""JSON Schemas in files that refer to each other, as schemas of one catalog.

A reference names another file by its `$id` or by its path. Whatever more than one file needs becomes a shared schema of
the catalog (`#/schemas/<name>`). Nothing is fetched: what is not among the files is not there.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urldefrag

from streamflow.definition.schema_document import OLD_DRAFTS, joined, rewritten, schemas_in

_TOLD_TO_PEOPLE = frozenset({"title", "description", "examples", "example", "$comment", "externalDocs"})
_ANCHORED = frozenset({"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef", "$recursiveAnchor"})
_ABOUT = frozenset({"name", "package", "datatype", "cloudeventTypes", "product"})  # of Google's, beside the schema
_ENDINGS = (".json", ".schema", ".yaml", ".yml")
_NAME_CHARS = 200


class Unusable(Exception):
    """A file that gives no schema; the text says why."""


@dataclass(frozen=True, slots=True)
class File:
    """A schema file: its path in the folder, and what is in it."""

    path: str
    schema: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The address that its references are relative to; its path where it has none."""
        own = self.schema.get("$id", self.schema.get("id") if self.old else None)
        return own if isinstance(own, str) and own and not own.startswith("#") else self.path

    @property
    def old(self) -> bool:
        """Whether it is of a draft up to 7."""
        draft = self.schema.get("$schema")
        return isinstance(draft, str) and any(one in draft for one in OLD_DRAFTS)

    @property
    def of_protobuf(self) -> bool:
        """Whether it describes a message of Protocol Buffers, as Google's do, and the CloudEvents types of it."""
        return isinstance(self.schema.get("cloudeventTypes"), list)

    @property
    def stem(self) -> str:
        """Its name without what all names end in."""
        return without_ending(posixpath.basename(self.path))


class SchemaFiles:
    """The schema files of a folder."""

    def __init__(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        self._files = {path: File(path, schema) for path, schema in files.items()}
        self._by_id = {file.id: file for file in reversed(self._files.values())}
        self._names = _shared_names(list(self._files))
        self._referred: dict[str, tuple[File, ...]] = {}

    def __iter__(self) -> Iterator[File]:
        return iter(self._files.values())

    def referred(self, file: File) -> tuple[File, ...]:
        """The other files that `file` refers to itself. Raises Unusable."""
        if file.path not in self._referred:
            named = (part["$ref"] for part in schemas_in(file.schema) if isinstance(part.get("$ref"), str))
            found = {target.path: target for target, _ in (self._target(file, one) for one in named)}
            found.pop(file.path, None)
            self._referred[file.path] = tuple(found.values())
        return self._referred[file.path]

    def needed(self, file: File) -> list[File]:
        """The other files that `file` refers to, directly or by others. Raises Unusable."""
        found: dict[str, File] = {}
        left = list(self.referred(file))
        while left:
            one = left.pop()
            if one.path not in found and one.path != file.path:
                found[one.path] = one
                left += self.referred(one)
        return [found[path] for path in sorted(found)]

    def shared_name(self, file: File) -> str:
        """What `file` is called among the shared schemas."""
        return self._names[file.path]

    def as_event(self, file: File) -> dict[str, Any]:
        """The schema of an event, with references to shared schemas. Raises Unusable."""
        needed = self.needed(file)
        return self._draft(file) | self._written(file, "#") if needed else self._alone(file)

    def as_events(self, file: File) -> dict[str, Any]:
        """The schema of each of several events, which is a shared one. Raises Unusable."""
        return self._draft(file) | {"$ref": f"#/schemas/{self.shared_name(file)}"}

    def _draft(self, file: File) -> dict[str, Any]:
        """The `$schema` of `file` and of what it refers to, if any has one. Raises Unusable when they differ."""
        named = [one for one in (file, *self.needed(file)) if "$schema" in one.schema]
        if len({one.old for one in named}) > 1:
            raise Unusable("it refers to schemas of another draft, which mean something else there")
        return {"$schema": named[0].schema["$schema"]} if named else {}

    def as_shared(self, file: File) -> dict[str, Any]:
        """The same schema as a shared one. Raises Unusable."""
        return self._written(file, f"#/schemas/{self.shared_name(file)}")

    def _alone(self, file: File) -> dict[str, Any]:
        """The schema of a file that refers to no other, with the addresses and anchors that it may have."""
        return _without_about(file, rewritten(file.schema, lambda part: _plain(file, part)))

    def _written(self, file: File, here: str) -> dict[str, Any]:
        """The schema of `file` as it stands at `here`, a fragment of the catalog or of itself."""
        if any(_ANCHORED & part.keys() or _has_id(part) for part in schemas_in(file.schema) if part is not file.schema):
            raise Unusable("it has anchors or addresses within it, and refers to other files or they to it")

        def change(part: dict[str, Any]) -> dict[str, Any]:
            kept = {name: value for name, value in _plain(file, part).items() if name not in ("$id", "$schema")}
            if isinstance(part.get("$ref"), str):
                target, fragment = self._target(file, part["$ref"])
                base = here if target.path == file.path else f"#/schemas/{self.shared_name(target)}"
                kept["$ref"] = base + fragment
            return kept

        found = rewritten(file.schema, change)
        found = _without_about(file, found)
        if file.old:
            found.pop("id", None)
        return found

    def _target(self, file: File, reference: str) -> tuple[File, str]:
        """The file that `reference` in `file` names, and the fragment within it: empty, or a JSON pointer."""
        address, fragment = urldefrag(joined(file.id, reference))
        if reference.startswith("#") or address in ("", file.id):
            target: File | None = file
        else:
            plain = unquote(urldefrag(reference)[0])
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), plain))
            target = self._by_id.get(address) or self._files.get(beside)
        if target is None:
            raise Unusable(f"it refers to {reference[:200]}, which is not among the files")
        if fragment and not fragment.startswith("/") and target is not file:
            raise Unusable(f"it refers to {reference[:200]}, an anchor of another file")
        return target, fragment


def without_ending(name: str) -> str:
    """The name of a file without `.schema.json` and the like."""
    while any(name.lower().endswith(ending) for ending in _ENDINGS):
        name = name.rpartition(".")[0]
    return name


def plain_name(text: str) -> str:
    """`text` in the letters that names of events and shared schemas may have; empty when none is left."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in text)
    return kept.lstrip("0123456789._-").rstrip("-.")[:_NAME_CHARS]


def _plain(file: File, part: Mapping[str, Any]) -> dict[str, Any]:
    """`part` of `file` without what is meant for people, and as its values come."""
    kept = {name: value for name, value in part.items() if name not in _TOLD_TO_PEOPLE}
    # what these schemas leave out of the JSON mapping of Protocol Buffers: 64-bit numbers are texts, NullValue is null
    if file.of_protobuf and kept.get("type") == "integer":
        kept |= {"type": ["integer", "string"], "pattern": "^-?[0-9]+$"}
    if file.of_protobuf and isinstance(kept.get("enum"), list) and "NULL_VALUE" in kept["enum"]:
        return {"enum": [*kept["enum"], None]}
    return kept


def _without_about(file: File, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if not (file.of_protobuf and name in _ABOUT)}


def _has_id(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("$id"), str)


def _shared_names(paths: list[str]) -> dict[str, str]:
    """A name for each path: as many of its last parts as tell it from all others."""
    left, names, parts = set(paths), dict[str, str](), 1
    while left:
        told = {path: plain_name(".".join(without_ending(path).split("/")[-parts:])) or "schema" for path in left}
        often = Counter(told.values())
        taken = set(names.values())
        for path in sorted(left):
            whole = parts >= len(path.split("/"))
            if told[path] not in taken and (often[told[path]] == 1 or whole):
                name = told[path]
            elif whole:
                name = next(one for n in range(2, len(paths) + 2) if (one := f"{told[path]}-{n}") not in taken)
            else:
                continue
            names[path] = name
            taken.add(name)
            left.discard(path)
        parts += 1
    return names

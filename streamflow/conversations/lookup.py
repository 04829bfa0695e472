"""Looking up a catalog, for a language model. Pure."""

from __future__ import annotations

import json
import re

from streamflow.definition.catalog import Catalog, EventSpec, OperationSpec
from streamflow.definition.syntax import nearest

_MOST = 12
_LONGEST = 20_000
_WORD = re.compile(r"[a-z0-9]+")

_Spec = EventSpec | OperationSpec


def search(catalog: Catalog, text: str) -> str:
    """The events and operations whose names and texts have most of the words of `text`, one a line; without a text all
    of them."""
    wanted = set(_WORD.findall(text.lower()))
    specs: list[_Spec] = [*catalog.events, *catalog.operations]
    scored = [(_score(one, wanted), one) for one in specs]
    found = [one for score, one in sorted(scored, key=lambda pair: -pair[0]) if score > 0 or not wanted]
    lines = [_line(one) for one in (found[:_MOST] if wanted else found)]
    return "\n".join(lines)[:_LONGEST] or "Nothing in the catalog has these words."


def entries(catalog: Catalog, names: list[str]) -> str:
    """The entries with these names, whole, one a line; what there is not is said."""
    known: dict[str, _Spec] = {one.name: one for one in catalog.operations}
    known |= {one.name: one for one in catalog.events}
    lines = []
    for name in names[:_MOST]:
        spec = known.get(name)
        if spec is None:
            near = nearest(name[:100], known)
            hint = f" Did you mean {near}?" if near else ""
            lines.append(f"There is no entry {name[:100]!a} in the catalog.{hint}")
        else:
            entry = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
            lines.append(json.dumps(entry, ensure_ascii=False, sort_keys=True))
    return "\n".join(lines)[:_LONGEST] or "No names were given."


def _line(spec: _Spec) -> str:
    kind = "event" if isinstance(spec, EventSpec) else "operation"
    return f"{kind} {spec.name}: {spec.title or spec.description or 'no title'}"


def _score(spec: _Spec, wanted: set[str]) -> int:
    named = set(_WORD.findall(spec.name.lower()))
    described = set(_WORD.findall(f"{spec.title or ''} {spec.description or ''}".lower()))
    return 2 * len(wanted & named) + len(wanted & described)

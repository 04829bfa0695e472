"""What to answer when a person names something that is not there: the names that are meant most likely."""

from __future__ import annotations

from collections.abc import Collection

from streamflow.definition.syntax import nearest_names
from streamflow.errors import Rejected
from streamflow.kafka.snapshot import Snapshot

_LISTED = 10  # names that a message lists


def remedy(name: str, names: Collection[str], kind: str) -> str:
    """The last sentence of a message that nothing is called `name`: the nearest of `names`, or else the first of them.
    `kind` says in the plural what they are."""
    if near := nearest_names(name, names):
        return f"Did you mean {' or '.join(near)}?"
    if not names:
        return f"There are no {kind}."
    return f"The {kind} are: {', '.join(sorted(names)[:_LISTED])}{', ...' if len(names) > _LISTED else ''}."


def require_definition(log: Snapshot, name: str) -> None:
    """Raises Rejected (`unknown_definition`) when no version of the definition `name` was ever published."""
    names = _definitions(log)
    if name not in names:
        text = f"No definition {name} was published. {remedy(name, names, 'definitions')}"
        raise Rejected("unknown_definition", text)


def unknown_version(log: Snapshot, name: str, version: str) -> Rejected:
    """The error (`version_unknown`) that `name@version` is not published; `version` is empty for the one in use."""
    versions = [known for called, known in log.versions if called == name]
    if not versions:
        text = f"No definition {name} was published. {remedy(name, _definitions(log), 'definitions')}"
    elif not version:
        text = f"No version of the definition {name} is in use, because all are retired. Publish a new one."
    else:
        text = f"The definition {name} has no version {version}. {remedy(version, versions, 'versions')}"
    return Rejected("version_unknown", text)


def _definitions(log: Snapshot) -> set[str]:
    return {name for name, _ in log.versions} | set(log.names)

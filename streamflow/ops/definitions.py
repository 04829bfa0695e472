"""Published definitions as people ask for them: the list, one version with all that is known of it, and what a run
follows."""

from __future__ import annotations

from typing import Any

import msgspec

from streamflow.definition.catalog import Binding, Catalog
from streamflow.definition.content import event_names
from streamflow.definition.diff import Added, Change, Removed, diff, sentences
from streamflow.definition.model import Definition
from streamflow.engine.transitions import RunStarted, Transition
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.unknown_names import unknown_version


def listed(log: Snapshot) -> list[dict[str, Any]]:
    """Every published version as JSON data, by name and the newest first within one. `state` is `starts runs`,
    `serves its runs`, `retired`, or `unapproved` where an approval is required and there is no valid one."""
    return [
        {
            "name": name,
            "version": version,
            "state": "retired"
            if record.retired
            else "unapproved"
            if log.refusal(name, version) is not None
            else "starts runs"
            if current_version(log, name) == version
            else "serves its runs",
            "published_ms": record.published_ms,
            "sha": record.sha,
            "approved_by": record.approval.by if record.approval is not None else None,
            "refusal": log.refusal(name, version),
        }
        for (name, version), record in sorted(
            log.versions.items(), key=lambda item: (item[0][0], -item[1].published_ms, -item[1].offset)
        )
    ]


def current_version(log: Snapshot, name: str) -> str | None:
    """The version of `name` that starts use; None: there is none."""
    return log.names[name].version if name in log.names else None


def resolve(log: Snapshot, reference: str) -> tuple[str, str]:
    """The name and version that `reference` (`name` or `name@version`) means: without a version the one that starts
    use, or else the newest. Raises Rejected (`version_unknown`)."""
    name, _, version = reference.partition("@")
    version = version or current_version(log, name) or log.newest(name) or ""
    if (name, version) not in log.versions:
        raise unknown_version(log, name, version)
    return name, version


def shown(log: Snapshot, name: str, version: str) -> dict[str, Any]:
    """A published version as JSON data: its content, and the topics that its events have here. Raises
    OperationError (`version_unreadable`)."""
    record = log.versions[name, version]
    definition, _ = log.read_version(name, version)
    content, offset = log.contents[record.sha]
    facts = {
        "name": name,
        "version": version,
        "sha": record.sha,
        "offset": offset,
        "retired": record.retired,
        "published_ms": record.published_ms,
    }
    parts: dict[str, Any] = msgspec.json.decode(content)
    bindings: dict[str, Any] = {
        event: _binding(log.bindings[event]) if event in log.bindings else None for event in event_names(definition)
    }
    return facts | parts | {"bindings": bindings}


def overview(log: Snapshot) -> list[dict[str, Any]]:
    """A row for each definition, by name: the version that starts use (or the newest, if all are retired), and how many
    there are."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in listed(log):
        found.setdefault(one["name"], []).append(one)
    rows = []
    for name, versions in found.items():
        shown = next((one for one in versions if one["state"] == "starts runs"), versions[0])
        try:
            title = log.read_version(name, shown["version"])[0].title
        except OperationError:
            title = None  # its content cannot be read; the page of the version says so
        rows.append(
            {
                "definition": name,
                "title": title,
                "version": shown["version"],
                "versions": len(versions),
                "published_ms": shown["published_ms"],
                "retired": shown["state"] == "retired",
            }
        )
    return rows


def compared(before: Definition, after: Definition) -> dict[str, Any]:
    """What differs between two definitions, as JSON data: sentences, and as `rows` each with the change that
    it describes: its `kind` (`added`, `removed`, `changed` or `moved`), its place, and what was and is written
    there."""
    changes = diff(before, after)
    texts = sentences(changes)
    return {
        "same": not changes,
        "changes": texts,
        "rows": [_row(change, text) for change, text in zip(changes, texts, strict=True)],
    }


def _row(change: Change, text: str) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": type(change).__name__.lower(), "at": "/".join(change.at), "text": text}
    if isinstance(change, Added):
        return row | {"before": None, "after": change.value}
    if isinstance(change, Removed):
        return row | {"before": change.value, "after": None}
    return row | {"before": change.before, "after": change.after}


def content_of_run(log: Snapshot, history: list[Transition]) -> tuple[Definition, Catalog]:
    """What the run of `history` follows. Raises Rejected (`version_unknown`) if that is no longer published,
    OperationError (`version_unreadable`)."""
    first = history[0]
    if isinstance(first.data, RunStarted):
        sha = first.data.sha
    else:
        record = log.versions.get((first.definition, first.version))
        sha = record.sha if record is not None else ""
    reference = f"{first.definition}@{first.version}"
    if sha not in log.contents:
        raise Rejected(
            "version_unknown",
            f"The content of {reference}, which {first.run} follows, is no longer among the published definitions. "
            "Publish that content again.",
        )
    return log.read_content(sha, reference)


def _binding(binding: Binding) -> dict[str, Any]:
    """A binding as it is shown to people: without the text of a schema."""
    return binding.model_dump(mode="json", exclude_none=True, exclude={"written": {"text", "references"}})

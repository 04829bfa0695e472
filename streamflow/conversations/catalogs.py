"""The catalogs of conversations, from their texts and from what is published."""

from __future__ import annotations

from streamflow.conversations.assistant import Catalogs
from streamflow.definition.syntax import parse_catalog
from streamflow.kafka.definitions import Snapshot
from streamflow.ops.catalog import published_operations, with_all


def catalogs_of(text: str | None, log: Snapshot) -> Catalogs:
    """The catalogs with the entries of `text`, or without one with the published events and the registered operations.
    Raises DefinitionError."""
    if text is None:
        events = log.catalog()
        own = events.model_copy(update={"operations": published_operations(log)})
    else:
        own = parse_catalog(text)
    return Catalogs(own=own, whole=with_all(own, log))

"""What routes to conversations share."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from streamflow.conversations.assistant import Assistant, Catalogs
from streamflow.conversations.catalogs import catalogs_of
from streamflow.conversations.service import Conversations
from streamflow.core.metrics import Metrics
from streamflow.definition.catalog import Catalog
from streamflow.errors import Rejected
from streamflow.settings import Settings
from streamflow.sidecar.conversation_bodies import IF_MATCH
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Right, needs
from streamflow.sidecar.problems import BODY_FAULTS

KNOWN = ("request_invalid", "conversation_unknown", "authoring_busy")
CHANGE = (*KNOWN, *BODY_FAULTS, "conversation_damaged", "conversation_full", "text_invalid")
EDIT = (
    *CHANGE,
    "revision_missing",
    "revision_conflict",
    "definition_invalid",
    "edit_malformed",
    "edit_target_unknown",
    "edit_breaks_shape",
    "edit_id_taken",
    "edit_orphans",
    "edit_circular",
    "edit_ambiguous",
    "edit_too_large",
    "draft_not_editable",
)
TURN = ("turn_open", "question_unknown", "model_missing", "model_unknown", "model_not_chosen")
READS = [needs(Right.READ_AUTHORING)]
EDITS = [needs(Right.EDIT_AUTHORING)]


def service_of(settings: Settings, log: Log, metrics: Metrics | None = None) -> Conversations:
    """What the routes stand on. `metrics` counts what language models take."""

    async def source(text: str | None) -> Catalogs:
        snapshot = await log.definitions()
        return await asyncio.to_thread(catalogs_of, text, snapshot)

    return Conversations(log.conversations, Assistant(settings, source, metrics))


async def _service(request: Request) -> Conversations:
    found = request.app.state.conversations
    assert isinstance(found, Conversations)
    return found


ServiceOf = Annotated[Conversations, Depends(_service)]


async def seen_in(value: Annotated[str | None, Header(alias="If-Match", description=IF_MATCH)] = None) -> int:
    """The revision that the request was made for. Raises Rejected (`revision_missing`)."""
    text = (value or "").strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Rejected(
            "revision_missing",
            "The header If-Match must name the revision that you have seen. Send the ETag of the conversation.",
        )
    return int(text)


SeenOf = Annotated[int, Depends(seen_in)]


async def told(service: Conversations, id: str, response: Response) -> dict[str, Any]:
    """The conversation as it is, with its revision as ETag."""
    now_ms = time.time_ns() // 1_000_000
    found = await service.read(lambda library: library.known(id).facts(now_ms))
    response.headers["ETag"] = f'"{found["revision"]}"'
    return found


async def catalog_of(service: Conversations, id: str) -> Catalog:
    text = await service.read(lambda library: library.known(id).catalog)
    return await service.catalog(text)

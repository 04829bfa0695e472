"""`/conversations/{conversation}/scenarios`: scenarios that are kept for a draft, and played whenever it changes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.conversations import drafting, kept_scenarios
from streamflow.conversations.library import Library
from streamflow.conversations.service import Conversations
from streamflow.definition.catalog import Catalog
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.scenarios import Performance
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.conversation_state import (
    CHANGE,
    EDITS,
    KNOWN,
    READS,
    ServiceOf,
    catalog_of,
    conversation_answer,
)
from streamflow.sidecar.definitions import scenarios_text
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import PrincipalOf
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import LogOf

router = APIRouter(
    prefix=f"{API_PATH}/conversations/{{conversation}}/scenarios", tags=["conversations"], route_class=JsonRoute
)

_log = structlog.get_logger(__name__)
_playing = asyncio.Semaphore(1)  # each takes a processor


class ToKeep(BaseModel):
    """Scenarios."""

    model_config = ConfigDict(extra="forbid")

    scenarios: str | dict[str, Any] = Field(
        description="the scenarios, as in scenarios.yaml; an empty list removes all",
        examples=[{"scenarios": []}],
    )


class ToExpect(BaseModel):
    """Which scenarios."""

    model_config = ConfigDict(extra="forbid")

    names: list[str] | None = Field(default=None, max_length=kept_scenarios.MOST, description="default: all of them")


@router.get("", responses=declared(*KNOWN, "draft_unknown", "version_unreadable"), dependencies=READS)
async def show(
    conversation: str,
    service: ServiceOf,
    log: LogOf,
    revision: Annotated[int | None, Query(ge=1, description="else the current one")] = None,
) -> dict[str, Any]:
    """The scenarios that are kept, and how they go on a revision of the draft: whether as they expect, and their paths.
    `trouble` says why they cannot be played on it; `text` is what is approved and published with the draft."""
    scenarios = await service.read(lambda library: library.known(conversation).scenarios)
    number, found = await performed(service, log, conversation, revision)
    facts = {"ok": False, "scenarios": [], "untaken": []} if isinstance(found, str) else found.facts()
    return {
        "revision": number,
        "kept": scenarios.get("scenarios", []),
        "text": scenarios_text(scenarios or None),
        "played": facts,
        "trouble": found if isinstance(found, str) else None,
    }


@router.put("", responses=declared(*CHANGE, *BODY_FAULTS, "scenarios_invalid"), dependencies=EDITS)
async def keep(
    conversation: str, body: ToKeep, service: ServiceOf, log: LogOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Keeps scenarios instead of those that are kept, and plays them. From then on they are played at each
    change of the draft; the conversation says in `played` which of them do not go as they expect."""
    await service.change(
        conversation, principal.name, lambda state, _now_ms: kept_scenarios.keep(state, body.scenarios)
    )
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post("/proposals", responses=declared(*KNOWN, "definition_invalid"), dependencies=EDITS)
async def propose(
    conversation: str,
    service: ServiceOf,
    seed: Annotated[int, Query(ge=0, le=1_000_000, description="the same seed gives the same events")] = 1,
) -> dict[str, Any]:
    """Scenarios that fit the draft: events made from the schemas, with values for both sides of each branch, and their
    results. None of them is kept. `untaken` are steps and outcomes that none reaches; `reason` says why no event can be
    made."""
    catalog = await catalog_of(service, conversation)
    text = await service.read(lambda library: library.known(conversation).revision.text)
    async with _playing:
        return await asyncio.to_thread(kept_scenarios.proposed, text, catalog, seed)


@router.post(
    "/expect", responses=declared(*CHANGE, *BODY_FAULTS, "no_scenario", "version_unreadable"), dependencies=EDITS
)
async def expect(
    conversation: str, body: ToExpect, service: ServiceOf, log: LogOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Has scenarios expect their results now: the change was meant. Nothing where they cannot be played."""
    _, found = await performed(service, log, conversation, None)
    if isinstance(found, Performance):
        await service.change(
            conversation, principal.name, lambda state, _now_ms: kept_scenarios.expect(state, found, body.names)
        )
        await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


async def performed(service: Conversations, log: Log, id: str, revision: int | None) -> tuple[int, Performance | str]:
    """A revision, and how the kept scenarios play on it; without any nothing is played. Raises OperationError, and
    Rejected (`conversation_unknown`, `draft_unknown`)."""

    def look(library: Library) -> tuple[int, str, dict[str, Any], str | None]:
        state = library.known(id)
        found = drafting.known(state, revision or state.current)
        return found.number, found.text, state.scenarios, state.catalog

    number, text, scenarios, catalog_text = await service.read(look)
    snapshot, catalog = await log.definitions(), await service.catalog(catalog_text)
    return number, await played_on(text, scenarios, catalog, snapshot)


async def played_on(text: str, scenarios: dict[str, Any], catalog: Catalog, snapshot: Snapshot) -> Performance | str:
    """How scenarios play on a draft, or why they cannot be played. One performance at a time."""
    async with _playing:
        return await asyncio.to_thread(kept_scenarios.performance, text, scenarios, catalog, snapshot)


async def play_again(service: Conversations, log: Log, id: str, by: str) -> None:
    """Plays the kept scenarios on the current revision, and writes how they went; the change before it stands, whether
    that can be done or not."""
    try:
        scenarios = await service.read(lambda library: library.known(id).scenarios)
        if not scenarios:
            return
        number, found = await performed(service, log, id, None)
        await service.change(
            id,
            by,
            lambda state, _now_ms: (
                [kept_scenarios.outcome(state, number, found)]
                if (state.current, state.scenarios) == (number, scenarios)
                else []
            ),
        )
    except (OperationError, Rejected) as error:
        _log.warning("scenarios_not_played", conversation=id, code=error.code, error=error.message)

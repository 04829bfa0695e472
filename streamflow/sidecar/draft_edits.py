"""`/conversations/{conversation}`: changes of its draft, and comments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from streamflow.conversations import drafting
from streamflow.conversations.conversation import Conversation
from streamflow.conversations.events import Event
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.conversation_bodies import Branch, Chosen, Comment, Edit
from streamflow.sidecar.conversation_state import (
    CHANGE,
    EDIT,
    EDITS,
    TURN,
    SeenOf,
    ServiceOf,
    catalog_of,
    conversation_answer,
    seen_in,
)
from streamflow.sidecar.draft_scenarios import play_again
from streamflow.sidecar.principal import PrincipalOf
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix=f"{API_PATH}/conversations/{{conversation}}", tags=["conversations"], route_class=JsonRoute)


@router.post("/operations", responses=declared(*EDIT), dependencies=EDITS)
async def edit(
    conversation: str,
    body: Edit,
    seen: SeenOf,
    service: ServiceOf,
    log: LogOf,
    principal: PrincipalOf,
    response: Response,
) -> dict[str, Any]:
    """Changes the draft: by typed operations, all of them or none, or by a whole text. Needs `If-Match`; 409 when
    another revision is the current one by now. The answer has what changed in English, and the new problems."""
    catalog = await catalog_of(service, conversation)

    def decide(state: Conversation, _now_ms: int) -> Sequence[Event]:
        if body.text is not None:
            return drafting.write(state, body.text, catalog, seen=seen, by=principal.name)
        return drafting.edit(state, body.operations, catalog, seen=seen, by=principal.name)

    await service.change(conversation, principal.name, decide)
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post("/undo", responses=declared(*EDIT, "nothing_to_undo"), dependencies=EDITS)
async def undo(
    conversation: str, seen: SeenOf, service: ServiceOf, log: LogOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Makes the revision before the current one the current one. Needs `If-Match`. Nothing is lost: see `redo`."""
    await service.change(conversation, principal.name, lambda state, _now_ms: drafting.undo(state, seen=seen))
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post("/redo", responses=declared(*EDIT, "nothing_to_redo"), dependencies=EDITS)
async def redo(
    conversation: str, seen: SeenOf, service: ServiceOf, log: LogOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Makes what was undone last the current revision again. Needs `If-Match`."""
    await service.change(conversation, principal.name, lambda state, _now_ms: drafting.redo(state, seen=seen))
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post("/branch", responses=declared(*EDIT, "draft_unknown"), dependencies=EDITS)
async def branch(
    conversation: str,
    body: Branch,
    seen: SeenOf,
    service: ServiceOf,
    log: LogOf,
    principal: PrincipalOf,
    response: Response,
) -> dict[str, Any]:
    """Makes any revision the current one; what is changed then is a branch of it. Needs `If-Match`."""
    await service.change(
        conversation, principal.name, lambda state, _now_ms: drafting.branch(state, body.revision, seen=seen)
    )
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post(
    "/accept",
    responses={
        202: {"description": "A yes to what was understood"},
        **declared(*EDIT, *TURN, "nothing_proposed", "operation_closed"),
    },
    dependencies=EDITS,
)
async def accept(
    conversation: str,
    body: Chosen,
    service: ServiceOf,
    log: LogOf,
    principal: PrincipalOf,
    request: Request,
    response: Response,
) -> dict[str, Any]:
    """Says yes: to the proposed operations, or to some of them, which makes a new revision (`If-Match` is needed); or
    where nothing is proposed to what the assistant understood, and its turn continues (202, with the turn)."""
    waiting = await service.read(lambda library: library.known(conversation).proposal is not None)
    if not waiting and body.proposal is None and body.operations is None:
        turn = await service.confirm(conversation, principal.name, model=body.model)
        response.status_code = 202
        return {"conversation": conversation, "turn": turn}
    seen = await seen_in(request.headers.get("if-match"))
    catalog = await catalog_of(service, conversation)

    def decide(state: Conversation, _now_ms: int) -> Sequence[Event]:
        made = drafting.accept(
            state, catalog, seen=seen, by=principal.name, proposal=body.proposal, operations=body.operations
        )
        return [*made, *drafting.asked_about(state, made, catalog)]

    await service.change(conversation, principal.name, decide)
    await play_again(service, log, conversation, principal.name)
    return await conversation_answer(service, conversation, response)


@router.post(
    "/reject",
    responses=declared(*CHANGE, "nothing_proposed", "operation_closed"),
    dependencies=EDITS,
)
async def reject(
    conversation: str, body: Chosen, service: ServiceOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Says no to the proposed operations, or to some of them; the others still wait."""
    await service.change(
        conversation,
        principal.name,
        lambda state, _now_ms: drafting.reject(state, proposal=body.proposal, operations=body.operations),
    )
    return await conversation_answer(service, conversation, response)


@router.post("/comments", status_code=201, responses=declared(*CHANGE, "draft_unknown"), dependencies=EDITS)
async def comment(
    conversation: str, body: Comment, service: ServiceOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Comments on a revision, or on a place in it."""
    await service.change(
        conversation,
        principal.name,
        lambda state, _now_ms: drafting.comment(state, body.text, revision=body.revision, address=body.address),
    )
    return await conversation_answer(service, conversation, response)

"""`/conversations`: drafts that people and the assistant write together, as a log of what happened."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response

from streamflow.authoring.draft import Draft
from streamflow.conversations import decisions
from streamflow.conversations.entries import Entry
from streamflow.conversations.library import Library
from streamflow.conversations.service import Conversations
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.conversation_bodies import Answered, Cancel, Message, NewConversation, Renaming, Share
from streamflow.sidecar.conversation_state import CHANGE, EDITS, KNOWN, READS, TURN, ServiceOf, conversation_answer
from streamflow.sidecar.event_streams import EventStream
from streamflow.sidecar.principal import PrincipalOf, Right, actor
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import IdentityOf, StreamsOf, audited

router = APIRouter(prefix=f"{API_PATH}/conversations", tags=["conversations"], route_class=JsonRoute)
shared = APIRouter(prefix=f"{API_PATH}/shared", tags=["conversations"])

_PAGE = 1000


@router.post(
    "",
    status_code=201,
    responses=declared(
        *CHANGE, "definition_invalid", "too_many_conversations", "draft_not_editable", "version_unreadable"
    ),
    dependencies=EDITS,
)
async def start(
    body: NewConversation, service: ServiceOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Starts a conversation: with a draft, or with one that has no steps yet; with a catalog, or for what is
    published."""
    id = await service.start(principal.name, title=body.title, text=_text(body.definition), catalog=_text(body.catalog))
    return await conversation_answer(service, id, response)


@router.get("", responses=declared("request_invalid", "authoring_busy"), dependencies=READS)
async def list_(
    service: ServiceOf,
    title: Annotated[
        str, Query(max_length=200, description="only those whose title contains this text, in small or large letters")
    ] = "",
    cursor: Annotated[int, Query(ge=0, description="`next` of the previous page")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """The conversations, the one that changed last first."""
    wanted = title.casefold()

    def page(library: Library) -> list[dict[str, Any]]:
        found = [one for one in library.conversations() if wanted in one.title.casefold()]
        return [one.row() for one in found[cursor : cursor + limit + 1]]

    rows = await service.read(page)
    return {"rows": rows[:limit], "next": cursor + limit if len(rows) > limit else None}


@router.get("/{conversation}", responses=declared(*KNOWN), dependencies=READS)
async def show(conversation: str, service: ServiceOf, response: Response) -> dict[str, Any]:
    """A conversation as it is: its draft, revisions, messages, what waits for a yes, comments. The `ETag` is the
    current revision, which changes name in `If-Match`."""
    return await conversation_answer(service, conversation, response)


@router.patch("/{conversation}", responses=declared(*CHANGE), dependencies=EDITS)
async def rename(
    conversation: str, body: Renaming, service: ServiceOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Gives a conversation another title."""
    await service.change(conversation, principal.name, lambda state, _now_ms: decisions.rename(state, body.title))
    return await conversation_answer(service, conversation, response)


@router.delete("/{conversation}", status_code=204, responses=declared(*KNOWN), dependencies=EDITS)
async def delete(conversation: str, service: ServiceOf, identity: IdentityOf, principal: PrincipalOf) -> None:
    """Deletes a conversation with all its revisions. An open turn of the assistant ends."""
    before = await service.read(lambda library: library.known(conversation).row())
    await audited(identity, actor(principal), "conversation.delete", conversation, before=before)
    await service.delete(conversation)


@router.post("/{conversation}/messages", status_code=202, responses=declared(*CHANGE, *TURN), dependencies=EDITS)
async def send(conversation: str, body: Message, service: ServiceOf, principal: PrincipalOf) -> dict[str, Any]:
    """Sends a message, or the answer to an open question, and begins the assistant's turn, which is followed by
    `GET /conversations/{conversation}/events`. One turn at a time."""
    answer = body.answer or Answered(question=None, choice=None)
    turn = await service.say(
        conversation,
        principal.name,
        body.text,
        mode=body.mode,
        model=body.model,
        question=answer.question,
        choice=answer.choice,
    )
    return {"conversation": conversation, "turn": turn}


@router.post("/{conversation}/cancel", responses=declared(*CHANGE), dependencies=EDITS)
async def cancel(
    conversation: str, service: ServiceOf, principal: PrincipalOf, response: Response, body: Cancel | None = None
) -> dict[str, Any]:
    """Ends the assistant's open turn at once; nothing more of it is taken. There need not be one."""
    await service.cancel(conversation, principal.name, body.turn if body is not None else None)
    return await conversation_answer(service, conversation, response)


@router.get(
    "/{conversation}/events",
    responses={200: {"content": {"text/event-stream": {}}}, **declared(*KNOWN, "cursor_invalid")},
    dependencies=READS,
    response_model=None,
)
async def events(
    conversation: str,
    request: Request,
    service: ServiceOf,
    identity: IdentityOf,
    streams: StreamsOf,
    principal: PrincipalOf,
    after: Annotated[
        int, Query(ge=0, description="only entries with a greater number: `next` of the previous page")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 200,
    accept: Annotated[str, Header(description="`text/event-stream` for a continuous stream")] = "application/json",
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", description="as `after`, sent by a client that reconnects")
    ] = None,
) -> EventStream | dict[str, Any]:
    """What happened in a conversation, entry by entry: as a page, or as server-sent events that continue until the
    conversation is deleted. The `id` of an event is its number, so a client that lost the connection continues where it
    was. The last event of a stream is `end`, with the `code` and the `detail` of the reason, such as that the caller
    may no longer read it."""
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 10):
        raise Rejected("cursor_invalid", f"Last-Event-ID is {last[:50]!a}, which is not the number of an entry.")
    from_seq = int(last) if last is not None else after
    if "text/event-stream" not in accept:
        rows = await service.read(lambda library: library.entries(conversation, from_seq, limit))
        return {"rows": [one.facts() for one in rows], "next": rows[-1].seq if rows else from_seq}
    await service.read(lambda library: library.known(conversation))
    return EventStream(
        _entry_events(service, conversation, from_seq),
        place=streams.enter(principal, "conversation"),
        request=request,
        identity=identity,
        may_read=lambda found: found.require(Right.READ_AUTHORING),
    )


@router.post("/{conversation}/share", status_code=201, responses=declared(*CHANGE), dependencies=EDITS)
async def share(
    conversation: str, body: Share, service: ServiceOf, identity: IdentityOf, principal: PrincipalOf
) -> dict[str, Any]:
    """Makes a link by which anybody can read the conversation, and nothing else, for some days. An earlier link of it
    becomes invalid."""
    token = secrets.token_urlsafe(32)
    for_ms = body.days * 24 * 3_600_000
    await service.read(lambda library: library.known(conversation))
    await audited(identity, actor(principal), "conversation.share", conversation, after={"days": body.days})
    await service.change(
        conversation,
        principal.name,
        lambda state, now_ms: decisions.share(state, token, for_ms=for_ms, now_ms=now_ms),
    )
    return {"conversation": conversation, "token": token, "days": body.days}


@shared.get("/{token}", responses=declared("request_invalid", "share_unknown", open_to_all=True))
async def show_shared(token: str, service: ServiceOf) -> dict[str, Any]:
    """A conversation by its link: title, draft with its content as data, revisions and comments, to read. Needs no
    rights; the token is the right."""
    now_ms = time.time_ns() // 1_000_000
    sha = decisions.token_sha(token)
    found = await service.read(lambda library: library.shared(sha, now_ms).facts(now_ms))
    content = await asyncio.to_thread(lambda: Draft.parse(found["draft"]["text"]).content)
    shared = {
        name: found[name] for name in ("title", "draft", "revisions", "comments", "updated_ms", "shared_until_ms")
    }
    return shared | {"content": content}


async def _entry_events(service: Conversations, id: str, after: int) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(service.watch(id, after)) as watched:
        async for entries in watched:
            if entries:
                yield b"".join(map(_event, entries))


def _event(entry: Entry) -> bytes:
    found = entry.facts()
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (entry.seq, str(found["type"]).encode(), msgspec.json.encode(found))


def _text(given: str | dict[str, Any] | None) -> str | None:
    """A definition or a catalog as text: JSON is YAML, too."""
    if given is None or isinstance(given, str):
        return given
    return msgspec.json.encode(given).decode()

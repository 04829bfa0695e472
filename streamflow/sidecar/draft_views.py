"""`/conversations/{conversation}`: its draft to look at: a revision, what changed between two, and what a proposal
would make of it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query

from streamflow.authoring.difference import difference
from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Revision as Applied
from streamflow.authoring.problems import problems_of
from streamflow.authoring.statements import facts, statements
from streamflow.conversations import drafting, kept_scenarios
from streamflow.conversations.library import Library
from streamflow.definition.catalog import Catalog
from streamflow.definition.mermaid import mermaid
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.conversation_state import EDIT, KNOWN, READS, ServiceOf, catalog_of
from streamflow.sidecar.draft_scenarios import played_on
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix=f"{API_PATH}/conversations/{{conversation}}", tags=["conversations"])


@router.get("/revisions/{revision}", responses=declared(*KNOWN, "draft_unknown"), dependencies=READS)
async def revision(conversation: str, revision: int, service: ServiceOf) -> dict[str, Any]:
    """A revision: its text, what it says in English, its problems, its content as data, and its diagram as Mermaid."""
    catalog = await catalog_of(service, conversation)
    found = await service.read(lambda library: drafting.known(library.known(conversation), revision))
    return await asyncio.to_thread(lambda: found.facts(whole=True) | _looked_at(Draft.parse(found.text), catalog))


@router.get("/diff", responses=declared(*KNOWN, "draft_unknown"), dependencies=READS)
async def diff(
    conversation: str,
    service: ServiceOf,
    from_: Annotated[int, Query(alias="from", ge=1)],
    to: Annotated[int, Query(ge=1)],
) -> dict[str, Any]:
    """What changed between two revisions: typed, in English, and as a colour for each step."""
    catalog = await catalog_of(service, conversation)
    old, new = await service.read(
        lambda library: [drafting.known(library.known(conversation), number) for number in (from_, to)]
    )
    found = await asyncio.to_thread(lambda: difference(Draft.parse(old.text), Draft.parse(new.text), catalog))
    return {"from": from_, "to": to, "changes": found.facts(), "sentences": found.sentences, "colours": found.colours}


@router.get(
    "/preview",
    responses=declared(*EDIT, "nothing_proposed", "operation_closed", "version_unreadable"),
    dependencies=READS,
)
async def preview(
    conversation: str,
    service: ServiceOf,
    log: LogOf,
    operations: Annotated[
        list[int] | None, Query(description="index of the proposed operation, from 0; default: all undecided")
    ] = None,
) -> dict[str, Any]:
    """The draft as it would be with the proposed operations, which change nothing here: as a revision, with what would
    change in English and as a colour for each step, and which of the kept scenarios would not go as they expect."""
    catalog = await catalog_of(service, conversation)

    def look(library: Library) -> tuple[int, Applied, dict[str, Any]]:
        state = library.known(conversation)
        return state.current, drafting.preview(state, catalog, operations), state.scenarios

    number, made, scenarios = await service.read(look)
    snapshot = await log.definitions()
    played = await played_on(made.draft.text, scenarios, catalog, snapshot)
    shown = await asyncio.to_thread(_looked_at, made.draft, catalog)
    return shown | {
        "base": number,
        "text": made.draft.text,
        "sha": made.draft.sha,
        "sentences": made.difference.sentences,
        "colours": made.difference.colours,
        "different": [] if isinstance(played, str) else kept_scenarios.different(played),
        "trouble": played if isinstance(played, str) else None,
    }


def _looked_at(draft: Draft, catalog: Catalog) -> dict[str, Any]:
    return {
        "content": draft.content,
        "statements": facts(statements(draft, catalog)),
        "problems": [_problem(one) for one in problems_of(draft, catalog)],
        "mermaid": mermaid(draft.definition) if draft.definition.steps else None,
    }


def _problem(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("code", "pointer", "severity", "message", "fix")}

"""`POST /conversations/{conversation}/approvals`: approving the draft of a conversation."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from streamflow.approvals.approval import Source
from streamflow.conversations import drafting
from streamflow.conversations.library import Library
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.conversation_state import KNOWN, ServiceOf
from streamflow.sidecar.definition_approvals import APPROVE, Approving, approved, reported
from streamflow.sidecar.definitions import SUBMIT, Handed, handed_in, scenarios_text
from streamflow.sidecar.principal import PrincipalOf, Right, needs
from streamflow.sidecar.problems import declared
from streamflow.sidecar.state import LogOf, StateOf

router = APIRouter(prefix=f"{API_PATH}/conversations/{{conversation}}", tags=["conversations"], route_class=JsonRoute)


class ToApproveDraft(Approving):
    """What a person approves."""

    revision: int = Field(ge=1, description="the revision that was reviewed", examples=[1])


@router.post(
    "/approvals",
    status_code=201,
    responses=declared(*KNOWN, *SUBMIT, *APPROVE, "draft_unknown"),
    dependencies=[needs(Right.APPROVE_DEFINITIONS), needs(Right.READ_AUTHORING)],
)
async def approve(
    conversation: str, body: ToApproveDraft, service: ServiceOf, log: LogOf, state: StateOf, principal: PrincipalOf
) -> dict[str, Any]:
    """Checks a revision of the draft, plays the scenarios that are kept, and signs an approval of exactly this content
    and report. The authors are those of the revision, and the approval names the conversation: from a run by it a chain
    leads back to what was said. `scenarios` is the text of the scenarios, for publishing."""

    def look(library: Library) -> tuple[Any, str | None, dict[str, Any]]:
        known = library.known(conversation)
        return drafting.known(known, body.revision), known.catalog, known.scenarios

    revision, catalog, kept = await service.read(look)
    scenarios = scenarios_text(kept or None)
    found = await handed_in(Handed(definition=revision.text, catalog=catalog), log, state, contradictions=True)
    report = await reported(body, found, scenarios, log, principal)
    source = Source(conversation=conversation, revision=revision.number)
    done = await approved(body, report, log, state, principal, authors=revision.authors, source=source)
    return done | {"scenarios": scenarios}

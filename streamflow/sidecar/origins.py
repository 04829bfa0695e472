"""Where a run or a version comes from: its content, the approval of it, and what was said in the conversation in which
it was written."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter

from streamflow.approvals.approval import Approval, Source
from streamflow.conversations.library import Library
from streamflow.conversations.origin import origin
from streamflow.conversations.service import Conversations
from streamflow.engine.transitions import RunStarted
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.definitions import resolve
from streamflow.sidecar.conversation_state import ServiceOf
from streamflow.sidecar.definitions import READ
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, needs, needs_for_name
from streamflow.sidecar.problems import declared
from streamflow.sidecar.run_views import history_of
from streamflow.sidecar.state import LogOf

router = APIRouter(prefix=API_PATH, tags=["runs"])


@router.get(
    "/runs/{run}/origin",
    responses=declared("request_invalid", "no_run_id", "run_unknown", "authoring_busy"),
    dependencies=[needs(Right.READ_RUNS)],
)
async def of_run(run: str, log: LogOf, service: ServiceOf, principal: PrincipalOf) -> dict[str, Any]:
    """From a run back to the sentence: the sha256 of its content, the approval of that, the conversation and its
    revision, and each change that made it, with its operations and with what people said. `ends` says where the chain
    ends before that, and why."""
    first = (await history_of(log, principal, run))[0]
    snapshot = await log.definitions()
    record = snapshot.versions.get((first.definition, first.version))
    sha = first.data.sha if isinstance(first.data, RunStarted) else record.sha if record is not None else ""
    found = await _chain(snapshot, service, principal, first.definition, first.version, sha)
    return {"run": run, **found}


@router.get(
    "/definitions/{name}/versions/{version}/origin",
    responses=declared(*READ, "authoring_busy"),
    dependencies=[needs_for_name(Right.READ_DEFINITIONS)],
)
async def of_version(name: str, version: str, log: LogOf, service: ServiceOf, principal: PrincipalOf) -> dict[str, Any]:
    """From a version back to the sentence, as for a run."""
    snapshot = await log.definitions()
    resolve(snapshot, f"{name}@{version}")
    return await _chain(snapshot, service, principal, name, version, snapshot.versions[name, version].sha)


async def _chain(
    snapshot: Snapshot, service: Conversations, principal: Principal, name: str, version: str, sha: str
) -> dict[str, Any]:
    record, kept = snapshot.versions.get((name, version)), snapshot.approvals.get(sha)
    published = record if record is not None and record.sha == sha else None
    approval = published.approval if published is not None else kept.approval if kept is not None else None
    facts: dict[str, Any] = {
        "definition": name,
        "version": version,
        "sha": sha,
        "published_ms": published.published_ms if published is not None else None,
        "approval": msgspec.to_builtins(approval) if approval is not None else None,
        "conversation": None,
        "changes": [],
        "ends": None,
    }
    found, ends = await _written(service, principal, approval)
    return facts | found | {"ends": ends}


async def _written(
    service: Conversations, principal: Principal, approval: Approval | None
) -> tuple[dict[str, Any], str | None]:
    """The conversation and the changes, or why they are not shown."""
    if approval is None:
        return {}, "The version was published without an approval, so nothing says where it was written."
    source = approval.source
    if not isinstance(source, Source):
        return {}, "The approval names no conversation: the definition was written elsewhere."
    if not principal.may(Right.READ_AUTHORING):
        return {}, f"It was written in a conversation, and {principal.name} lacks the right {Right.READ_AUTHORING}."

    def look(library: Library) -> dict[str, Any]:
        state = library.known(source.conversation)
        changes = origin(library.entries(source.conversation, 0, state.seq), source.revision)
        return {
            "conversation": {
                "conversation": state.id,
                "title": state.title,
                "revision": source.revision,
            },
            "changes": changes,
        }

    try:
        return await service.read(look), None
    except Rejected:
        return {}, f"The conversation {source.conversation} is deleted, or it is one of another environment."

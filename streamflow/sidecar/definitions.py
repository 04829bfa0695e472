"""`/definitions`: what is published, as text and as pictures; checking and publishing what authors wrote."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, child_names, sha256_of
from streamflow.definition.graph import Graph, kind_of, outcomes_of
from streamflow.definition.mermaid import mermaid
from streamflow.definition.model import Definition
from streamflow.definition.outline import outline
from streamflow.definition.syntax import to_yaml
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.operations.callbacks import API_PATH
from streamflow.ops.catalog import CatalogResolver
from streamflow.ops.contradictions import definitions_contradicted
from streamflow.ops.definition_approvals import read_approval, require_approval
from streamflow.ops.definitions import compared, current_version, listed, overview, resolve, shown
from streamflow.ops.publishing import topics_of, words_of
from streamflow.ops.scenarios import read_scenarios
from streamflow.ops.submissions import Submission, submitted
from streamflow.sidecar import drawing
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.log import Log
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs, needs_for_name
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import IdentityOf, LogOf, State, StateOf, audited

router = APIRouter(prefix=f"{API_PATH}/definitions", tags=["definitions"], route_class=JsonRoute)

READ = ("request_invalid", "unknown_definition", "version_unknown", "version_unreadable")
SUBMIT = (*BODY_FAULTS, "definition_invalid", "version_unreadable")
_PUBLISH = (
    *SUBMIT,
    "hash_mismatch",
    "version_taken",
    "version_retired",
    "child_unknown",
    "definition_too_large",
    "topic_reserved",
    "scenarios_invalid",
    "approval_missing",
    "approval_mismatch",
    "approval_invalid",
    "approval_own_work",
    "approval_key_invalid",
    "not_allowed",
    "subject_unknown",
    "schema_incompatible",
    "schema_misfit",
    "schema_unusable",
    "registry_refused",
    "registry_unavailable",
    "registry_unset",
    "registry_unusable",
    "extra_missing",
    "secret_missing",
)


class Body(BaseModel):
    """A closed body in JSON."""

    model_config = ConfigDict(extra="forbid")


class Handed(Body):
    """A definition and its catalog, each as YAML or JSON text, or as data."""

    definition: str | dict[str, Any] = Field(description="the definition", examples=["streamflow: '1'\nname: refund\n"])
    catalog: str | dict[str, Any] | None = Field(default=None, description="its catalog; default: the published events")


class ToPublish(Handed):
    """The same, to be published."""

    change_events: bool = Field(
        default=False,
        description="publish although an event changes for another published definition; needs the right to publish "
        "that one too",
    )
    create_topics: bool = Field(default=False, description="create topics of the catalog that do not exist")
    hash: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="the sha256 of the content that was reviewed; other content is refused",
    )
    scenarios: str | dict[str, Any] | None = Field(
        default=None, description="scenarios that are published with the version; publishing again replaces them"
    )
    approval: dict[str, Any] | None = Field(
        default=None,
        description="the approval of this content, as the approve request returned it; default: the recorded one",
    )
    by: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="who publishes; default, and the only name allowed, for a user: their own",
    )


@router.get("", responses=declared("request_invalid"), dependencies=[needs(Right.READ_DEFINITIONS)])
async def list_(log: LogOf, principal: PrincipalOf) -> dict[str, Any]:
    """A row for each definition, by name, with the version that starts use."""
    rows = await asyncio.to_thread(overview, await log.definitions())
    return {"rows": [row for row in rows if principal.may(Right.READ_DEFINITIONS, row["definition"])], "next": None}


@router.post("/check", responses=declared(*SUBMIT), dependencies=[needs(Right.READ_DEFINITIONS)])
async def check(body: Handed, log: LogOf, state: StateOf) -> dict[str, Any]:
    """Everything that is wrong with a definition: place, what, and what to do. It need not be right to be answered with
    200. With `ok` comes the sha256 of its content."""
    found = await handed_in(body, log, state, contradictions=False)
    answer: dict[str, Any] = {"ok": found.ok, "problems": [one.facts() for one in found.problems]}
    if found.definition is not None:
        answer |= {"name": found.definition.name, "version": found.definition.version}
    if found.ok and found.definition is not None and found.catalog is not None:
        answer["hash"] = sha256_of(canonical(found.definition, found.catalog))
    return answer


@router.post(
    "/publish",
    status_code=201,
    responses={200: {"description": "It was published already"}, **declared(*_PUBLISH)},
    dependencies=[needs(Right.PUBLISH_DEFINITIONS)],
)
async def publish(
    body: ToPublish, log: LogOf, state: StateOf, principal: PrincipalOf, response: Response
) -> dict[str, Any]:
    """Checks a definition and publishes it: matching events start runs of it from now on. A version is published once
    and for all. Where approvals are required, it needs one of exactly this content by another person. `warnings` are
    sentences. 200: the same content was published before."""
    found = await handed_in(body, log, state, contradictions=True, change=body.change_events)
    definition, catalog = found.usable()
    principal.require(Right.PUBLISH_DEFINITIONS, definition.name)
    for child, _ in child_names(definition):
        principal.require(Right.START_RUNS, child)
    if body.change_events:
        _require_events(principal, definition, catalog, await log.definitions())
    sha = sha256_of(canonical(definition, catalog))
    if body.hash is not None:
        require_hash(body.hash, sha)
    scenarios = scenarios_text(body.scenarios)
    by = acting(principal, body.by)
    approval = read_approval(body.approval) if body.approval is not None else None
    require_approval(
        state.settings, await log.definitions(), definition, sha, by=by, approval=approval, scenarios=scenarios
    )
    missing = await log.missing_topics(topics_of(definition, catalog))
    await _account_for_publication(body, definition, sha, log, state, principal)
    if body.create_topics and missing:
        await log.create_topics(missing)
        missing = []
    done = await log.publish(definition, catalog, scenarios=scenarios, approval=approval, by=by)
    response.status_code = 200 if done.already else 201
    facts = asdict(done)
    return facts | {
        "missing_topics": missing,
        "warnings": words_of(done, catalog, missing),
        "problems": [one.facts() for one in found.problems],
    }


@router.get("/{name}", responses=declared(*READ), dependencies=[needs_for_name(Right.READ_DEFINITIONS)])
async def show(name: str, log: LogOf) -> dict[str, Any]:
    """A definition: the version that starts use, and all its versions."""
    snapshot = await log.definitions()
    resolve(snapshot, name)
    (head,) = [one for one in overview(snapshot) if one["definition"] == name]
    rows = [one for one in listed(snapshot) if one["name"] == name]
    return head | {"current": current_version(snapshot, name), "rows": rows}


@router.get("/{name}/diff", responses=declared(*READ), dependencies=[needs_for_name(Right.READ_DEFINITIONS)])
async def diff(
    name: str,
    log: LogOf,
    before: Annotated[str, Query(alias="from", description="a version")],
    after: Annotated[str | None, Query(alias="to", description="a version; default: the one that new runs use")] = None,
) -> dict[str, Any]:
    """What differs between two versions: an English sentence for each change, and the change with its place."""
    snapshot = await log.definitions()
    old, new = resolve(snapshot, f"{name}@{before}"), resolve(snapshot, f"{name}@{after or ''}")
    found = compared(snapshot.read_version(*old)[0], snapshot.read_version(*new)[0])
    return {"definition": name, "from": old[1], "to": new[1], **found}


@router.get(
    "/{name}/versions/{version}", responses=declared(*READ), dependencies=[needs_for_name(Right.READ_DEFINITIONS)]
)
async def show_version(name: str, version: str, log: LogOf) -> dict[str, Any]:
    """A version: its content, the same as YAML and as an outline in English, its steps with what each needs, and the
    topics of its events."""
    snapshot = await log.definitions()
    resolve(snapshot, f"{name}@{version}")
    definition, catalog = snapshot.read_version(name, version)
    found = shown(snapshot, name, version)
    return {
        "definition": name,
        "version": version,
        "sha": found["sha"],
        "published_ms": found["published_ms"],
        "retired": found["retired"],
        "current": current_version(snapshot, name) == version,
        "content": found["definition"],
        "catalog": found["catalog"],
        "bindings": found["bindings"],
        "yaml": to_yaml(definition),
        "english": outline(definition, catalog).splitlines(),
        "steps": _graph(definition),
    }


@router.get(
    "/{name}/versions/{version}/diagram.mmd",
    responses={200: {"content": {"text/plain": {}}}, **declared(*READ)},
    response_class=Response,
    dependencies=[needs_for_name(Right.READ_DEFINITIONS)],
)
async def diagram(name: str, version: str, log: LogOf) -> Response:
    """A version as the text of a Mermaid flowchart."""
    definition, catalog = await _version(log, name, version)
    return Response(mermaid(definition, catalog), media_type="text/plain; charset=utf-8")


@router.get(
    "/{name}/versions/{version}/diagram.svg",
    responses={200: {"content": {"image/svg+xml": {}}}, **declared(*READ, "diagram_failed")},
    response_class=Response,
    dependencies=[needs_for_name(Right.READ_DEFINITIONS)],
)
async def picture(name: str, version: str, log: LogOf) -> Response:
    """A version as a picture."""
    definition, catalog = await _version(log, name, version)
    return await picture_of(mermaid(definition, catalog))


@router.post(
    "/{name}/versions/{version}/retire",
    responses=declared("request_invalid", "version_unknown"),
    dependencies=[needs_for_name(Right.RETIRE_DEFINITIONS)],
)
async def retire(name: str, version: str, log: LogOf, identity: IdentityOf, principal: PrincipalOf) -> dict[str, Any]:
    """Takes a version out of use: no new run starts on it, its open runs go on. `current` is the version that starts
    use now."""
    resolve(await log.definitions(fresh=True), f"{name}@{version}")
    await audited(identity, actor(principal), "definition.retire", f"{name}@{version}")
    return asdict(await log.retire(name, version))


async def picture_of(text: str) -> Response:
    """The answer that is the picture of a Mermaid text."""
    drawn = await asyncio.to_thread(drawing.svg, text)
    return Response(drawn, media_type="image/svg+xml", headers=drawing.HEADERS)


def scenarios_text(given: str | dict[str, Any] | None) -> str | None:
    """The text of the scenarios to publish. Raises DefinitionError (`scenarios_invalid`)."""
    if given is None:
        return None
    read_scenarios(given)
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def require_hash(reviewed: str, sha: str) -> None:
    """Raises Rejected (`hash_mismatch`) unless the content that was reviewed is the one with this sha256."""
    if reviewed != sha:
        raise Rejected(
            "hash_mismatch",
            f"The content has the sha256 {sha}, and {reviewed} was to be published. Review this content, and publish "
            "it with its own hash.",
            hash=sha,
        )


def _require_events(principal: Principal, definition: Definition, catalog: Catalog, published: Snapshot) -> None:
    """Raises Rejected (`right_missing`) unless the principal may publish every definition whose events this one
    changes."""
    for event, names in definitions_contradicted(definition, catalog, published).items():
        missing = [name for name in names if not principal.may(Right.PUBLISH_DEFINITIONS, name)]
        if missing:
            raise Rejected(
                "right_missing",
                f"The event {event} means something else in {', '.join(missing)}, and {principal.name} lacks the right "
                f"{Right.PUBLISH_DEFINITIONS} there. Give the event another name, or let a user with that right "
                "publish this definition.",
            )


def acting(principal: Principal, by: str | None) -> str:
    """Who acts: the user, or whom the holder of the sidecar's token names. Raises Rejected (`not_allowed`)."""
    if not principal.id:
        return by or principal.name
    if by not in (None, principal.name):
        raise Rejected(
            "not_allowed",
            f"expected `by` to be {principal.name}, the caller, but found {by}. Act for yourself.",
        )
    return principal.name


async def _account_for_publication(
    body: ToPublish, definition: Definition, sha: str, log: Log, state: State, principal: Principal
) -> None:
    """Accounts in the audit for what is about to be published, and for the version that starts used before."""
    used = current_version(await log.definitions(), definition.name)
    told = {"sha": sha, "change_events": body.change_events, "create_topics": body.create_topics}
    target = f"{definition.name}@{definition.version}"
    before = {"current": used} if used is not None else None
    await audited(state.identity, actor(principal), "definition.publish", target, before=before, after=told)


async def _version(log: Log, name: str, version: str) -> tuple[Definition, Catalog]:
    snapshot = await log.definitions()
    resolve(snapshot, f"{name}@{version}")
    return snapshot.read_version(name, version)


async def handed_in(
    body: Handed, log: Log, state: StateOf, *, contradictions: bool, change: bool = False
) -> Submission:
    snapshot = await log.definitions(fresh=True)
    around = CatalogResolver(lambda: snapshot, whole=contradictions)
    return await asyncio.to_thread(
        submitted,
        state.settings,
        body.definition,
        body.catalog,
        around,
        contradictions=contradictions,
        change=change,
    )


def _graph(definition: Definition) -> list[dict[str, Any]]:
    """The steps in plan order: what a picture or a list of steps is made of."""
    graph = Graph(definition)
    return [
        {
            "id": name,
            "title": step.title or name,
            "kind": kind_of(step),
            "needs": list(step.needs),
            "join": step.join,
            "if": step.if_,
            "each": step.each is not None,
            "undo": step.undo is not None,
            "outcomes": list(outcomes_of(step)),
            "dependents": list(graph.dependents[name]),
        }
        for name in graph.order
        for step in [graph.steps[name]]
    ]

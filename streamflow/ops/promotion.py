"""Promotion: exactly the content that is approved in one environment, published in another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from streamflow.approvals.approval import Approval
from streamflow.approvals.gate import accepted, require_four_eyes
from streamflow.approvals.report import Approved
from streamflow.definition.bindings import EnvironmentBindings
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import child_names, event_names
from streamflow.definition.syntax import load_text
from streamflow.errors import DefinitionError, OperationError, Rejected
from streamflow.kafka.definitions import Snapshot, require_environment
from streamflow.kafka.greeting import require_welcome
from streamflow.kafka.publication import publish, read_log
from streamflow.ops.definition_approvals import keep, promoted
from streamflow.ops.definitions import resolve
from streamflow.settings import Settings

Account = Callable[[Settings, dict[str, Any]], None]
"""Writes into the audit of an environment what is about to be published there."""


def settings_of(settings: Settings, environment: str) -> Settings:
    """The settings of another environment, from what approvals.environments names and nothing else: its settings file,
    and the Kafka beside that, if it has its own cluster. Where neither names a broker, it is on the same one.

    Raises Rejected (`environment_unknown`), OperationError (`environment_unusable`)."""
    named = settings.approvals.environments.get(environment)
    if named is None:
        known = ", ".join(sorted(settings.approvals.environments)) or "none"
        raise Rejected(
            "environment_unknown",
            f"The settings name no environment {environment} to promote to (they name {known}). Add its settings file "
            "under approvals.environments.",
        )
    file = named.settings
    try:
        found = _from(file)
    except (OSError, ValueError, DefinitionError) as error:
        said = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        if isinstance(error, DefinitionError):
            said = error.problems[0].message
        raise _unusable(environment, file, said) from error
    if found.environment != environment:
        raise _unusable(environment, file, f"it is about the environment {found.environment}")
    kafka = named.kafka if named.kafka is not None else found.kafka
    if kafka.bootstrap_servers is None and named.kafka is not None:
        raise _unusable(environment, file, "the Kafka that is named beside it has no bootstrap_servers")
    found = found.model_copy(update={"kafka": kafka if kafka.bootstrap_servers is not None else settings.kafka})
    if _is_same_place(settings, found):
        raise _unusable(
            environment, file, f"its topics are those of this environment ({found.topics.prefix}* on the same Kafka)"
        )
    return found


def _is_same_place(here: Settings, there: Settings) -> bool:
    """Whether both have the same topics: a promotion would write where it reads."""
    same_servers = _servers(here) == _servers(there)
    return same_servers and here.topics.prefix == there.topics.prefix


def _servers(settings: Settings) -> frozenset[str]:
    return frozenset(one.strip().lower() for one in (settings.kafka.bootstrap_servers or "").split(","))


def promote(
    settings: Settings,
    target: Settings,
    reference: str,
    *,
    by: str,
    bindings: EnvironmentBindings | None = None,
    account: Account = lambda _settings, _publication: None,
) -> dict[str, Any]:
    """Publishes the content of `reference` (`name@version`), which is approved in the environment of `settings`, in
    that of `target`, with an approval that is signed for it there and says where it comes from. `by` promotes. Events
    that have no topic there get the one in `bindings`, or else the one that they have here.

    Raises Rejected (as `kafka.publication.publish`, `version_unknown`) or OperationError (as it, and as
    `kafka.greeting.require_welcome` of a separate cluster)."""
    log = read_log(settings)
    name, version = resolve(log, reference)
    record = log.versions[name, version]
    kept = log.approvals.get(record.sha)
    approval = _approved(settings, log, name, version)
    require_four_eyes(target.approvals, approval, by)
    if target.kafka != settings.kafka:
        require_welcome(target)
    there = read_log(target)
    require_environment(target, there.environment)
    moved = promoted(target, there.environment, approval, by=by)
    definition, catalog = log.read_version(name, version)
    entries = {}
    for event in event_names(definition):
        spec = catalog.event(event)
        assert spec is not None  # it is part of the content
        entries[event] = spec.bound(log.bindings.get(event)).model_dump(mode="json", by_alias=True, exclude_none=True)
    if bindings is not None:
        bound = bindings.bound(Catalog.model_validate({"events": list(entries.values())}))
        entries = {one.name: one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in bound.events}
    for event, entry in entries.items():
        if bindings is None and event in there.bindings:
            entry.pop("topics", None)  # where it is found there is that environment's own
    scenarios = log.scenarios.get((name, version))
    account(target, {"sha": record.sha, "from": log.environment, "approved_by": approval.by})
    if kept is not None and kept.approval == approval:
        keep(target, Approved(approval=moved, report=kept.report))
    done = publish(
        target,
        name=name,
        version=version,
        content=log.contents[record.sha][0],
        events=entries,
        children=[child for key in child_names(definition) if (child := catalog.definition(*key)) is not None],
        scenarios=scenarios,
        approval=moved,
        by=by,
    )
    return asdict(done) | {"from": log.environment, "environment": there.environment, "approved_by": approval.by}


def _approved(settings: Settings, log: Snapshot, name: str, version: str) -> Approval:
    """The approval that a version has here. Raises Rejected."""
    record = log.versions[name, version]
    found = accepted(
        settings.approvals.model_copy(update={"required": True}),
        log.environment,
        name=name,
        version=version,
        sha256=record.sha,
        by="",
        published=record.approval,
    )
    assert found is not None
    return found


def _from(file: Path) -> Settings:
    class Found(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    found = load_text(file.read_text())
    if not isinstance(found, dict):
        raise ValueError("it holds no settings")
    return Found(**found)


def _unusable(environment: str, file: Path, why: str) -> OperationError:
    return OperationError(
        "environment_unusable",
        f"The settings file {file} of the environment {environment} cannot be used: {why}. Correct the file, or its "
        "name under approvals.environments.",
        retryable=False,
    )

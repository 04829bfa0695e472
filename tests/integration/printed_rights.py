"""What `topics plan --acls` prints against what the authorizer was asked for: each right that is printed is used.

To be used is more than to be asked about: a process that looks whether it has its rights (`require_rights`) asks the
broker without a decision that the authorizer writes down."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from streamflow.kafka.rights import Role
from tests.integration.secured_world import World
from tests.servers.secured_kafka import Decision

_KINDS = {"topic": "Topic", "group": "Group", "transactional-id": "TransactionalId"}


class Use(NamedTuple):
    """One operation of a role on one resource, as the authorizer names it: `Topic:secured.runs`."""

    role: str
    operation: str
    resource: str


def printed_uses(world: World) -> set[Use]:
    """All that is printed, one operation each."""
    return {
        Use(_role_of(acl), operation, f"{_KINDS[acl['resource']]}:{acl['name']}")
        for acl in world.acls()
        for operation in acl["operations"]
    }


_OF_SEVERAL = re.compile(r".*\.(engine|mirror)-")


def uses(decisions: Iterable[Decision]) -> set[Use]:
    """What the authorizer has allowed. Transactional ids of the engine, one for each partition, and of mirrors, one for
    each, count as their common beginning, for which the right is printed."""
    found = set()
    for one in decisions:
        if one.allowed and one.user.startswith("streamflow-"):
            kind, _, name = one.resource.split(":", 2)
            if kind == "TransactionalId" and (beginning := _OF_SEVERAL.match(name)) is not None:
                name = beginning[0]
            found.add(Use(one.user.removeprefix("streamflow-"), one.operation, f"{kind}:{name}"))
    return found


def _role_of(acl: Mapping[str, Any]) -> str:
    return Role(str(acl["principal"]).removeprefix("User:streamflow-")).value

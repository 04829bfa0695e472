"""`/me/notifications`: what a user is notified of, and where."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from streamflow.access.directory import Directory
from streamflow.access.records import Subscription
from streamflow.access.subscription_changes import subscribe, unsubscribe, usable_targets
from streamflow.operations.callbacks import API_PATH
from streamflow.settings import NOTIFICATION_KINDS, NotificationKind
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, needs, user_of
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import IdentityOf, State, StateOf, changed_by

router = APIRouter(prefix=API_PATH, tags=["access"], route_class=JsonRoute)

_OWN = [needs(Right.USE_OWN)]


class SubscriptionChoice(BaseModel):
    """A subscription of the caller."""

    model_config = ConfigDict(extra="forbid")

    target: str = Field(max_length=40, description="one of the targets that the caller may use")
    kinds: list[NotificationKind] = Field(max_length=20, description="kinds of notifications; at least one")
    definitions: list[str] = Field(
        default_factory=list,
        max_length=200,
        description="names of definitions, with * for any text; none: all",
    )


@router.get("/me/notifications", responses=declared("no_user"), dependencies=_OWN)
async def get_own(principal: PrincipalOf, state: StateOf) -> dict[str, Any]:
    """What the caller is notified of (null: nothing), and what can be chosen: kinds, and targets that the operator has
    set up for the caller."""
    user, directory = user_of(principal), state.identity.access.directory
    return {
        "subscription": subscription_facts(directory.subscription(user)),
        "kinds": list(NOTIFICATION_KINDS),
        "targets": _targets(state, directory, principal),
        "links": state.settings.access.public_url is not None,
    }


def _targets(state: State, directory: Directory, principal: Principal) -> list[str]:
    user = directory.require_user(principal.id)
    return usable_targets(state.settings.notifications.targets, user, principal.groups)


def subscription_facts(subscription: Subscription | None) -> dict[str, Any] | None:
    """A subscription as JSON data."""
    if subscription is None:
        return None
    facts: dict[str, Any] = msgspec.to_builtins(subscription)
    return facts | {"kinds": list(subscription.kinds), "definitions": list(subscription.definitions)}


@router.put(
    "/me/notifications",
    responses=declared(
        *BODY_FAULTS, "no_user", "target_unusable", "kinds_missing", "pattern_invalid", "too_many_patterns"
    ),
    dependencies=_OWN,
)
async def put_own(
    body: SubscriptionChoice, principal: PrincipalOf, state: StateOf, identity: IdentityOf
) -> dict[str, Any]:
    """Has the caller notified from now on, instead of what they chose before. A notification is sent only of what
    the caller may look at when it is sent."""
    user, targets, groups = user_of(principal), state.settings.notifications.targets, principal.groups
    given = body.model_dump()
    made = await changed_by(
        identity, principal, lambda d, now: subscribe(d, now, user=user, targets=targets, groups=groups, **given)
    )
    found = subscription_facts(made.result)
    assert found is not None
    return found


@router.delete(
    "/me/notifications", status_code=204, responses=declared("no_user", "subscription_unknown"), dependencies=_OWN
)
async def delete_own(principal: PrincipalOf, identity: IdentityOf) -> None:
    """Ends the caller's notifications."""
    user = user_of(principal)
    await changed_by(identity, principal, lambda d, now: unsubscribe(d, now, user=user))

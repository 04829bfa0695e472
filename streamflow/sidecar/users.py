"""`/users` and `/grants`: who there is, and what they may do."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from streamflow.access import passwords
from streamflow.access.changes import add_grant, add_user, change_user, remove_grant
from streamflow.access.directory import Directory
from streamflow.access.records import Grant, User, shown
from streamflow.access.rights import Role
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.principal import PrincipalOf, Right, needs
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import IdentityOf, changed_by

router = APIRouter(prefix=API_PATH, tags=["access"], route_class=JsonRoute)

_READ = [needs(Right.READ_ACCESS)]
_CHANGE = [needs(Right.CHANGE_ACCESS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewUser(_Body):
    """A new user."""

    name: str = Field(min_length=1, max_length=100)
    kind: Literal["person", "service"] = "person"
    password: str | None = Field(default=None, max_length=1000, description="null: no log-in with a password")
    issuer: str | None = Field(default=None, max_length=2000, description="identity provider of the person")
    subject: str | None = Field(default=None, max_length=255, description="the person's `sub` at the provider")
    groups: list[str] = Field(default_factory=list, max_length=200)
    role: Role | None = Field(default=None, description="null: only the rights of the groups")
    definitions: list[str] = Field(
        default_factory=list, max_length=200, description="definitions to which the role is limited"
    )


class UserChange(_Body):
    """Changes of a user; absent fields stay unchanged."""

    disabled: bool | None = None
    groups: list[str] | None = Field(default=None, max_length=200)
    password: str | None = Field(default=None, max_length=1000, description="ends all sessions of the user")


class NewGrant(_Body):
    """A new grant, for a user or a group."""

    role: Role
    user: str | None = Field(default=None, max_length=100)
    group: str | None = Field(default=None, max_length=100)
    definitions: list[str] = Field(
        default_factory=list, max_length=200, description="names of definitions, with * for any text"
    )


@router.get("/users", responses=declared(), dependencies=_READ)
async def list_users(identity: IdentityOf) -> list[dict[str, Any]]:
    """The users, by name, with their grants."""
    directory = identity.access.directory
    return [user_facts(directory, one) for one in sorted(directory.users(), key=lambda one: one.name.casefold())]


def user_facts(directory: Directory, user: User) -> dict[str, Any]:
    """A user as JSON data."""
    grants = [grant_facts(directory, one) for one in directory.grants() if one.user == user.id]
    return (shown(user) or {}) | {"disabled": user.disabled, "kind": user.kind, "grants": grants}


def grant_facts(directory: Directory, grant: Grant) -> dict[str, Any]:
    """A grant as JSON data."""
    user = directory.user(grant.user) if grant.user is not None else None
    return (shown(grant) or {}) | {
        "user": user.name if user is not None else None,
        "group": grant.group,
        "definitions": list(grant.definitions),
    }


@router.post(
    "/users",
    status_code=201,
    responses=declared(*BODY_FAULTS, "name_invalid", "name_taken", "subject_taken", "password_weak", "pattern_invalid"),
    dependencies=_CHANGE,
)
async def make_user(body: NewUser, principal: PrincipalOf, identity: IdentityOf) -> dict[str, Any]:
    """Adds a user."""
    kept = await asyncio.to_thread(passwords.hashed, body.password) if body.password is not None else None
    given = body.model_dump(exclude={"password"})
    id = secrets.token_hex(8)
    made = await changed_by(identity, principal, lambda d, now: add_user(d, now, id=id, password=kept, **given))
    return user_facts(identity.access.directory, made.result)


@router.patch(
    "/users/{name}",
    responses=declared(*BODY_FAULTS, "user_unknown", "last_admin", "name_invalid", "name_taken", "password_weak"),
    dependencies=_CHANGE,
)
async def patch_user(name: str, body: UserChange, principal: PrincipalOf, identity: IdentityOf) -> dict[str, Any]:
    """Changes a user. To be disabled, and a new password, end all sessions of the user."""
    kept = await asyncio.to_thread(passwords.hashed, body.password) if body.password is not None else None
    made = await changed_by(
        identity,
        principal,
        lambda d, now: change_user(d, now, name=name, disabled=body.disabled, groups=body.groups, password=kept),
    )
    return user_facts(identity.access.directory, made.result)


@router.get("/grants", responses=declared(), dependencies=_READ)
async def list_grants(identity: IdentityOf) -> list[dict[str, Any]]:
    """The grants, oldest first."""
    directory = identity.access.directory
    return [grant_facts(directory, one) for one in sorted(directory.grants(), key=lambda one: one.created_ms)]


@router.post(
    "/grants",
    status_code=201,
    responses=declared(*BODY_FAULTS, "user_unknown", "grant_invalid", "name_invalid", "name_taken", "pattern_invalid"),
    dependencies=_CHANGE,
)
async def make_grant(body: NewGrant, principal: PrincipalOf, identity: IdentityOf) -> dict[str, Any]:
    """Gives a role to a user or to a group."""
    id, given = secrets.token_hex(8), body.model_dump()
    made = await changed_by(identity, principal, lambda d, now: add_grant(d, now, id=id, **given))
    return grant_facts(identity.access.directory, made.result)


@router.delete("/grants/{id}", status_code=204, responses=declared("grant_unknown", "last_admin"), dependencies=_CHANGE)
async def end_grant(id: str, principal: PrincipalOf, identity: IdentityOf) -> None:
    """Takes a grant away."""
    await changed_by(identity, principal, lambda d, now: remove_grant(d, now, id=id))

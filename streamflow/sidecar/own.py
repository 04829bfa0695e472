"""What is a user's own: `/me`, `/keys`, `/sessions` and `/views`."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.access import keys, passwords
from streamflow.access.changes import Change, change_user
from streamflow.access.directory import Directory
from streamflow.access.key_changes import add_key, require_key, revoke_key, rotate_key
from streamflow.access.records import ApiKey, View, shown
from streamflow.access.session_changes import end_session, remove_view, save_view
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.identity import rate_name
from streamflow.sidecar.openid import LEAVE
from streamflow.sidecar.principal import Principal, PrincipalOf, Right, actor, needs, user_of
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.session import forget_cookies, password_fits
from streamflow.sidecar.state import IdentityOf, changed, changed_by

router = APIRouter(prefix=API_PATH, tags=["access"], route_class=JsonRoute)

_DAY_MS = 86_400_000
_OWN = [needs(Right.USE_OWN)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewKey(_Body):
    """A new API key."""

    name: str = Field(min_length=1, max_length=200, description="what it is for")
    user: str | None = Field(default=None, max_length=100, description="user of the key; default: the caller")
    days: int | None = Field(default=365, ge=1, le=3650, description="until it expires; null: never")


class Rotation(_Body):
    """Options of a key's rotation."""

    overlap_s: int = Field(default=86_400, ge=0, le=30 * 86_400, description="seconds that the old key stays valid")
    days: int | None = Field(default=365, ge=1, le=3650, description="until the new one expires; null: never")


class NewPassword(_Body):
    """A new password."""

    old: str = Field(min_length=1, max_length=1000)
    new: str = Field(min_length=1, max_length=1000)


class SavedView(_Body):
    """A list with its filters."""

    name: str = Field(min_length=1, max_length=200)
    page: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="which list, such as `runs`")
    query: str = Field(max_length=4000, description="as in the URL of the page")


@router.get("/me", responses=declared())
async def me(principal: PrincipalOf, identity: IdentityOf) -> dict[str, Any]:
    """Who the caller is, and what they may do."""
    family = identity.access.directory.family(principal.family) if principal.family else None
    begun_there = family is not None and bool(family.provider_session) and identity.provider is not None
    left = await identity.rates.left(rate_name(principal)) if principal.id else None
    return {
        "name": principal.name,
        "id": principal.id or None,
        "groups": list(principal.groups),
        "via": principal.via,
        "session": principal.family or None,
        "leave": LEAVE if begun_there else None,
        "rights": sorted(right.value for right in Right if principal.may(right)),
        "permissions": [
            {"rights": sorted(one.rights), "definitions": list(one.definitions)} for one in principal.permissions
        ],
        "rate": {
            "per_minute": identity.rates.requests_per_minute if principal.id else None,
            "left": left,
            "shared": identity.rates.shared,
        },
    }


@router.post(
    "/me/password",
    status_code=204,
    responses=declared(*BODY_FAULTS, "credentials_wrong", "password_weak", "too_many_attempts"),
    dependencies=_OWN,
)
async def change_password(body: NewPassword, principal: PrincipalOf, identity: IdentityOf) -> None:
    """Changes the caller's password, and ends all their sessions."""
    user = identity.access.directory.user(user_of(principal))
    if principal.via != "session" or user is None:
        raise Rejected("credentials_wrong", "A password is changed in a session of its user. Log in first.")
    if not await password_fits(identity, user, body.old, name=user.name, address=user.id):
        raise Rejected("credentials_wrong", "The old password is wrong. Try again.")
    kept = await asyncio.to_thread(passwords.hashed, body.new)
    name = user.name
    await changed_by(identity, principal, lambda d, now: change_user(d, now, name=name, password=kept))


@router.get("/keys", responses=declared(), dependencies=_OWN)
async def list_keys(
    principal: PrincipalOf,
    identity: IdentityOf,
    everybody: Annotated[bool, Query(description="those of all users; needs access:read")] = False,
) -> list[dict[str, Any]]:
    """The API keys, newest first: the caller's own, or everybody's."""
    if everybody:
        principal.require(Right.READ_ACCESS)
    own = None if everybody else user_of(principal)
    directory = identity.access.directory
    found = [key for key in directory.api_keys() if own in (None, key.user)]
    return [key_facts(directory, key) for key in sorted(found, key=lambda key: -key.created_ms)]


def key_facts(directory: Directory, key: ApiKey) -> dict[str, Any]:
    """A key as JSON data."""
    user = directory.user(key.user)
    facts = shown(key) or {}
    return facts | {
        "prefix": f"{keys.PREFIX}{key.id}",
        "user": user.name if user is not None else key.user,
        "used_ms": directory.used_ms(key.id),
    }


@router.post(
    "/keys",
    status_code=201,
    responses=declared(*BODY_FAULTS, "user_unknown", "too_many_keys", "no_user"),
    dependencies=_OWN,
)
async def make_key(body: NewKey, principal: PrincipalOf, identity: IdentityOf, response: Response) -> dict[str, Any]:
    """Makes an API key. It is in this answer, and nowhere else afterwards."""
    user = body.user if body.user is not None else user_of(principal)
    found = identity.access.directory.require_user(user) if _asks_for_own(principal, identity, user) else None
    if found is None:
        principal.require(Right.CHANGE_ACCESS)
    _require_no_key(principal)
    id, secret = secrets.token_hex(6), keys.new_secret()

    def make(directory: Directory, now_ms: int) -> Change:
        expires_ms = None if body.days is None else now_ms + body.days * _DAY_MS
        return add_key(
            directory, now_ms, id=id, digest=keys.digest(secret), user=user, name=body.name, expires_ms=expires_ms
        )

    made = await changed_by(identity, principal, make)
    response.headers["Cache-Control"] = "no-store"
    return key_facts(identity.access.directory, made.result) | {"key": keys.token(id, secret)}


def _asks_for_own(principal: Principal, identity: IdentityOf, user: str) -> bool:
    found = identity.access.directory.named(user) or identity.access.directory.user(user)
    return bool(principal.id) and found is not None and found.id == principal.id


def _require_no_key(principal: Principal) -> None:
    """A key makes no keys, unless it is an admin's: anyone who stole one would have others when it is revoked."""
    if principal.via.startswith(keys.PREFIX):
        principal.require(Right.CHANGE_ACCESS)


def _require_owner(principal: Principal, directory: Directory, id: str) -> ApiKey:
    """The key, if it is the caller's own or they may change access. Raises Rejected (`key_unknown`), the same for a
    key of another user and for one that does not exist."""
    found = directory.key(id.removeprefix(keys.PREFIX))
    if found is not None and found.user == principal.id:
        return found
    if not principal.may(Right.CHANGE_ACCESS):
        return require_key(Directory(), id)
    return require_key(directory, id)


@router.delete("/keys/{id}", status_code=204, responses=declared("key_unknown"), dependencies=_OWN)
async def end_key(id: str, principal: PrincipalOf, identity: IdentityOf) -> None:
    """Revokes an API key at once."""
    key = _require_owner(principal, identity.access.directory, id)
    await changed_by(identity, principal, lambda d, now: revoke_key(d, now, id=key.id))


@router.post(
    "/keys/{id}/rotate",
    status_code=201,
    responses=declared(*BODY_FAULTS, "key_unknown", "key_revoked", "too_many_keys"),
    dependencies=_OWN,
)
async def replace_key(
    id: str, body: Rotation, principal: PrincipalOf, identity: IdentityOf, response: Response
) -> dict[str, Any]:
    """Makes an API key instead of another, which stays valid for a while."""
    key = _require_owner(principal, identity.access.directory, id)
    _require_no_key(principal)
    new_id, secret = secrets.token_hex(6), keys.new_secret()

    def make(directory: Directory, now_ms: int) -> Change:
        return rotate_key(
            directory,
            now_ms,
            id=key.id,
            new_id=new_id,
            digest=keys.digest(secret),
            overlap_ms=body.overlap_s * 1000,
            expires_ms=None if body.days is None else now_ms + body.days * _DAY_MS,
        )

    made = await changed_by(identity, principal, make)
    response.headers["Cache-Control"] = "no-store"
    return key_facts(identity.access.directory, made.result) | {"key": keys.token(new_id, secret)}


@router.delete("/session", status_code=204, responses=declared("session_unknown"))
async def log_out(principal: PrincipalOf, identity: IdentityOf, response: Response) -> None:
    """Ends the session that the request is of."""
    forget_cookies(response)
    await changed(identity, actor(principal), lambda d, now: end_session(d, now, id=principal.family, why="logout"))


@router.get("/sessions", responses=declared("no_user"), dependencies=_OWN)
async def list_sessions(principal: PrincipalOf, identity: IdentityOf) -> list[dict[str, Any]]:
    """The caller's open sessions, newest first."""
    user = user_of(principal)
    found = [one for one in identity.access.directory.families() if one.user == user and one.revoked_ms is None]
    return [msgspec.to_builtins(one) for one in sorted(found, key=lambda one: -one.created_ms)]


@router.delete("/sessions/{id}", status_code=204, responses=declared("session_unknown"), dependencies=_OWN)
async def end_other_session(id: str, principal: PrincipalOf, identity: IdentityOf) -> None:
    """Ends a session: one's own, or with `access:change` anybody's."""
    found = identity.access.directory.family(id)
    if found is None or not (found.user == principal.id or principal.may(Right.CHANGE_ACCESS)):
        end_session(Directory(), 0, id=id, why="")  # the same answer whether it is there
    why = "user" if found is not None and found.user == principal.id else "admin"
    await changed_by(identity, principal, lambda d, now: end_session(d, now, id=id, why=why))


@router.get("/views", responses=declared("no_user"), dependencies=_OWN)
async def list_views(principal: PrincipalOf, identity: IdentityOf) -> list[dict[str, Any]]:
    """The caller's saved views, by name."""
    found = identity.access.directory.views(user_of(principal))
    return [msgspec.to_builtins(one) for one in sorted(found, key=lambda one: one.name)]


@router.put(
    "/views/{id}", responses=declared(*BODY_FAULTS, "view_invalid", "too_many_views", "no_user"), dependencies=_OWN
)
async def put_view(id: str, body: SavedView, principal: PrincipalOf, identity: IdentityOf) -> dict[str, Any]:
    """Saves a view under an id of the caller's choice."""
    user, view = user_of(principal), View(id=id, name=body.name, page=body.page, query=body.query)
    await changed_by(identity, principal, lambda d, now: save_view(d, now, user=user, view=view))
    found: dict[str, Any] = msgspec.to_builtins(view)
    return found


@router.delete("/views/{id}", status_code=204, responses=declared("view_unknown", "no_user"), dependencies=_OWN)
async def delete_view(id: str, principal: PrincipalOf, identity: IdentityOf) -> None:
    """Deletes a saved view of the caller."""
    user = user_of(principal)
    await changed_by(identity, principal, lambda d, now: remove_view(d, now, user=user, id=id))

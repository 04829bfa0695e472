"""`/session`: log in with a password or an API key, refresh, and where a browser keeps its tokens.

A browser has them in cookies that its pages cannot read (`HttpOnly`) and other sites' pages do not send
(`SameSite=Strict`). A log-in always begins a new session, and ends the one whose cookie came along: a cookie
that another person put into the browser does not become a session of who logs in."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from streamflow.access import passwords
from streamflow.access.audit import Actor
from streamflow.access.changes import Change
from streamflow.access.directory import Directory
from streamflow.access.keys import PREFIX, find
from streamflow.access.records import Family, User
from streamflow.access.session_changes import begin_session, end_session, refresh_session
from streamflow.access.sessions import Signing, require_open
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.client_address import client_address
from streamflow.sidecar.identity import (
    ACCESS_COOKIE,
    REFRESH_COOKIE,
    Identity,
    cookies,
    now_ms,
    require_own_page,
)
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import State, StateOf, changed

router = APIRouter(prefix=f"{API_PATH}/session", tags=["session"], route_class=JsonRoute)

_LOGIN = "login+jwt"
_LOGIN_S = 600  # that a log-in at the provider may take
_hashing = asyncio.Semaphore(2)  # passwords that are checked at the same time: each takes 64 MiB
OFTEN = ("credentials_wrong", "too_many_attempts", "sessions_off", "user_disabled", "access_unreadable", "access_busy")


class LogIn(BaseModel):
    """A name and a password, or an API key."""

    model_config = ConfigDict(extra="forbid")

    user: str | None = Field(default=None, min_length=1, max_length=100, description="name of the user")
    password: str | None = Field(default=None, min_length=1, max_length=1000)
    key: str | None = Field(default=None, min_length=1, max_length=200, description="an API key, instead of both")
    cookie: bool = Field(default=False, description="for browsers: set the tokens as cookies, and do not return them")


class Refresh(BaseModel):
    """A refresh token; a browser has it in a cookie."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str | None = Field(default=None, max_length=200)


class Tokens(BaseModel):
    """A session's tokens; they are null where they are in cookies."""

    user: str
    session: str
    expires_in: int = Field(description="seconds that the access token is valid")
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    access_token: str | None = None
    refresh_token: str | None = None


class Methods(BaseModel):
    """The ways to log in here."""

    password: bool = Field(description="with a name and a password, or an API key, for a session")
    organisation: bool = Field(description="with the identity provider, at `/session/oidc`")


@router.get("/methods", responses=declared(open_to_all=True))
async def methods(state: StateOf) -> Methods:
    """What a page to log in has to offer. Neither: this sidecar has no sessions, only API keys or its token."""
    return Methods(password=state.identity.signing is not None, organisation=state.identity.provider is not None)


@router.post("", responses=declared(*BODY_FAULTS, *OFTEN, "key_wrong", "key_revoked", "key_expired", open_to_all=True))
async def log_in(body: LogIn, state: StateOf, request: Request, response: Response) -> Tokens:
    """Begins a session."""
    identity, signing = state.identity, signing_of(state)
    if body.cookie:
        require_own_page(request.headers, "POST")
    peer = request.client.host if request.client is not None else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    address = client_address(peer, forwarded, state.settings.sidecar.trusted_proxies)
    user, key = await _proved(identity, body, address)
    via = "password" if key is None else f"{PREFIX}{key}"
    family = await begin(state, request, user, key=key, via=via)
    return answer_with(state, signing, family, response, cookie=body.cookie)


async def _proved(identity: Identity, body: LogIn, address: str) -> tuple[str, str | None]:
    """The id of the user who logs in, and of the key they do it with. Raises Rejected."""
    directory = identity.access.directory
    if body.key is None:
        found = directory.named(body.user) if body.user is not None else None
        usable = found if found is not None and not found.disabled else None
        if not await password_fits(identity, usable, body.password or "", name=body.user, address=address):
            raise Rejected("credentials_wrong", "The user name or the password is wrong. Try again.")
        assert usable is not None
        return usable.id, None
    await identity.rates.require_attempts(body.user, address)
    try:
        record, user = find(directory, body.key, now_ms())
    except Rejected:
        await identity.rates.failed(body.user, address)
        raise
    return user.id, record.id


async def password_fits(
    identity: Identity, user: User | None, password: str, *, name: str | None, address: str
) -> bool:
    """Whether a password is that of `user`; one that is not counts as an attempt by `name` from `address`. Those that
    come at the same time take turns, so that no more of them are tried than are allowed. Raises Rejected
    (`too_many_attempts`)."""
    async with _hashing:
        await identity.rates.require_attempts(name, address)
        fits = await asyncio.to_thread(passwords.fits, user.password if user is not None else None, password)
        if not fits:
            await identity.rates.failed(name, address)
        return fits and user is not None


@router.post(
    "/refresh",
    responses=declared(*BODY_FAULTS, *OFTEN, "token_wrong", "session_ended", "refresh_reused", open_to_all=True),
)
async def refresh(state: StateOf, request: Request, response: Response, body: Refresh | None = None) -> Tokens:
    """The session's next tokens. A refresh token is good once; one that was used before ends the session."""
    signing, own = signing_of(state), state.settings.access
    given = body.refresh_token if body is not None else None
    in_cookie = given is None
    if given is None:
        require_own_page(request.headers, "POST")
        given = cookies(request.headers).get(REFRESH_COOKIE, "")
    claims = signing.read_refresh_token(given)

    def make(directory: Directory, at_ms: int) -> Change:
        family = directory.family(claims.family)
        if family is None:
            raise Rejected("session_ended", "The session of this token has ended. Log in again.")
        require_open(directory, family, at_ms)
        return refresh_session(
            directory,
            at_ms,
            family=family,
            generation=claims.generation,
            grace_ms=int(own.refresh_grace_s * 1000),
            idle_ms=own.session_idle_hours * 3_600_000,
        )

    made = await changed(state.identity, Actor(who="sidecar"), make)
    return answer_with(state, signing, made.result, response, cookie=in_cookie)


async def begin(
    state: State,
    request: Request,
    user: str,
    *,
    via: str,
    key: str | None = None,
    groups: tuple[str, ...] = (),
    provider_session: str = "",
    most_hours: int | None = None,
) -> Family:
    """A new session, whatever cookie came along; the session of that one is ended."""
    identity, id = state.identity, secrets.token_hex(16)
    name = identity.access.directory.require_user(user).name
    hours = state.settings.access.session_hours
    lasts_ms = min(hours, most_hours or hours) * 3_600_000
    who = Actor(who=name, user=user, via=via)
    made = await changed(
        identity,
        who,
        lambda directory, at_ms: begin_session(
            directory,
            at_ms,
            id=id,
            user=user,
            lasts_ms=lasts_ms,
            key=key,
            groups=groups,
            provider_session=provider_session,
        ),
    )
    await _end_former(state, request, who)
    family: Family = made.result
    return family


async def _end_former(state: State, request: Request, who: Actor) -> None:
    given = cookies(request.headers).get(REFRESH_COOKIE)
    if given is None:
        return
    try:
        former = signing_of(state).read_refresh_token(given).family
        await changed(
            state.identity, who, lambda directory, at_ms: end_session(directory, at_ms, id=former, why="login")
        )
    except Rejected:
        return  # it is not ours, or no longer exists


def answer_with(state: State, signing: Signing, family: Family, response: Response, *, cookie: bool) -> Tokens:
    """The tokens of a session, in cookies of `response` if it is a browser's."""
    seconds = state.settings.access.token_minutes * 60
    identity, at_ms = state.identity, now_ms()
    access, following = signing.access_token(family, now_ms=at_ms, seconds=seconds), signing.refresh_token(family)
    user = identity.access.directory.require_user(family.user).name
    response.headers["Cache-Control"] = "no-store"
    tokens = Tokens(user=user, session=family.id, expires_in=seconds)
    if not cookie:
        return tokens.model_copy(update={"access_token": access, "refresh_token": following})
    set_cookie(response, identity, ACCESS_COOKIE, access, "", seconds, "strict")
    left = max(0, (family.expires_ms - at_ms) // 1000)
    set_cookie(response, identity, REFRESH_COOKIE, following, "/session", left, "strict")
    return tokens


def set_cookie(
    response: Response, identity: Identity, name: str, value: str, below: str, seconds: int, same_site: Any
) -> None:
    """A cookie that scripts cannot read, for the paths below that of the API."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=f"{API_PATH}{below}",
        secure=identity.secure,
        httponly=True,
        samesite=same_site,
    )


def forget_cookies(response: Response) -> None:
    """Has a browser forget its session."""
    response.delete_cookie(ACCESS_COOKIE, API_PATH)
    response.delete_cookie(REFRESH_COOKIE, f"{API_PATH}/session")


def signing_of(state: State) -> Signing:
    """What signs tokens. Raises Rejected (`sessions_off`)."""
    if state.identity.signing is None:
        raise Rejected(
            "sessions_off", "There are no sessions here: set STREAMFLOW_ACCESS__SIGNING_KEY, or use an API key."
        )
    return state.identity.signing

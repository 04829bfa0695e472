"""`/session`: log in with a password, an API key or OpenID Connect, refresh, and where a browser keeps its tokens.

A browser has them in cookies that its pages cannot read (`HttpOnly`) and other sites' pages do not send
(`SameSite=Strict`). A log-in always begins a session of its own, and ends the one whose cookie came along: a cookie
that another person put into the browser does not become a session of who logs in."""

from __future__ import annotations

import asyncio
import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from streamflow.access import passwords
from streamflow.access.audit import Actor
from streamflow.access.changes import Change
from streamflow.access.directory import Directory
from streamflow.access.id_token import require_response, safe_path
from streamflow.access.keys import PREFIX, find
from streamflow.access.oidc import Provider
from streamflow.access.records import Family, User
from streamflow.access.session_changes import begin_session, end_session, refresh_session, sign_in
from streamflow.access.sessions import Signing, require_open
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.client_address import client_address
from streamflow.sidecar.identity import (
    ACCESS_COOKIE,
    LOGIN_COOKIE,
    REFRESH_COOKIE,
    Identity,
    cookies,
    now_ms,
    require_own_page,
)
from streamflow.sidecar.problems import BODY_FAULTS, declared
from streamflow.sidecar.state import State, StateOf, changed

router = APIRouter(prefix="/session", tags=["session"], route_class=JsonRoute)

_LOGIN = "login+jwt"
_LOGIN_S = 600  # that a log-in at the provider may take
_hashing = asyncio.Semaphore(2)  # passwords that are checked at the same time: each takes 64 MiB
_OFTEN = ("credentials_wrong", "too_many_attempts", "sessions_off", "user_disabled", "access_unreadable", "access_busy")


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


@router.post("", responses=declared(*BODY_FAULTS, *_OFTEN, "key_wrong", "key_revoked", "key_expired", open_to_all=True))
async def log_in(body: LogIn, state: StateOf, request: Request, response: Response) -> Tokens:
    """Begins a session."""
    identity, signing = state.identity, _signing(state)
    if body.cookie:
        require_own_page(request.headers, "POST")
    peer = request.client.host if request.client is not None else ""
    forwarded = request.headers.getlist("x-forwarded-for")
    address = client_address(peer, forwarded, state.settings.sidecar.trusted_proxies)
    user, key = await _proved(identity, body, address)
    via = "password" if key is None else f"{PREFIX}{key}"
    family = await _begin(state, request, user, key=key, via=via)
    return _answer(state, signing, family, response, cookie=body.cookie)


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
    responses=declared(*BODY_FAULTS, *_OFTEN, "token_wrong", "session_ended", "refresh_reused", open_to_all=True),
)
async def refresh(state: StateOf, request: Request, response: Response, body: Refresh | None = None) -> Tokens:
    """The session's next tokens. A refresh token is good once; one that was used before ends the session."""
    signing, own = _signing(state), state.settings.access
    given = body.refresh_token if body is not None else None
    in_cookie = given is None
    if given is None:
        require_own_page(request.headers, "POST")
        given = cookies(request.headers).get(REFRESH_COOKIE, "")
    told = signing.read_refresh_token(given)

    def make(directory: Directory, at_ms: int) -> Change:
        family = directory.family(told.family)
        if family is None:
            raise Rejected("session_ended", "The session of this token has ended. Log in again.")
        require_open(directory, family, at_ms)
        return refresh_session(
            directory,
            at_ms,
            family=family,
            generation=told.generation,
            grace_ms=int(own.refresh_grace_s * 1000),
            idle_ms=own.session_idle_hours * 3_600_000,
        )

    made = await changed(state.identity, Actor(who="sidecar"), make)
    return _answer(state, signing, made.result, response, cookie=in_cookie)


@router.get("/oidc", responses=declared("sessions_off", "oidc_unreachable", "oidc_unusable", open_to_all=True))
async def begin_oidc(
    state: StateOf, to: Annotated[str, Query(description="path to redirect to afterwards")] = "/"
) -> RedirectResponse:
    """Sends a browser to the identity provider."""
    provider, signing = _provider(state), _signing(state)
    id = secrets.token_urlsafe(24)
    place = await provider.authorization_url(
        state=signing.derived("oidc-state", id),
        nonce=signing.derived("oidc-nonce", id),
        verifier=signing.derived("oidc-verifier", id),
    )
    answer = RedirectResponse(place, 303)
    claims = {"id": id, "to": safe_path(to), "exp": now_ms() // 1000 + _LOGIN_S}
    # Lax: the provider's page leads the browser back here.
    _set(answer, state.identity, LOGIN_COOKIE, signing.signed(claims, _LOGIN), "/session/oidc", _LOGIN_S, "lax")
    return answer


@router.get(
    "/oidc/callback",
    responses=declared(*_OFTEN, "oidc_forged", "oidc_refused", "oidc_unreachable", "oidc_unusable", open_to_all=True),
)
async def end_oidc(
    request: Request,
    state: StateOf,
    code: Annotated[str | None, Query(max_length=4000)] = None,
    answered: Annotated[str | None, Query(alias="state", max_length=200)] = None,
    issuer: Annotated[str | None, Query(alias="iss", max_length=2000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> RedirectResponse:
    """Takes the identity provider's answer, begins a session in cookies, and goes on to the page."""
    provider, signing, own = _provider(state), _signing(state), state.settings.access
    assert own.oidc is not None
    try:
        begun = signing.read(cookies(request.headers).get(LOGIN_COOKIE, ""), _LOGIN, now_ms=now_ms())
    except Rejected as refused:
        raise Rejected(
            "oidc_forged", "This browser began no log-in, or too long ago. Log in again from this host's page."
        ) from refused
    id = str(begun["id"])
    require_response(answered, signing.derived("oidc-state", id), issuer, own.oidc.issuer)
    if error is not None or code is None:
        raise Rejected("oidc_refused", f"The identity provider did not confirm the log-in: {error}. Try again.")
    found = await provider.identity(
        code=code, nonce=signing.derived("oidc-nonce", id), verifier=signing.derived("oidc-verifier", id)
    )
    create, new = own.oidc.create_users, secrets.token_hex(8)
    known = await changed(
        state.identity,
        Actor(who=found.name[:100], via="oidc"),
        lambda directory, at_ms: sign_in(
            directory, at_ms, id=new, issuer=found.issuer, subject=found.subject, name=found.name, create=create
        ),
    )
    if known.result.disabled:
        raise Rejected("user_disabled", "This user is disabled. Ask an admin of this installation.")
    family = await _begin(state, request, known.result.id, groups=found.groups, via="oidc")
    answer = RedirectResponse(safe_path(str(begun["to"])), 303)
    _answer(state, signing, family, answer, cookie=True)
    answer.delete_cookie(LOGIN_COOKIE, f"{API_PATH}/session/oidc")
    return answer


async def _begin(
    state: State, request: Request, user: str, *, via: str, key: str | None = None, groups: tuple[str, ...] = ()
) -> Family:
    """A session of its own, whatever cookie came along; the session of that one is ended."""
    identity, id = state.identity, secrets.token_hex(16)
    name = identity.access.directory.require_user(user).name
    lasts_ms = state.settings.access.session_hours * 3_600_000
    who = Actor(who=name, user=user, via=via)
    made = await changed(
        identity,
        who,
        lambda directory, at_ms: begin_session(
            directory, at_ms, id=id, user=user, lasts_ms=lasts_ms, key=key, groups=groups
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
        former = _signing(state).read_refresh_token(given).family
        await changed(
            state.identity, who, lambda directory, at_ms: end_session(directory, at_ms, id=former, why="login")
        )
    except Rejected:
        return  # it is not ours, or no longer exists


def _answer(state: State, signing: Signing, family: Family, response: Response, *, cookie: bool) -> Tokens:
    seconds = state.settings.access.token_minutes * 60
    identity, at_ms = state.identity, now_ms()
    access, following = signing.access_token(family, now_ms=at_ms, seconds=seconds), signing.refresh_token(family)
    user = identity.access.directory.require_user(family.user).name
    response.headers["Cache-Control"] = "no-store"
    told = Tokens(user=user, session=family.id, expires_in=seconds)
    if not cookie:
        return told.model_copy(update={"access_token": access, "refresh_token": following})
    _set(response, identity, ACCESS_COOKIE, access, "", seconds, "strict")
    left = max(0, (family.expires_ms - at_ms) // 1000)
    _set(response, identity, REFRESH_COOKIE, following, "/session", left, "strict")
    return told


def _set(
    response: Response, identity: Identity, name: str, value: str, below: str, seconds: int, same_site: Any
) -> None:
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


def _signing(state: State) -> Signing:
    if state.identity.signing is None:
        raise Rejected(
            "sessions_off", "There are no sessions here: set STREAMFLOW_ACCESS__SIGNING_KEY, or use an API key."
        )
    return state.identity.signing


def _provider(state: State) -> Provider:
    if state.identity.provider is None:
        raise Rejected(
            "sessions_off",
            "There is no identity provider here: set access.oidc, access.public_url and access.signing_key.",
        )
    return state.identity.provider

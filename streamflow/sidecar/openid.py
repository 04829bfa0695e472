"""`/session/oidc`: log in and out with an OpenID Connect provider. How a session continues is in `session`."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from streamflow.access.audit import Actor
from streamflow.access.id_token import require_response, safe_path
from streamflow.access.oidc import Provider
from streamflow.access.session_changes import end_provider_sessions, sign_in
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.sidecar.bodies import JsonRoute
from streamflow.sidecar.identity import LOGIN_COOKIE, cookies, now_ms
from streamflow.sidecar.problems import declared
from streamflow.sidecar.session import OFTEN, answer_with, begin, set_cookie, signing_of
from streamflow.sidecar.state import State, StateOf, changed

router = APIRouter(prefix=f"{API_PATH}/session/oidc", tags=["session"], route_class=JsonRoute)

LEAVE = f"{API_PATH}/session/oidc/end"
_HINT_COOKIE = "streamflow_id_token"
_MOST_HINT = 3500  # characters: browsers drop larger cookies
_PLACE = "/session/oidc"
_LOGIN = "login+jwt"
_LOGIN_S = 600  # that a log-in at the provider may take


@router.get("", responses=declared("sessions_off", "oidc_unreachable", "oidc_unusable", open_to_all=True))
async def begin_oidc(
    state: StateOf, to: Annotated[str, Query(description="path to redirect to afterwards")] = "/"
) -> RedirectResponse:
    """Sends a browser to the identity provider."""
    provider, signing = provider_of(state), signing_of(state)
    id = secrets.token_urlsafe(24)
    place = await provider.authorization_url(
        state=signing.derived("oidc-state", id),
        nonce=signing.derived("oidc-nonce", id),
        verifier=signing.derived("oidc-verifier", id),
    )
    answer = RedirectResponse(place, 303)
    claims = {"id": id, "to": safe_path(to), "exp": now_ms() // 1000 + _LOGIN_S}
    # Lax: the provider's page leads the browser back here.
    set_cookie(answer, state.identity, LOGIN_COOKIE, signing.signed(claims, _LOGIN), _PLACE, _LOGIN_S, "lax")
    return answer


@router.get(
    "/callback",
    responses=declared(*OFTEN, "oidc_forged", "oidc_refused", "oidc_unreachable", "oidc_unusable", open_to_all=True),
)
async def end_oidc(
    request: Request,
    state: StateOf,
    code: Annotated[str | None, Query(max_length=4000)] = None,
    answered: Annotated[str | None, Query(alias="state", max_length=200)] = None,
    issuer: Annotated[str | None, Query(alias="iss", max_length=2000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> RedirectResponse:
    """Takes the identity provider's answer, begins a session in cookies, and continues to the page."""
    provider, signing, own = provider_of(state), signing_of(state), state.settings.access
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
    family = await begin(
        state,
        request,
        known.result.id,
        groups=found.groups,
        via="oidc",
        provider_session=found.session or found.subject,
        most_hours=own.oidc.session_hours,
    )
    answer = RedirectResponse(safe_path(str(begun["to"])), 303)
    answer_with(state, signing, family, answer, cookie=True)
    if len(found.token) <= _MOST_HINT:
        seconds = own.oidc.session_hours * 3600
        set_cookie(answer, state.identity, _HINT_COOKIE, found.token, _PLACE, seconds, "strict")
    answer.delete_cookie(LOGIN_COOKIE, f"{API_PATH}{_PLACE}")
    return answer


@router.get("/end", responses=declared("sessions_off", "oidc_unreachable", "oidc_unusable", open_to_all=True))
async def leave(request: Request, state: StateOf) -> RedirectResponse:
    """Sends a browser to the identity provider to log out there, too. The session here is ended before, by `DELETE
    /session`; this ends nothing, so that no other site's page can."""
    provider, back_to = provider_of(state), f"{state.identity.public_url}/"
    place = await provider.leaving_url(cookies(request.headers).get(_HINT_COOKIE), back_to)
    answer = RedirectResponse(place or back_to, 303)
    answer.delete_cookie(_HINT_COOKIE, f"{API_PATH}{_PLACE}")
    return answer


@router.post(
    "/backchannel",
    status_code=204,
    responses=declared(
        "sessions_off",
        "oidc_forged",
        "oidc_unreachable",
        "oidc_unusable",
        "access_unreadable",
        "access_busy",
        open_to_all=True,
    ),
)
async def end_by_provider(request: Request, state: StateOf) -> None:
    """Takes the identity provider's word that a user has logged out or was logged out there (OpenID Connect
    Back-Channel Logout 1.0), and ends the sessions that began so. The body is a form with `logout_token`."""
    provider = provider_of(state)
    form = parse_qs((await request.body()).decode(errors="replace"))
    found = await provider.log_out(form.get("logout_token", [""])[0])
    await changed(
        state.identity,
        Actor(who="provider", via="oidc"),
        lambda directory, at_ms: end_provider_sessions(
            directory, at_ms, issuer=provider.settings.issuer, subject=found.subject, session=found.session
        ),
    )


def provider_of(state: State) -> Provider:
    """The identity provider. Raises Rejected (`sessions_off`)."""
    if state.identity.provider is None:
        raise Rejected(
            "sessions_off",
            "There is no identity provider here: set access.oidc, access.public_url and access.signing_key.",
        )
    return state.identity.provider

"""Checks of a provider's tokens: an ID token (OpenID Connect Core 1.0, section 3.1.3.7) and a log-out token (OpenID
Connect Back-Channel Logout 1.0, section 2.6); and of where a log-in may lead. Pure."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from itertools import islice
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from streamflow.errors import Rejected
from streamflow.wire.unreadable import UNREADABLE

# Signatures by a key that only the provider has: with HS256 anyone with the client's secret could make one, with `none`
# anybody.
ALGORITHMS = ["RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512", "EdDSA", "Ed25519"]
_LEEWAY_S = 60  # that the clocks of the provider and of this machine may differ
_RECENT_S = 3600  # since a token was issued
_MOST_GROUPS = 200
_GROUP_CHARS = 100  # more than a grant or an approval can name
_LOG_OUT = "http://schemas.openid.net/event/backchannel-logout"


class SignatureRefused(Rejected):
    """A token that none of the known keys has signed: the provider may have a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a provider says has logged in."""

    issuer: str
    """Of the provider."""

    subject: str
    """Who it is there, for good."""

    name: str
    """What they are called there now."""

    groups: tuple[str, ...]
    """In which they are now: the first 200 that have 1 to 100 printable characters; no others can be named here."""

    session: str
    """The provider's session; empty if it names none."""

    token: str
    """The ID token, by which the provider knows at log-out who leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an ID token must say."""

    issuer: str
    """Of the provider."""

    client_id: str
    """Of this installation there."""

    nonce: str
    """That the log-in was begun with."""

    name_claim: str
    """The claim with the person's name; dots lead into nested ones, as in `realm_access.roles`."""

    groups_claim: str
    """The claim with their groups, in the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOut:
    """Whom a provider says it has logged out. One of both may be empty."""

    subject: str
    """Who it is there."""

    session: str
    """The provider's session; empty: all of the subject."""


def identity(token: str, keys: KeySet, expected: Expected, *, now_s: int) -> Identity:
    """Who an ID token says has logged in. Raises Rejected (`oidc_forged`), naming what is wrong with it."""
    claims = _claims(token, keys, expected)
    audience = claims["aud"]
    if claims.get("azp", expected.client_id) != expected.client_id or (
        isinstance(audience, list) and len(audience) > 1 and "azp" not in claims
    ):
        raise _forged("it was issued to another client")
    _require_times(claims, now_s)
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), expected.nonce.encode()):
        raise _forged("it belongs to another log-in")
    subject, name = claims.get("sub"), _claim(claims, expected.name_claim, claims.get("sub"))
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not isinstance(name, str):
        raise _forged("it does not say who logged in")
    named = _claim(claims, expected.groups_claim, [])
    groups = filter(_is_group, named) if isinstance(named, list) else ()
    return Identity(
        issuer=expected.issuer,
        subject=subject,
        name=name,
        groups=tuple(islice(groups, _MOST_GROUPS)),
        session=_session(claims),
        token=token,
    )


def log_out(token: str, keys: KeySet, expected: Expected, *, now_s: int) -> LogOut:
    """Whom a log-out token is about. Raises Rejected (`oidc_forged`), naming what is wrong with it."""
    claims = _claims(token, keys, expected)
    _require_times(claims, now_s)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOG_OUT), dict) or "nonce" in claims:
        raise _forged("it is not of a log-out")  # an ID token has a nonce, and is none
    subject = claims.get("sub", "")
    found = LogOut(subject=subject if isinstance(subject, str) else "", session=_session(claims))
    if not found.subject and not found.session:
        raise _forged("it does not say who logged out")
    return found


def _claims(token: str, keys: KeySet, expected: Expected) -> dict[str, Any]:
    try:
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
    except (JoseError, *UNREADABLE) as error:
        said = _forged(f"its signature is not the provider's ({type(error).__name__})")
        raise SignatureRefused(said.code, said.message) from error
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if claims.get("iss") != expected.issuer:
        raise _forged("it is of another provider")
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise _forged("it is for another client")
    return claims


def _require_times(claims: dict[str, Any], now_s: int) -> None:
    issued, expires = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    if now_s - _RECENT_S < issued < now_s + _LEEWAY_S and expires > now_s - _LEEWAY_S:
        return
    off = now_s - issued
    if not abs(off) > _LEEWAY_S:  # also where there is none
        raise _forged("it has expired, or does not say when it was issued")
    # It was fetched this moment, so it should be from this moment.
    behind = "ahead of" if off > 0 else "behind"
    raise _forged(
        f"it was not issued just now: this machine's clock is {abs(off):.0f} s {behind} the provider's, or the token "
        "is an old one. Set the clocks by NTP"
    )


def _claim(claims: dict[str, Any], path: str, absent: Any) -> Any:
    """The claim of that name, else the one that the name leads to: a dot is part of a name or stands between two."""
    if path in claims:
        return claims[path]
    for place in (place for place, letter in enumerate(path) if letter == "."):
        inside = claims.get(path[:place])
        if isinstance(inside, dict):
            found = _claim(inside, path[place + 1 :], None)
            if found is not None:
                return found
    return absent


def _session(claims: dict[str, Any]) -> str:
    found = claims.get("sid")
    return found if isinstance(found, str) and len(found) <= 255 else ""


def _is_group(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _GROUP_CHARS and value.isprintable()


def _seconds(value: Any) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _forged(why: str) -> Rejected:
    return Rejected("oidc_forged", f"The answer of the identity provider is not accepted: {why}. Log in again.")


def require_response(state: str | None, own_state: str, issuer: str | None, own_issuer: str) -> None:
    """Raises Rejected (`oidc_forged`) unless an answer belongs to the log-in of this browser (RFC 6749, section 10.12)
    and, where it names a provider, comes from ours (RFC 9207)."""
    if not hmac.compare_digest((state or "").encode(), own_state.encode()):
        raise _forged("it does not belong to a log-in of this browser")
    if issuer is not None and issuer != own_issuer:
        raise _forged("it comes from another provider")


def safe_path(path: str) -> str:
    """Where to go after a log-in: a path on this host, else `/`."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and len(path) < 2000
    return path if inside and path.isprintable() and "\\" not in path else "/"

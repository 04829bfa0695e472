"""Checks of an ID token (OpenID Connect Core 1.0, section 3.1.3.7), and of where a log-in may lead. Pure."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from itertools import islice
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from streamflow.errors import Rejected

# Signatures by a key that only the provider has: with HS256 anyone with the client's secret could make one, with `none`
# anybody.
ALGORITHMS = ["RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512", "ES512", "EdDSA", "Ed25519"]
_LEEWAY_S = 60  # that the clocks of the provider and of this machine may differ
_MOST_GROUPS = 200
_GROUP_CHARS = 100  # more than a grant or an approval can name


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
    """The claim with the person's name."""

    groups_claim: str
    """The claim with their groups."""


def identity(token: str, keys: KeySet, expected: Expected, *, now_s: int) -> Identity:
    """Who an ID token says has logged in. Raises Rejected (`oidc_forged`), naming what is wrong with it."""
    try:
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, TypeError) as error:
        raise _forged(f"its signature is not the provider's ({type(error).__name__})") from error
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if claims.get("iss") != expected.issuer:
        raise _forged("it is of another provider")
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        raise _forged("it is for another client")
    if claims.get("azp", expected.client_id) != expected.client_id or (len(audiences) > 1 and "azp" not in claims):
        raise _forged("it was issued to another client")
    if not _seconds(claims.get("exp")) > now_s - _LEEWAY_S:
        raise _forged("it has expired")
    if not now_s - 3600 < _seconds(claims.get("iat")) < now_s + _LEEWAY_S:
        raise _forged("it was not issued just now")
    if not hmac.compare_digest(str(claims.get("nonce")).encode(), expected.nonce.encode()):
        raise _forged("it belongs to another log-in")
    subject, name = claims.get("sub"), claims.get(expected.name_claim, claims.get("sub"))
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not isinstance(name, str):
        raise _forged("it does not say who logged in")
    named = claims.get(expected.groups_claim, [])
    groups = filter(_is_group, named) if isinstance(named, list) else ()
    return Identity(issuer=expected.issuer, subject=subject, name=name, groups=tuple(islice(groups, _MOST_GROUPS)))


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

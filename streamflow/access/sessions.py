"""Tokens of sessions, signed with a key that all sidecars have: access tokens (JWT, RFC 7519, typed as RFC 9068 says)
that are valid for some minutes, and refresh tokens, each good once (RFC 9700, section 4.14).

A refresh token is `sfr_<family>_<generation>_<signature>`. The family's record says which generation is good; an older
one that is used again is a copy, and ends the session. So no secret of a session is kept anywhere. Nothing here reads a
clock."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from streamflow.access.directory import Directory
from streamflow.access.keys import require_enabled, require_valid
from streamflow.access.records import Family, User
from streamflow.errors import OperationError, Rejected

LEAST_CHARS = 32
_ALGORITHMS = ["HS256"]  # named to the reader: a token does not choose
_AUDIENCE = "streamflow"
_REFRESH = re.compile(r"sfr_([0-9a-f]{32})_([0-9]{1,9})_([A-Za-z0-9_-]{43})")
REFRESH_PREFIX = "sfr_"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a refresh token says, once its signature was found to be ours."""

    family: str
    generation: int


class Signing:
    """Signs tokens with the first of `secrets`, and takes those that any of them signed. Each kind of token has a key
    of its own, derived from the secret, so that none can be presented as another.

    Raises OperationError (`signing_key_weak`) when a secret has fewer than 32 characters."""

    def __init__(self, secrets: Sequence[str], environment: str) -> None:
        for secret in secrets:
            if len(secret) < LEAST_CHARS or len(set(secret)) < LEAST_CHARS // 4:
                raise OperationError(
                    "signing_key_weak",
                    f"A key that access.signing_key names can be guessed. Set a random one of at least {LEAST_CHARS} "
                    "characters, such as `openssl rand -hex 32` prints.",
                    retryable=False,
                )
        self._secrets = [secret.encode() for secret in secrets]
        self._issuer = f"/streamflow/{environment}"

    def access_token(self, family: Family, *, now_ms: int, seconds: int) -> str:
        """A JWT for the user of a session."""
        claims = {
            "iss": self._issuer,
            "aud": _AUDIENCE,
            "sub": family.user,
            "sid": family.id,
            "iat": now_ms // 1000,
            "exp": min(now_ms // 1000 + seconds, family.expires_ms // 1000),
        }
        return self.signed(claims, "at+jwt")

    def signed(self, claims: dict[str, Any], kind: str) -> str:
        """A JWT of a kind, which `read` must name as well."""
        return jwt.encode({"alg": "HS256", "typ": kind}, claims, _jwk(self._secrets[0], kind), algorithms=_ALGORITHMS)

    def read(self, token: str, kind: str, *, now_ms: int) -> dict[str, Any]:
        """The claims of a JWT that we signed. Raises Rejected (`token_wrong`, `token_expired`)."""
        for secret in self._secrets:
            try:
                found = jwt.decode(token, _jwk(secret, kind), algorithms=_ALGORITHMS)
            except (JoseError, ValueError, TypeError):
                continue
            expires = found.claims.get("exp")
            if found.header.get("typ") != kind or not isinstance(expires, int):
                continue
            if expires * 1000 <= now_ms:
                raise Rejected("token_expired", "The token has expired. Refresh the session, or log in again.")
            return found.claims
        raise Rejected("token_wrong", "The token was not issued by this installation. Log in again.")

    def session(self, directory: Directory, token: str, now_ms: int) -> tuple[Family, User]:
        """The session that an access token is of, and its user. Raises Rejected: `token_wrong`, `token_expired`, and as
        `require_open`."""
        claims = self.read(token, "at+jwt", now_ms=now_ms)
        family = directory.family(str(claims.get("sid")))
        named = (claims.get("iss"), claims.get("aud"), claims.get("sub"))
        if family is None or named != (self._issuer, _AUDIENCE, family.user):
            raise Rejected("session_ended", "The session of this token has ended. Log in again.")
        return family, require_open(directory, family, now_ms)

    def refresh_token(self, family: Family) -> str:
        """The refresh token that is good now."""
        return (
            f"{REFRESH_PREFIX}{family.id}_{family.generation}_{self.derived('refresh', family.id, family.generation)}"
        )

    def read_refresh_token(self, token: str) -> RefreshToken:
        """What a refresh token says. Raises Rejected (`token_wrong`) if we did not make it."""
        found = _REFRESH.fullmatch(token)
        if found is not None:
            for place in range(len(self._secrets)):
                own = self.derived("refresh", found[1], found[2], secret=place)
                if hmac.compare_digest(own, found[3]):
                    return RefreshToken(found[1], int(found[2]))
        raise Rejected("token_wrong", "The refresh token was not issued by this installation. Log in again.")

    def derived(self, *parts: object, secret: int = 0) -> str:
        """A text that only holders of the secret can know, the same for the same parts: 43 characters."""
        text = "\0".join(map(str, parts)).encode()
        return base64.urlsafe_b64encode(hmac.digest(self._secrets[secret], text, hashlib.sha256)).decode().rstrip("=")


def _jwk(secret: bytes, kind: str) -> OctKey:
    return OctKey.import_key(hmac.digest(secret, f"jwt\0{kind}".encode(), hashlib.sha256))


def require_open(directory: Directory, family: Family, now_ms: int) -> User:
    """The user of a session that is good. Raises Rejected: `session_ended`, `user_disabled`, `key_revoked`,
    `key_expired`."""
    user = require_enabled(directory.user(family.user))
    if family.revoked_ms is not None or family.expires_ms <= now_ms or family.created_ms < user.sessions_after_ms:
        raise Rejected("session_ended", "The session of this token has ended. Log in again.")
    if family.key is not None:
        key = directory.key(family.key)
        if key is None:
            raise Rejected("session_ended", "The API key that started this session is no longer valid. Log in again.")
        require_valid(directory, key, now_ms)
    return user

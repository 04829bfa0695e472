"""Who a request is from: by the sidecar's token, an API key, the access token of a session, or the cookie of one."""

from __future__ import annotations

import asyncio
import hmac
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from streamflow.access.accounting import Access
from streamflow.access.audit import Actor
from streamflow.access.key_changes import note_uses
from streamflow.access.keys import PREFIX, find
from streamflow.access.oidc import Provider
from streamflow.access.rates import Rates
from streamflow.access.sessions import Signing
from streamflow.errors import Rejected
from streamflow.operations.callbacks import API_PATH
from streamflow.secrets import resolve_secret
from streamflow.settings import Settings
from streamflow.sidecar import principal as principals
from streamflow.sidecar.principal import Principal

ACCESS_COOKIE = "streamflow_access"
REFRESH_COOKIE = "streamflow_refresh"
LOGIN_COOKIE = "streamflow_login"
CSRF_HEADER = "x-streamflow-csrf"
_SAFE = ("GET", "HEAD", "OPTIONS")
_USES_S = 60.0  # how often last uses of keys are written
_SELF = Actor(who="sidecar")


class Identity:
    """Finds principals, as the settings and the directory have them. `local`: the sidecar listens on this machine
    alone.

    Raises OperationError: `secret_missing`, `signing_key_weak`, `redis_missing`, `oidc_unusable`."""

    def __init__(self, settings: Settings, access: Access, *, local: bool) -> None:
        own = settings.access
        self.access = access
        self.local = local
        self._token = resolve_secret(settings.sidecar.token).encode() if settings.sidecar.token is not None else None
        references = [own.signing_key, *own.signing_keys_before] if own.signing_key is not None else []
        secrets = [resolve_secret(reference) for reference in references if reference is not None]
        self.signing = Signing(secrets, settings.environment) if secrets else None
        self.rates = Rates(
            requests_per_minute=own.requests_per_minute,
            attempts_per_minute=own.attempts_per_minute,
            changes_per_minute=own.changes_per_minute,
            redis=resolve_secret(own.redis) if own.redis is not None else None,
            of=f"{settings.topics.prefix}{settings.environment}",
        )
        self.public_url = own.public_url
        self.provider: Provider | None = None
        if own.oidc is not None and own.public_url is not None and self.signing is not None:
            secret = resolve_secret(own.oidc.client_secret) if own.oidc.client_secret is not None else None
            self.provider = Provider(own.oidc, secret, f"{own.public_url}{API_PATH}/session/oidc/callback")
        self._uses: dict[str, int] = {}
        self._noted_at = time.monotonic()

    @property
    def secure(self) -> bool:
        """Whether browsers reach the sidecar by TLS."""
        return self.public_url is not None and urlsplit(self.public_url).scheme == "https"

    def is_open(self) -> bool:
        """Whether everybody on this machine is an admin: no token, no users, and nobody else can get here. Raises
        OperationError when it is not known whether there are users."""
        return self._token is None and self.local and self.access.directory.is_open

    async def principal(self, headers: Headers, method: str) -> Principal:
        """Who sends these headers; counted against their rate. Raises Rejected, OperationError."""
        found = self.find(headers, method)
        await self.count(found)
        return found

    async def count(self, found: Principal) -> None:
        """Counts a request of a principal against their rate. Raises Rejected (`rate_exceeded`), OperationError."""
        if found.id:
            await self.rates.request(rate_name(found))
            if found.via.startswith(PREFIX):
                self._note_use(found.via.removeprefix(PREFIX))

    def find(self, headers: Headers, method: str) -> Principal:
        """The same without counting. Raises Rejected, OperationError."""
        given = headers.get("authorization")
        if given is not None:
            return self._of_bearer(given)
        cookie = cookies(headers).get(ACCESS_COOKIE)
        if cookie is not None and self.signing is not None and not self.is_open():
            require_own_page(headers, method)
            return self._of_session(cookie)
        if self.is_open():
            return principals.LOCAL
        raise Rejected(
            "token_missing",
            "expected the header `Authorization: Bearer TOKEN` but it is not there. Send the sidecar's token, an API "
            "key or the access token of a session.",
        )

    def _of_bearer(self, given: str) -> Principal:
        scheme, _, text = given.partition(" ")
        secret = text.strip()
        if scheme.lower() != "bearer" or not secret:
            raise Rejected(
                "token_missing",
                "expected the header `Authorization: Bearer TOKEN` but found another scheme. Send the sidecar's token, "
                "an API key or the access token of a session.",
            )
        if self._token is not None and hmac.compare_digest(secret.encode(), self._token):
            return principals.TOKEN
        if secret.startswith(PREFIX):
            directory = self.access.directory
            key, user = find(directory, secret, now_ms())
            return directory.principal(user, via=f"{PREFIX}{key.id}")
        if self.signing is not None and secret.count(".") == 2:
            return self._of_session(secret)
        if self.is_open():
            return principals.LOCAL  # as before there were users: a token that nobody asked for is not looked at
        raise Rejected("token_wrong", "expected the sidecar's token but found another. Send the sidecar's token.")

    def _of_session(self, token: str) -> Principal:
        assert self.signing is not None
        directory = self.access.directory
        family, user = self.signing.session(directory, token, now_ms())
        # A session that a key began is that key's: it counts as its requests, and makes no keys that outlive it.
        via = "session" if family.key is None else f"{PREFIX}{family.key}"
        return directory.principal(user, groups=family.groups, via=via, family=family.id)

    def _note_use(self, key: str) -> None:
        """Has the last use of a key written, with those of others, now and then."""
        self._uses[key] = now_ms()
        if time.monotonic() - self._noted_at >= _USES_S:
            uses, self._uses, self._noted_at = self._uses, {}, time.monotonic()
            self.access.submit(_SELF, lambda directory, now: note_uses(directory, now, uses=uses))

    async def close(self) -> None:
        """Writes what is left to note, and ends the access."""
        uses = self._uses
        if uses:
            self.access.submit(_SELF, lambda directory, now: note_uses(directory, now, uses=uses))
        await asyncio.to_thread(self.access.close)
        await self.rates.close()


def now_ms() -> int:
    """The time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def rate_name(found: Principal) -> str:
    """Under which name the requests of a user are counted: those with a key by the key."""
    return found.via if found.via.startswith(PREFIX) else f"user:{found.id}"


def cookies(headers: Headers) -> dict[str, str]:
    """The cookies of a request; none if they cannot be read."""
    try:
        return {name: one.value for name, one in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def require_own_page(headers: Headers, method: str) -> None:
    """Raises Rejected (`csrf_refused`) unless a request with a cookie that changes something comes from a page of this
    host. A browser says where it comes from (the guard has compared `Origin` with the host), and lets no other site's
    page add the header."""
    if method in _SAFE:
        return
    own = "origin" in headers or headers.get("sec-fetch-site") == "same-origin"
    if not own or CSRF_HEADER not in headers:
        raise Rejected(
            "csrf_refused",
            "A change with a session's cookie must come from a page of this host, with the header "
            "`X-Streamflow-Csrf: 1`. Send both, or an access token in the header Authorization.",
        )

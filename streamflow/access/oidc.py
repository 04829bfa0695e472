"""The provider of OpenID Connect: its configuration and keys, and the code flow with PKCE (RFC 7636). Any provider that
publishes its configuration (OpenID Connect Discovery 1.0) will do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from streamflow.access.id_token import Expected, Identity, LogOut, SignatureRefused, identity, log_out
from streamflow.errors import OperationError, Rejected
from streamflow.settings import OpenIdConnect
from streamflow.wire.unreadable import UNREADABLE

T = TypeVar("T")

_TIMEOUT_S = 5.0  # of each request to the provider
_MOST_BYTES = 1 << 20
_KEPT_S = 3600.0
_FRESH_S = 10.0  # a log-in begins only if the provider answered so recently
_KEYS_AGAIN_S = 5.0  # a new key of the provider is looked for at most so often
_FAILED_S = 2.0  # a provider that does not answer is asked again


class _Kept(Generic[T]):
    """Something that the provider says. One request asks for it, and the others wait for that answer or that failure:
    each would wait for the provider in turn."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._found: tuple[T, float] | None = None
        self._failed: tuple[OperationError, float] | None = None

    async def get(self, at_most_s: float = _KEPT_S) -> T:
        """It, asked for not longer ago. Raises OperationError."""
        async with self._lock:
            now = time.monotonic()
            if self._found is not None and now - self._found[1] <= at_most_s:
                return self._found[0]
            if self._failed is not None and now - self._failed[1] <= _FAILED_S:
                known = self._failed[0]
                raise OperationError(known.code, known.message, retryable=known.retryable)
            try:
                found = await self._ask()
            except OperationError as error:
                self._failed = error, time.monotonic()
                raise
            self._found, self._failed = (found, time.monotonic()), None
            return found


class Provider:
    """What `settings` name; `redirect_uri` is our address for its answers. Used on one event loop."""

    def __init__(self, settings: OpenIdConnect, client_secret: str | None, redirect_uri: str) -> None:
        self.settings = settings
        self._secret = client_secret
        self._redirect_uri = redirect_uri
        self._configuration = _Kept(self._ask_configuration)
        self._keys = _Kept(self._ask_keys)
        _require_secure(settings.issuer)

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to log in. Raises OperationError (`oidc_unreachable`, `oidc_unusable`): no browser is
        sent to a provider that does not answer."""
        await self._configuration.get(_FRESH_S)
        place = await self._endpoint("authorization_endpoint")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}"

    async def identity(self, *, code: str, nonce: str, verifier: str) -> Identity:
        """Who logged in with `code`. Raises Rejected (`oidc_refused`, `oidc_forged`), OperationError."""
        token = await self._id_token(code, verifier)
        expected = self._expected(nonce)
        return await self._checked(lambda keys: identity(token, keys, expected, now_s=now_s()))

    async def log_out(self, token: str) -> LogOut:
        """Whom the provider has logged out, by its own account. Raises Rejected (`oidc_forged`), OperationError."""
        expected = self._expected("")
        return await self._checked(lambda keys: log_out(token, keys, expected, now_s=now_s()))

    async def leaving_url(self, token: str | None, back_to: str) -> str | None:
        """Where a browser is sent to log out (OpenID Connect RP-Initiated Logout 1.0); None: the provider has no such
        place. Without the ID token of the log-in the provider asks the person. Raises OperationError."""
        if "end_session_endpoint" not in await self._configuration.get(_FRESH_S):
            return None
        place = await self._endpoint("end_session_endpoint")
        query = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back_to}
        if token is not None:
            query["id_token_hint"] = token
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}"

    def _expected(self, nonce: str) -> Expected:
        return Expected(
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=nonce,
            name_claim=self.settings.name_claim,
            groups_claim=self.settings.groups_claim,
        )

    async def _checked(self, check: Callable[[KeySet], T]) -> T:
        """What a check with the provider's keys finds; it may have a new one."""
        try:
            return check(await self._keys.get())
        except SignatureRefused:
            return check(await self._keys.get(_KEYS_AGAIN_S))

    async def _id_token(self, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        methods = (await self._configuration.get()).get(
            "token_endpoint_auth_methods_supported", ["client_secret_basic"]
        )
        if self._secret is None:
            form["client_id"] = self.settings.client_id
        elif "client_secret_basic" in methods:
            pair = f"{quote(self.settings.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self.settings.client_id, "client_secret": self._secret}
        status, answer = await self._ask("POST", await self._endpoint("token_endpoint"), form, headers)
        token = answer.get("id_token")
        if status >= 500:
            raise _unreachable(await self._endpoint("token_endpoint"), f"status {status}")
        if status != 200 or not isinstance(token, str):
            why = str(answer.get("error", f"status {status}"))[:200]
            raise Rejected("oidc_refused", f"The identity provider did not confirm the log-in: {why}. Try again.")
        return token

    async def _endpoint(self, name: str) -> str:
        found = (await self._configuration.get()).get(name)
        if not isinstance(found, str):
            raise _unusable(f"its configuration has no {name}")
        _require_secure(found)
        return found

    async def _ask_configuration(self) -> dict[str, Any]:
        place = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, found = await self._ask("GET", place)
        if status >= 500:
            raise _unreachable(place, f"status {status}")
        if status != 200 or found.get("issuer") != self.settings.issuer:
            raise _unusable(f"{place} answers {status} and names the issuer {str(found.get('issuer'))[:200]}")
        return found

    async def _ask_keys(self) -> KeySet:
        status, found = await self._ask("GET", await self._endpoint("jwks_uri"))
        try:
            return KeySet.import_key_set({"keys": list(found["keys"])})
        except (JoseError, *UNREADABLE) as error:
            raise _unusable(f"its keys cannot be read (status {status})") from error

    async def _ask(
        self, method: str, url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object of an answer; empty if it is none."""
        context = ssl.create_default_context(cafile=str(self.settings.ca)) if self.settings.ca else True
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session,
                session.request(
                    method, url, data=form, headers=headers, ssl=context, allow_redirects=False
                ) as response,
            ):
                content = b""
                async for part in response.content.iter_chunked(1 << 16):
                    content += part
                    if len(content) > _MOST_BYTES:
                        raise _unusable(f"{url} answers more than {_MOST_BYTES} bytes")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(url, str(error)[:200] or type(error).__name__) from error
        try:
            found = msgspec.json.decode(content)
        except UNREADABLE:
            found = None
        return response.status, found if isinstance(found, dict) else {}


def now_s() -> int:
    """The time, in epoch seconds."""
    return int(time.time())


def _require_secure(url: str) -> None:
    """Raises OperationError (`oidc_unusable`) for an address that is neither https nor on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise _unusable(f"{url[:200]} is not https")


def _unreachable(url: str, why: str) -> OperationError:
    return OperationError(
        "oidc_unreachable", f"The identity provider does not respond at {url}: {why}. Try again later."
    )


def _unusable(why: str) -> OperationError:
    return OperationError(
        "oidc_unusable", f"The identity provider cannot be used: {why}. Correct access.oidc.", retryable=False
    )

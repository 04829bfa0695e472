"""The provider of OpenID Connect: its configuration and keys, and the code flow with PKCE (RFC 7636). Any provider that
publishes its configuration (OpenID Connect Discovery 1.0) will do."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import ssl
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from streamflow.access.id_token import Expected, Identity, identity
from streamflow.errors import OperationError, Rejected
from streamflow.settings import OpenIdConnect

_TIMEOUT_S = 10.0
_MOST_BYTES = 1 << 20
_KEPT_S = 3600.0
_KEYS_AGAIN_S = 30.0  # a new key of the provider is looked for at most so often


class Provider:
    """What `settings` name; `redirect_uri` is our address for its answers. Used on one event loop."""

    def __init__(self, settings: OpenIdConnect, client_secret: str | None, redirect_uri: str) -> None:
        self.settings = settings
        self._secret = client_secret
        self._redirect_uri = redirect_uri
        self._lock = asyncio.Lock()
        self._configuration: tuple[dict[str, Any], float] | None = None
        self._keys: tuple[KeySet, float] | None = None
        _require_secure(settings.issuer)

    async def authorization_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where a browser is sent to log in. Raises OperationError (`oidc_unreachable`, `oidc_unusable`)."""
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
        expected = Expected(
            issuer=self.settings.issuer,
            client_id=self.settings.client_id,
            nonce=nonce,
            name_claim=self.settings.name_claim,
            groups_claim=self.settings.groups_claim,
        )
        try:
            return identity(token, await self._key_set(), expected, now_s=int(time.time()))
        except Rejected:
            # The provider may have a new key.
            if self._keys is None or time.monotonic() - self._keys[1] < _KEYS_AGAIN_S:
                raise
            self._keys = None
            return identity(token, await self._key_set(), expected, now_s=int(time.time()))

    async def _id_token(self, code: str, verifier: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        methods = (await self._known()).get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._secret is None:
            form["client_id"] = self.settings.client_id
        elif "client_secret_basic" in methods:
            pair = f"{quote(self.settings.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self.settings.client_id, "client_secret": self._secret}
        status, answer = await self._ask("POST", await self._endpoint("token_endpoint"), form, headers)
        token = answer.get("id_token")
        if status != 200 or not isinstance(token, str):
            why = str(answer.get("error", f"status {status}"))[:200]
            raise Rejected("oidc_refused", f"The identity provider did not confirm the log-in: {why}. Try again.")
        return token

    async def _endpoint(self, name: str) -> str:
        found = (await self._known()).get(name)
        if not isinstance(found, str):
            raise _unusable(f"its configuration has no {name}")
        _require_secure(found)
        return found

    async def _known(self) -> dict[str, Any]:
        async with self._lock:
            if self._configuration is None or time.monotonic() - self._configuration[1] > _KEPT_S:
                place = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                status, found = await self._ask("GET", place)
                if status != 200 or found.get("issuer") != self.settings.issuer:
                    raise _unusable(f"{place} answers {status} and names the issuer {str(found.get('issuer'))[:200]}")
                self._configuration = found, time.monotonic()
            return self._configuration[0]

    async def _key_set(self) -> KeySet:
        if self._keys is None or time.monotonic() - self._keys[1] > _KEPT_S:
            status, found = await self._ask("GET", await self._endpoint("jwks_uri"))
            try:
                self._keys = KeySet.import_key_set({"keys": list(found["keys"])}), time.monotonic()
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise _unusable(f"its keys cannot be read (status {status})") from error
        return self._keys[0]

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
            said = str(error)[:200] or type(error).__name__
            raise OperationError(
                "oidc_unreachable", f"The identity provider does not respond at {url}: {said}. Try again later."
            ) from error
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = None
        return response.status, found if isinstance(found, dict) else {}


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


def _unusable(why: str) -> OperationError:
    return OperationError(
        "oidc_unusable", f"The identity provider cannot be used: {why}. Correct access.oidc.", retryable=False
    )

"""OAuth tokens for SASL OAUTHBEARER: asked for once, and shared by all clients of the process until most of their life
is over."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from aiokafka.abc import AbstractTokenProvider

from streamflow.errors import OperationError
from streamflow.kafka.tls import trusting
from streamflow.secrets import KNOWN, resolve_secret
from streamflow.settings import Kafka
from streamflow.wire.unreadable import UNREADABLE

_ANSWER_S = 5.0  # of the token server
_MOST_BYTES = 64 << 10
_UNKNOWN_LIFE_S = 60.0  # of a token that does not say when it ends
_USED_SHARE = 0.8  # of its life, after which a new one is asked for


class Token(NamedTuple):
    """An OAuth access token, and when it ends (seconds since the epoch)."""

    text: str
    ends_s: float


class TokenSource:
    """The tokens of one set of settings. For several threads."""

    def __init__(self, kafka: Kafka, clock: Callable[[], float] = time.time) -> None:
        self._kafka = kafka
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Token | None = None
        self._renew_s = 0.0

    def current(self) -> Token:
        """A token that is valid for a while. Blocks for some seconds at most.

        Raises OperationError (`oauth_refused`, `oauth_unreachable`, `secret_missing`)."""
        with self._lock:
            now = self._clock()
            if self._held is None or now >= self._renew_s:
                self._held = self._read() if self._kafka.oauth_token is not None else self._ask()
                self._renew_s = now + (self._held.ends_s - now) * _USED_SHARE
            return self._held

    def _read(self) -> Token:
        text = resolve_secret(self._kafka.oauth_token or "")
        ends_s = _expiry(text) or self._clock() + _UNKNOWN_LIFE_S
        if ends_s <= self._clock():
            raise OperationError(
                "oauth_refused",
                f"The token in {self._kafka.oauth_token} has expired. Check what renews it.",
            )
        return Token(text, ends_s)

    def _ask(self) -> Token:
        kafka, url = self._kafka, self._kafka.oauth_token_url or ""
        secret = resolve_secret(kafka.oauth_client_secret or "")
        form = {"grant_type": "client_credentials"} | ({"scope": kafka.oauth_scope} if kafka.oauth_scope else {})
        # RFC 6749, 2.3.1: both parts are encoded as forms are
        pair = f"{urllib.parse.quote_plus(kafka.oauth_client_id or '')}:{urllib.parse.quote_plus(secret)}"
        request = urllib.request.Request(  # noqa: S310 - the settings allow https, and http on this machine
            url,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        try:
            answer = json.loads(self._open(request))
            token, life_s = str(answer["access_token"]), float(answer.get("expires_in") or 0)
        except urllib.error.HTTPError as error:
            raise OperationError(
                "oauth_refused" if error.code < 500 else "oauth_unreachable",
                f"The token server {url} answered {error.code}{_said(error)}. Check kafka.oauth_client_id, "
                "kafka.oauth_client_secret and kafka.oauth_scope.",
            ) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise OperationError(
                "oauth_unreachable",
                f"The token server {url} does not respond ({reason}). Check kafka.oauth_token_url, the network and "
                "kafka.oauth_ca.",
            ) from error
        except UNREADABLE as error:
            raise OperationError(
                "oauth_unreachable", f"The token server {url} returned no token. Check kafka.oauth_token_url."
            ) from error
        KNOWN.add(token)
        return Token(token, self._clock() + life_s if life_s > 0 else _expiry(token) or self._clock() + _UNKNOWN_LIFE_S)

    def _open(self, request: urllib.request.Request) -> bytes:
        context = trusting("oauth_ca", self._kafka.oauth_ca)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)
        with opener.open(request, timeout=_ANSWER_S) as answer:
            content: bytes = answer.read(_MOST_BYTES)
        return content


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The secret is sent to nobody but the address in the settings."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _said(error: urllib.error.HTTPError) -> str:
    """RFC 6749, 5.2: a code for the reason."""
    try:
        code = json.loads(error.read(_MOST_BYTES))["error"]
    except (OSError, *UNREADABLE):
        return ""
    return f" ({code})" if isinstance(code, str) and len(code) < 100 else ""


def _expiry(token: str) -> float | None:
    """When a JWT ends, by its own claim (RFC 7519, 4.1.4); None for another token. The broker verifies it, we only
    renew."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except UNREADABLE:
        return None


@lru_cache(maxsize=8)
def token_source(kafka: Kafka) -> TokenSource:
    """The tokens of these settings, the same source for all clients of the process."""
    return TokenSource(kafka)


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """The same for aiokafka, which asks once for each connection."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        return (await asyncio.to_thread(self._source.current)).text

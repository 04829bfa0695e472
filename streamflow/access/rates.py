"""How many requests a user or key may make, how many changes of access, and how many log-ins may fail. Counted in Redis
if there is one, together with the other sidecars; otherwise, and while it does not answer, by this process alone."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from streamflow.errors import OperationError, Rejected

_log = structlog.get_logger(__name__)

T = TypeVar("T")

REDIS_S = 0.5  # that Redis may take to count
AGAIN_S = 5.0  # after Redis failed, until it is asked again
_OF_ADDRESS = 10  # an address may be that of a proxy, so it may fail so many times as often as a user name


class Rates:
    """Counts in windows of a minute that slide. `shared`: whether all sidecars count together. `on_shared` is called
    with `shared` when it changes, and `of` names the installation whose sidecars do: others may use the same Redis.

    One that does not answer within `REDIS_S` is left alone for `AGAIN_S`. Then one request tries it, while others still
    count here: so a Redis that hangs does not slow down every request.

    Raises OperationError (`redis_missing`) when a Redis is named and its client is not installed."""

    def __init__(
        self,
        *,
        requests_per_minute: int,
        attempts_per_minute: int,
        changes_per_minute: int = 120,
        redis: str | None = None,
        of: str = "",
    ) -> None:
        self.requests_per_minute = requests_per_minute
        self._changes = RateLimitItemPerMinute(changes_per_minute)
        self._requests = RateLimitItemPerMinute(requests_per_minute)
        self._attempts = RateLimitItemPerMinute(attempts_per_minute)
        self._of_address = RateLimitItemPerMinute(attempts_per_minute * _OF_ADDRESS)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._together: SlidingWindowCounterRateLimiter | None = None
        self._disconnect: Callable[[], Awaitable[None]] | None = None
        if redis is not None:
            storage, self._disconnect = _redis(redis, of)
            self._together = SlidingWindowCounterRateLimiter(storage)
        self._again_at = 0.0
        self.shared = redis is not None
        self.on_shared: Callable[[bool], None] | None = None

    async def request(self, who: str) -> None:
        """Counts a request. Raises Rejected (`rate_exceeded`)."""
        if not await self._hit(self._requests, who):
            raise Rejected(
                "rate_exceeded",
                f"More than {self.requests_per_minute} requests were sent in a minute. Send further ones later.",
            )

    async def change(self, user: str) -> None:
        """Counts a change of users, grants, keys or views by a user (by id), whatever key or session it is made with.
        Raises Rejected (`rate_exceeded`)."""
        if not await self._hit(self._changes, f"changes:{user}"):
            raise Rejected(
                "rate_exceeded",
                f"More than {self._changes.amount} changes of access were made in a minute. Make further ones later.",
            )

    async def left(self, who: str) -> int:
        """How many requests may still be made now."""
        key = _key(who)
        stats = await self._do(lambda strategy: strategy.get_window_stats(self._requests, key))
        return max(0, stats.remaining)

    async def require_attempts(self, name: str | None, address: str) -> None:
        """Raises Rejected (`too_many_attempts`) when too many log-ins of a user name or an address have failed."""
        if not await self._fits(self._of_address, f"address:{address}") or (
            name is not None and not await self._fits(self._attempts, f"name:{name.casefold()}")
        ):
            raise Rejected("too_many_attempts", "Too many log-ins have failed. Wait a minute, then try again.")

    async def failed(self, name: str | None, address: str) -> None:
        """Counts a log-in that failed."""
        await self._hit(self._of_address, f"address:{address}")
        if name is not None:
            await self._hit(self._attempts, f"name:{name.casefold()}")

    async def close(self) -> None:
        """Ends the connections to Redis."""
        if self._disconnect is not None:
            await self._disconnect()

    async def _hit(self, item: RateLimitItemPerMinute, who: str) -> bool:
        key = _key(who)
        return await self._do(lambda strategy: strategy.hit(item, key))

    async def _fits(self, item: RateLimitItemPerMinute, who: str) -> bool:
        key = _key(who)
        return await self._do(lambda strategy: strategy.test(item, key))

    async def _do(self, ask: Callable[[SlidingWindowCounterRateLimiter], Awaitable[T]]) -> T:
        """What Redis says, else this process."""
        if self._together is not None and (self.shared or time.monotonic() >= self._again_at):
            self._again_at = time.monotonic() + AGAIN_S  # while it is not shared, others do not wait for this attempt
            try:
                async with asyncio.timeout(REDIS_S):
                    found = await ask(self._together)
            except (StorageError, TimeoutError) as error:
                self._again_at = time.monotonic() + AGAIN_S
                self._set_shared(False, _said(error))
            else:
                self._set_shared(True, "")
                return found
        return await ask(self._own)

    def _set_shared(self, shared: bool, error: str) -> None:
        if shared == self.shared:
            return
        self.shared = shared
        if shared:
            _log.info("rates_shared_again")
        else:
            _log.warning("rates_not_shared", error=error)
        if self.on_shared is not None:
            self.on_shared(shared)


def _key(who: str) -> str:
    """A key of one length and without special characters, whatever name a stranger logs in with. It shows no names."""
    return hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()


def _said(error: StorageError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {REDIS_S:g} s"
    return f"{type(error.storage_error).__name__}: {error.storage_error}"[:300]


def _redis(url: str, of: str) -> tuple[Storage, Callable[[], Awaitable[None]]]:
    """The storage, and what ends its connections."""
    try:
        from limits.aio.storage import RedisStorage
        from redis.asyncio import ConnectionPool
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = ConnectionPool.from_url(
            url,
            socket_timeout=REDIS_S,
            socket_connect_timeout=REDIS_S,
            retry=Retry(NoBackoff(), 1),  # once, on a new connection: one that was kept may have ended
        )
        options: dict[str, Any] = {"connection_pool": pool}
        made = RedisStorage(
            f"async+{url}", implementation="redispy", wrap_exceptions=True, key_prefix=f"streamflow:{of}", **options
        )
    except Exception as error:
        raise OperationError(
            "redis_missing",
            f"The Redis of access.redis cannot be used: {type(error).__name__}. Install the package with the extra "
            "`redis`, and give a URL such as redis://redis:6379/0.",
            retryable=False,
        ) from error
    return made, pool.aclose

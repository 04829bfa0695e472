"""How many requests a user or key may make, how many changes of access, and how many log-ins may fail. Counted in Redis
if there is one, together with the other sidecars; otherwise, and while it does not answer, by this process alone."""

from __future__ import annotations

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from streamflow.errors import OperationError, Rejected

_log = structlog.get_logger(__name__)

_OF_ADDRESS = 10  # an address may be that of a proxy, so it may fail so many times as often as a user name
_REDIS_S = 1.0


class Rates:
    """Counts in windows of a minute that slide. `shared`: whether all sidecars count together.

    Raises OperationError (`redis_missing`) when a Redis is named and its client is not installed."""

    def __init__(
        self,
        *,
        requests_per_minute: int,
        attempts_per_minute: int,
        changes_per_minute: int = 120,
        redis: str | None = None,
    ) -> None:
        self.requests_per_minute = requests_per_minute
        self._changes = RateLimitItemPerMinute(changes_per_minute)
        self._requests = RateLimitItemPerMinute(requests_per_minute)
        self._attempts = RateLimitItemPerMinute(attempts_per_minute)
        self._of_address = RateLimitItemPerMinute(attempts_per_minute * _OF_ADDRESS)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._together = None if redis is None else SlidingWindowCounterRateLimiter(_redis(redis))
        self.shared = redis is not None

    async def request(self, who: str) -> None:
        """Counts a request. Raises Rejected (`rate_exceeded`)."""
        if not await self._do("hit", self._requests, who):
            raise Rejected(
                "rate_exceeded",
                f"More than {self.requests_per_minute} requests were sent in a minute. Send further ones later.",
            )

    async def change(self, user: str) -> None:
        """Counts a change of users, grants, keys or views by a user (by id), whatever key or session it is made with.
        Raises Rejected (`rate_exceeded`)."""
        if not await self._do("hit", self._changes, f"changes:{user}"):
            raise Rejected(
                "rate_exceeded",
                f"More than {self._changes.amount} changes of access were made in a minute. Make further ones later.",
            )

    async def left(self, who: str) -> int:
        """How many requests may still be made now."""
        strategy = self._together if self._together is not None and self.shared else self._own
        try:
            return max(0, (await strategy.get_window_stats(self._requests, who)).remaining)
        except StorageError:
            return self.requests_per_minute

    async def require_attempts(self, name: str | None, address: str) -> None:
        """Raises Rejected (`too_many_attempts`) when too many log-ins of a user name or an address have failed."""
        if not await self._do("test", self._of_address, f"address:{address}") or (
            name is not None and not await self._do("test", self._attempts, f"name:{name.casefold()}")
        ):
            raise Rejected("too_many_attempts", "Too many log-ins have failed. Wait a minute, then try again.")

    async def failed(self, name: str | None, address: str) -> None:
        """Counts a log-in that failed."""
        await self._do("hit", self._of_address, f"address:{address}")
        if name is not None:
            await self._do("hit", self._attempts, f"name:{name.casefold()}")

    async def _do(self, verb: str, item: RateLimitItemPerMinute, who: str) -> bool:
        if self._together is not None:
            try:
                allowed: bool = await getattr(self._together, verb)(item, who)
            except StorageError as error:
                if self.shared:
                    _log.warning("rates_not_shared", error=str(error.storage_error))
                self.shared = False
            else:
                self.shared = True
                return allowed
        allowed = await getattr(self._own, verb)(item, who)
        return allowed


def _redis(url: str) -> Storage:
    try:
        from limits.aio.storage import RedisStorage

        return RedisStorage(
            f"async+{url}",
            implementation="redispy",
            wrap_exceptions=True,
            key_prefix="streamflow",
            socket_timeout=_REDIS_S,
            socket_connect_timeout=_REDIS_S,
        )
    except Exception as error:
        raise OperationError(
            "redis_missing",
            f"The Redis of access.redis cannot be used: {type(error).__name__}. Install the package with the extra "
            "`redis`, and give a URL such as redis://redis:6379/0.",
            retryable=False,
        ) from error

"""The log lines of what a partition's core reports to its host."""

from __future__ import annotations

import structlog

from streamflow.core.hot_keys import HotKey

_KEY_CHARS = 200

log = structlog.get_logger()


class PartitionLog:
    """The log lines of partition `number`."""

    def __init__(self, number: int) -> None:
        self._number = number

    def put_aside(self, offset: int, reason: str, error: Exception) -> None:
        """The command at `offset` could not be decided."""
        log.error(
            reason,
            partition=self._number,
            offset=offset,
            consequence="the command becomes a dead letter",
            exc_info=error,
        )

    def hot_key(self, found: HotKey) -> None:
        """A key had more than half of the commands of a minute."""
        log.warning(
            "hot_key",
            partition=self._number,
            key=found.key.decode(errors="replace")[:_KEY_CHARS],
            ratio=round(found.ratio, 2),
            commands=found.commands,
            consequence="the commands of one key are decided one after the other; more workers do not help",
        )

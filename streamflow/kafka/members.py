"""The members of consumer groups: who is there now, as the broker has it.

A worker of the engine, of ingress, of history or of the mirror announces nothing: its client id says what people want
to know of it, so what is said ends with the membership. It is the client's name, revisions of the engine, and facts,
separated by semicolons: `streamflow-main-engine;r2;host=worker-1;pid=17;since=1764400000000;version=0.1.0`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from streamflow.errors import OperationError
from streamflow.kafka.connection import aiokafka_config
from streamflow.kafka.refusals import missing_right, right_missing
from streamflow.settings import Settings

_ANSWER_S = 10.0
_GROUP_ID_NOT_FOUND = 69
_BEGAN_MS = time.time_ns() // 1_000_000
_CHARS = 100  # of a fact


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a group. What its client id does not say is None or empty: it is of another release, or no worker."""

    client_id: str
    address: str = ""
    """Where the broker sees it, an IP address."""

    instance: str = ""
    """The instance id in its settings."""

    host: str = ""
    pid: int | None = None
    since_ms: int | None = None
    """When its process began, in epoch milliseconds."""

    version: str = ""
    """The release that it runs."""

    revisions: tuple[str, ...] = ()
    """Of the engine that it knows."""

    partitions: int = 0
    """How many it has now."""


def release() -> str:
    """The version of this program, empty if it is not installed."""
    try:
        return version("streamflow-kafka")
    except PackageNotFoundError:
        return ""


def member_role(role: str, instance: str | None = None, revisions: Sequence[str] = ()) -> str:
    """The role of a worker for `aiokafka_config` or `confluent_config`, so that its client id holds these facts."""
    facts = {
        "instance": instance or "",
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "since": str(_BEGAN_MS),
        "version": release(),
    }
    said = [f"{name}={_clean(value)}" for name, value in facts.items() if value]
    return ";".join((role, *revisions, *said))


def member_of(client_id: str, address: str = "", partitions: int = 0) -> Member:
    """What a client id holds."""
    words = client_id.split(";")[1:]
    facts = dict(word.split("=", 1) for word in words if "=" in word)
    return Member(
        client_id=client_id,
        address=address,
        instance=facts.get("instance", ""),
        host=facts.get("host", ""),
        pid=_number(facts.get("pid")),
        since_ms=_number(facts.get("since")),
        version=facts.get("version", ""),
        revisions=tuple(word for word in words if "=" not in word),
        partitions=partitions,
    )


async def members_of(settings: Settings, groups: Sequence[str]) -> dict[str, tuple[Member, ...]]:
    """The members of each group, by client id. Not by librdkafka's admin client (see `groups`). Raises OperationError
    when the broker does not answer."""
    client = AIOKafkaAdminClient(**aiokafka_config(settings, "presence"))
    try:
        async with asyncio.timeout(_ANSWER_S):
            await client.start()
            found = {}
            for group in groups:
                (answer,) = await client.describe_consumer_groups([group])
                ((code, _group, _state, _kind, _protocol, members, *_),) = answer.groups
                if code == GroupAuthorizationFailedError.errno:
                    raise right_missing([f"DESCRIBE on group {group}"])
                if code not in (0, _GROUP_ID_NOT_FOUND):
                    raise OperationError(
                        "broker_refused",
                        f"expected the members of group {group} but the broker answered {code}. Check its permissions.",
                    )
                made = (member_of(one[1], one[2].lstrip("/"), _assigned(one[4])) for one in members)
                found[group] = tuple(sorted(made, key=lambda one: one.client_id))
            return found
    except (KafkaError, OSError) as error:
        if (denied := missing_right(error, group=("DESCRIBE", ", ".join(groups)))) is not None:
            raise denied from error
        text = f"expected the members of groups but {error!r}. Check the broker."
        raise OperationError("broker_unreachable", text) from error
    finally:
        await client.close()


def _assigned(assignment: bytes) -> int:
    """How many partitions a member has; none while the group has not agreed."""
    if not assignment:
        return 0
    found: Any = ConsumerProtocolMemberAssignment.decode(assignment)
    return sum(len(numbers) for _, numbers in found.assignment)


def _clean(value: str) -> str:
    """Without what separates facts."""
    return value[:_CHARS].replace(";", "_").replace("=", "_")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None

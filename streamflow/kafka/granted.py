"""Whether this user has the rights that it needs, asked when a process starts: all that is missing is named at once,
and not when it is used for the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.errors import KafkaError as AIOKafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from streamflow.kafka.aiokafka_patches import run_and_disconnect
from streamflow.kafka.connection import aiokafka_config, confluent_config
from streamflow.kafka.refusals import denied_kind, right_missing
from streamflow.kafka.rights import Resource, Right
from streamflow.settings import Settings

_log = structlog.get_logger(__name__)

_ANSWER_S = 10.0
_UNKNOWN = -(2**31)  # a broker that does not say
# What may be granted although nothing is known of the topic: it does not include DESCRIBE.
_SILENT = frozenset({"CREATE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"})


class _DescribeGroupStruct(RequestStruct):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = DescribeGroupsRequest_v3.SCHEMA


class _DescribeGroup(Request[_DescribeGroupStruct]):  # type: ignore[misc]
    """DescribeGroups version 3 with the rights in its answer (KIP-430), which aiokafka 0.14 asks for and leaves out."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_DescribeGroupStruct]) -> _DescribeGroupStruct:
        return request_struct_class([self._group], True)


def require_rights(settings: Settings, wanted: Sequence[Right]) -> None:
    """Returns when the broker grants what is `wanted`, as far as it can be asked: rights on transactional ids are only
    known when they are used, and a broker that does not answer is not waited for. For use outside of an event loop.

    Raises OperationError (`right_missing`) with all rights that are missing."""
    if not wanted:
        return
    names = {
        resource: [right.name for right in wanted if right.resource is resource]
        for resource in (Resource.TOPIC, Resource.GROUP)
    }
    granted = {  # a lane's topic and its group have one name
        Resource.TOPIC: _of_topics(settings, names[Resource.TOPIC]),
        Resource.GROUP: run_and_disconnect(_of_groups(settings, names[Resource.GROUP])),
    }
    lacking = [
        f"{operation} on {right.resource.value} {right.name}"
        for right in wanted
        if (has := granted.get(right.resource, {}).get(right.name)) is not None
        for operation in right.operations
        if operation not in has and (has or operation not in _SILENT)
    ]
    if lacking:
        raise right_missing(lacking, wanted[0].role)


def _of_topics(settings: Settings, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """The operations that we may do, by topic; without those of which nothing is known."""
    wanted = list(names)
    if not wanted:
        return {}
    client = AdminClient(confluent_config(settings, "rights"))
    asked = client.describe_topics(
        TopicCollection(wanted), include_authorized_operations=True, request_timeout=_ANSWER_S
    )
    found: dict[str, frozenset[str]] = {}
    for name, answer in asked.items():
        try:
            operations = answer.result(_ANSWER_S).authorized_operations
        except KafkaException as error:
            if denied_kind(error) is not None:
                found[name] = frozenset()
            elif error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                _log.warning("rights_unknown", topic=name, error=error.args[0].str())
        except TimeoutError:
            _log.warning("rights_unknown", topic=name, error="no answer came in time")
        else:
            if operations is not None:
                found[name] = frozenset(one.name for one in operations)
    return found


async def _of_groups(settings: Settings, groups: Iterable[str]) -> dict[str, frozenset[str]]:
    """The same by consumer group."""
    wanted = list(groups)
    found: dict[str, frozenset[str]] = {}
    if not wanted:
        return found
    client = AIOKafkaAdminClient(**aiokafka_config(settings, "rights"))
    try:
        async with asyncio.timeout(_ANSWER_S):
            await client.start()
            for group in wanted:
                try:
                    node = await client.find_coordinator(group)
                    answer = await client._send_request(_DescribeGroup(group), node)  # noqa: SLF001
                except GroupAuthorizationFailedError:
                    found[group] = frozenset()
                    continue
                ((code, *_, operations),) = answer.groups
                if code == GroupAuthorizationFailedError.errno:
                    found[group] = frozenset()
                elif operations != _UNKNOWN:
                    found[group] = frozenset(one.name for one in AclOperation if operations >> one.value & 1)
    except (AIOKafkaError, OSError, TimeoutError) as error:
        # on a new cluster the coordinator of groups is not there yet
        _log.debug("rights_unknown", groups=wanted, error=repr(error))
    finally:
        await client.close()
    return found

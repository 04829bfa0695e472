"""Desired topics against actual ones: `plan` reports, `apply` changes what is safe to change, `require_topics` refuses
to start on anything else.

No partition is added to a keyed topic (`generations` does that) and no cleanup policy is changed. What takes something
away (a shorter retention, fewer replicas that must have a record) is a separate kind of finding, `lower`, and done only
when it is asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from streamflow.errors import OperationError
from streamflow.kafka.connection import confluent_config, log_client_error
from streamflow.kafka.engine_records import fix_limits, read_generations
from streamflow.kafka.refusals import client_refusal, missing_right
from streamflow.kafka.topic_findings import ActualTopic, Finding, findings, partitions_grown_to
from streamflow.kafka.topics import DEFINITIONS, Topic, topic_name, topics
from streamflow.settings import Settings

_TIMEOUT_S = 30.0
_REACH_S = 5.0

# librdkafka's own codes for a broker that does not answer.
_CUT_OFF = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})


@contextlib.contextmanager
def _in_time(expected: str) -> Iterator[None]:
    """Raises OperationError when the broker takes longer than a call waits."""
    try:
        yield
    except TimeoutError as error:
        text = f"expected {expected} but the broker did not answer within {_TIMEOUT_S:g} s. Check the broker."
        raise OperationError("broker_unreachable", text) from error


class Admin:
    """The cluster's administration, with answers that are waited for and errors in our words."""

    def __init__(self, settings: Settings) -> None:
        self._last_error: KafkaError | None = None
        self._client = AdminClient(confluent_config(settings, "admin", on_error=self._remember))

    def _remember(self, error: KafkaError) -> None:
        self._last_error = error
        log_client_error(error)

    def describe(self, names: Iterable[str], *, with_config: bool = True) -> dict[str, ActualTopic]:
        """Those of the named topics that exist, with their configuration, which needs a separate right.

        Raises OperationError if the broker does not answer."""
        wanted = list(names)
        if not wanted:
            return {}
        self._reach()
        # right after a broker continues, librdkafka may lose a request without a word: it is asked once more
        for timeout_s in (_TIMEOUT_S / 3, _TIMEOUT_S):
            with contextlib.suppress(TimeoutError):
                return self._describe(wanted, timeout_s, with_config=with_config)
        raise OperationError(
            "broker_unreachable", "expected a description of the topics but none came in time. Check the broker."
        )

    def _describe(self, wanted: list[str], timeout_s: float, *, with_config: bool) -> dict[str, ActualTopic]:
        found: dict[str, ActualTopic] = {}
        for name, future in self._client.describe_topics(TopicCollection(wanted), request_timeout=timeout_s).items():
            try:
                described = future.result(timeout_s)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise self._failed(f"a description of {name}", error, ("DESCRIBE", name)) from error
            replicas = min((len(partition.replicas) for partition in described.partitions), default=0)
            found[name] = ActualTopic(name, str(described.topic_id), len(described.partitions), replicas, {})
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in found] if with_config else []
        if resources:
            for resource, future in self._client.describe_configs(resources, request_timeout=_TIMEOUT_S).items():
                entries = self._wait(
                    future, f"the configuration of {resource.name}", ("DESCRIBE_CONFIGS", resource.name)
                )
                found[resource.name].config.update({name: entry.value for name, entry in entries.items()})
        return found

    @_in_time("the topics to be created")
    def create(self, wanted: Sequence[Topic]) -> None:
        """Creates the topics; one that another process creates at the same moment is fine.

        Raises OperationError."""
        if not wanted:
            return
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication_factor,
                config=topic.config,
            )
            for topic in wanted
        ]
        for name, future in self._client.create_topics(new, request_timeout=_TIMEOUT_S).items():
            try:
                future.result(_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._failed(f"the topic {name} to be created", error, ("CREATE", name)) from error

    @_in_time("partitions to be added")
    def add_partitions(self, name: str, total: int, *, only_look: bool = False) -> None:
        """Gives a topic `total` partitions; one that has as many already is left alone. With `only_look` nothing is
        added. Raises OperationError when the broker does not, or would not."""
        wanted = [NewPartitions(name, total)]
        for future in self._client.create_partitions(
            wanted, validate_only=only_look, request_timeout=_TIMEOUT_S
        ).values():
            try:
                future.result(_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                    raise self._failed(f"{name} to get {total} partitions", error, ("ALTER", name)) from error
                if self.describe([name], with_config=False)[name].partitions < total:
                    raise self._failed(f"{name} to get {total} partitions", error) from error

    def names(self) -> set[str]:
        """The names of all topics that may be seen. Raises OperationError."""
        self._reach()
        try:
            return set(self._client.list_topics(timeout=_TIMEOUT_S).topics)
        except KafkaException as error:
            raise self._failed("the names of the topics", error) from error

    @_in_time("a description of the topic")
    def partitions_with_leaders(self, name: str) -> int:
        """How many partitions of a topic have a leader. Raises OperationError."""
        for future in self._client.describe_topics(TopicCollection([name]), request_timeout=_TIMEOUT_S).values():
            described = self._wait(future, f"a description of {name}", ("DESCRIBE", name))
            return sum(1 for partition in described.partitions if partition.leader is not None)
        return 0

    @_in_time("the configuration to be changed")
    def alter(self, changes: Sequence[Finding]) -> None:
        """Sets the configuration entries that the findings want.

        Raises OperationError."""
        by_topic: dict[str, list[ConfigEntry]] = {}
        for change in changes:
            entry = ConfigEntry(change.setting, change.wanted, incremental_operation=AlterConfigOpType.SET)
            by_topic.setdefault(change.topic, []).append(entry)
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
        ]
        if resources:
            for resource, future in self._client.incremental_alter_configs(
                resources, request_timeout=_TIMEOUT_S
            ).items():
                self._wait(
                    future,
                    f"the configuration of {resource.name} to be changed",
                    ("ALTER_CONFIGS", resource.name),
                )

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of those of the named topics that exist: a topic that is deleted and created again has another.

        Raises OperationError if the broker does not answer."""
        return {name: topic.id for name, topic in self.describe(names, with_config=False).items()}

    def newest_ms(self, topic: ActualTopic) -> int:
        """The time of the newest record of a topic, in epoch milliseconds (KIP-734); 0 if it has none. A partition
        that does not answer, because it has no leader for example, counts as one without records."""
        spec: Any = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(topic.name, number): spec for number in range(topic.partitions)}
        if not wanted:
            return 0
        newest = 0
        for future in self._client.list_offsets(wanted, request_timeout=_REACH_S).values():
            with contextlib.suppress(KafkaException, TimeoutError):
                newest = max(newest, future.result(_REACH_S).timestamp)
        return newest

    def _reach(self) -> None:
        try:
            self._client.list_topics(timeout=_REACH_S)
        except KafkaException as error:
            raise self._failed("the broker to answer", error) from error

    def _wait(self, future: Future[Any], expected: str, right: tuple[str, str]) -> Any:
        try:
            return future.result(_TIMEOUT_S)
        except KafkaException as error:
            raise self._failed(expected, error, right) from error

    def _failed(self, expected: str, error: KafkaException, right: tuple[str, str] | None = None) -> OperationError:
        cause: KafkaError = error.args[0]
        if right is not None and (denied := missing_right(cause, topic=right, cluster=right)) is not None:
            return denied
        cut_off = cause.code() in _CUT_OFF
        # A call that was cut off just times out: the cause (a wrong password, say) reaches only the callback, which is
        # called here.
        self._client.poll(0)
        said = self._last_error if cut_off and self._last_error is not None else cause
        return OperationError(
            client_refusal(said) or ("broker_unreachable" if cut_off else "broker_refused"),
            f"expected {expected} but {said.name()}: {said.str()}. Check the broker and the kafka settings.",
            retryable=cut_off or bool(cause.retriable()),
        )


def plan(settings: Settings, admin: Admin | None = None, names: Collection[str] | None = None) -> list[Finding]:
    """What differs between the topics that the settings want and the broker's: of all, or of those in `names`.

    Raises OperationError if the broker does not answer."""
    wanted = _wanted(settings, names)
    actual = (admin or Admin(settings)).describe(topic.name for topic in wanted)
    return findings(wanted, actual, _generations(settings, wanted, actual))


def _generations(
    settings: Settings, wanted: Iterable[Topic], actual: Mapping[str, ActualTopic]
) -> tuple[int, ...] | None:
    """The partitions of each generation, as the definitions log has them. A role that does not use the log copies what
    others send, and need not know them: None."""
    if all(topic.role != DEFINITIONS for topic in wanted):
        return None
    return read_generations(settings) if topic_name(settings, DEFINITIONS) in actual else ()


def require_first_generation(settings: Settings) -> None:
    """Returns when every topic that is partitioned as `commands` has the partitions that the settings say, or those of
    the generations that were added to them. Topics that are missing do not count. Raises OperationError
    (`topics_differ`)."""
    wanted = [topic for topic in topics(settings) if topic.keyed or topic.role == DEFINITIONS]
    actual = Admin(settings).describe([topic.name for topic in wanted], with_config=False)
    found = findings(wanted, actual, _generations(settings, wanted, actual))
    _refuse([finding for finding in found if finding.setting == "partitions"])


def _wanted(settings: Settings, names: Collection[str] | None) -> list[Topic]:
    return [topic for topic in topics(settings) if names is None or topic.name in names]


def apply(settings: Settings, admin: Admin | None = None, *, lower: bool = False) -> list[Finding]:
    """Creates missing topics and corrects settings without loss, and with `lower` also those that have more than is
    wanted; returns what was found before. May be repeated.

    Raises OperationError if a promise would still not hold, after all corrections."""
    admin = admin or Admin(settings)
    wanted = topics(settings)
    actual = admin.describe(topic.name for topic in wanted)
    generations = _generations(settings, wanted, actual)
    found = findings(wanted, actual, generations)
    missing = {finding.topic for finding in found if finding.kind == "missing"}
    grown = partitions_grown_to(wanted, actual, generations)
    admin.create(
        [
            replace(topic, partitions=max(grown, topic.partitions)) if topic.keyed else topic
            for topic in wanted
            if topic.name in missing
        ]
    )
    kinds = {"breaks", "advice", "lower"} if lower else {"breaks", "advice"}
    admin.alter([finding for finding in found if finding.fixable and finding.kind in kinds])
    _refuse([finding for finding in found if finding.kind == "breaks" and not finding.fixable])
    fix_limits(settings)
    return found


def verify(settings: Settings, admin: Admin | None = None, names: Collection[str] | None = None) -> list[Finding]:
    """As `plan`, but raises OperationError if a topic is missing or a promise does not hold; returns what else differs:
    advice, and what has more than is wanted."""
    found = plan(settings, admin, names)
    _refuse([finding for finding in found if finding.kind not in ("advice", "lower")])
    return found


def require_topics(settings: Settings, names: Collection[str] | None = None) -> dict[str, str]:
    """What a worker calls before it starts: the ids of all topics, or of those in `names`, by name.

    Raises OperationError if a topic is missing or not as our promises need it."""
    admin = Admin(settings)
    verify(settings, admin, names)
    return admin.topic_ids(topic.name for topic in _wanted(settings, names))


def _refuse(found: Sequence[Finding]) -> None:
    if not found:
        return
    lines = "\n".join(f"  {finding}" for finding in found)
    if all(finding.fixable for finding in found):
        remedy = "do run `streamflow topics apply`"
    else:
        remedy = (
            "do give the settings the topics' own values, repeat an interrupted `streamflow topics grow`, or take a "
            "new prefix; `streamflow topics apply` corrects the rest"
        )
    code = "topics_missing" if all(finding.kind == "missing" for finding in found) else "topics_differ"
    raise OperationError(
        code, f"expected the topics as the settings want them but found\n{lines}\n{remedy}", retryable=False
    )

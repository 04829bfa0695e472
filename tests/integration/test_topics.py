"""The topics as the broker has them: planned, created, verified, and never changed in a way that loses records."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streamflow.cli.main import main
from streamflow.errors import OperationError
from streamflow.kafka import admin
from streamflow.kafka.topic_findings import Finding
from streamflow.kafka.topics import lane_topic_name, topic_name, topics
from streamflow.ops.waiting import Head
from streamflow.settings import Kafka, Lane, Limits, Settings, Tasks, Topics
from tests.conftest import eventually

pytestmark = pytest.mark.broker


def test_apply_creates_every_topic_as_the_table_says(settings: Settings) -> None:
    assert {finding.kind for finding in admin.plan(settings)} == {"missing"}

    admin.apply(settings)

    assert admin.plan(settings) == []
    described = admin.Admin(settings).describe(topic.name for topic in topics(settings))
    for topic in topics(settings):
        actual = described[topic.name]
        assert actual.partitions == topic.partitions
        assert {name: actual.config[name] for name in topic.config} == topic.config
    assert described[topic_name(settings, "commands")].config["message.timestamp.type"] == "LogAppendTime"
    assert described[topic_name(settings, "state")].config["cleanup.policy"] == "compact"


def test_apply_may_be_repeated(settings: Settings) -> None:
    admin.apply(settings)
    ids = admin.require_topics(settings)

    assert admin.apply(settings) == []
    assert admin.require_topics(settings) == ids


def test_every_lane_of_the_settings_has_a_topic_and_a_new_one_is_told_to_be_missing(settings: Settings) -> None:
    admin.apply(settings)
    more = settings.model_copy(update={"tasks": Tasks(lanes={"default": Lane(), "slow-partner": Lane()})})
    assert [(finding.topic, finding.kind) for finding in admin.plan(more)] == [
        (lane_topic_name(settings, "slow-partner"), "missing")
    ]
    with pytest.raises(OperationError) as caught:
        admin.require_topics(more)
    assert caught.value.code == "topics_missing"

    admin.apply(more)

    assert {lane_topic_name(settings, lane) for lane in ("default", "slow-partner")} <= admin.require_topics(
        more
    ).keys()


def test_a_worker_does_not_start_without_topics(settings: Settings) -> None:
    with pytest.raises(OperationError) as caught:
        admin.require_topics(settings)

    assert caught.value.code == "topics_missing"
    assert "streamflow topics apply" in caught.value.message
    assert not caught.value.retryable


def test_another_number_of_partitions_is_refused_and_left_alone(topics: Settings) -> None:
    more = with_topics(topics, partitions=4)
    with pytest.raises(OperationError) as caught:
        admin.apply(more)

    assert caught.value.code == "topics_differ"
    assert "partitions is 2 but 4 is wanted" in caught.value.message
    assert admin.plan(topics) == []


@pytest.mark.parametrize(
    ("role", "setting", "value", "kind"),
    [
        ("commands", "message.timestamp.type", "CreateTime", "breaks"),
        ("commands", "retention.ms", "3600000", "breaks"),
        ("commands", "retention.bytes", "1000000000", "breaks"),
        ("state", "cleanup.policy", "delete", "breaks"),
        ("state", "delete.retention.ms", "1000", "breaks"),
        ("runs", "max.message.bytes", "100000", "breaks"),
        ("definitions", "segment.ms", "7200000", "advice"),
    ],
)
def test_drift_is_told_by_what_it_breaks(topics: Settings, role: str, setting: str, value: str, kind: str) -> None:
    alter(topics, role, setting, value)

    assert [(finding.kind, finding.setting, finding.actual) for finding in admin.plan(topics)] == [
        (kind, setting, value)
    ]
    if kind == "advice":
        assert len(admin.verify(topics)) == 1
    else:
        with pytest.raises(OperationError) as caught:
            admin.require_topics(topics)
        assert caught.value.code == "topics_differ"


def test_apply_mends_what_loses_nothing(topics: Settings) -> None:
    alter(topics, "commands", "message.timestamp.type", "CreateTime")
    alter(topics, "runs", "retention.ms", "1000")

    admin.apply(topics)

    assert admin.plan(topics) == []


def test_apply_never_changes_a_cleanup_policy(topics: Settings) -> None:
    alter(topics, "state", "cleanup.policy", "delete")

    with pytest.raises(OperationError) as caught:
        admin.apply(topics)

    assert "not changed on an existing topic" in caught.value.message
    assert (
        admin.Admin(topics)
        .describe([topic_name(topics, "state")])[topic_name(topics, "state")]
        .config["cleanup.policy"]
        == "delete"
    )


HIGHER = [
    ("commands", "retention.ms", "-1", "without limit"),
    ("dead-letters", "retention.ms", "8640000000", "14w2d"),
    ("runs", "max.message.bytes", "5000000", "5000000"),
    ("state", "delete.retention.ms", "864000000", "1w3d"),
]


def test_what_is_higher_than_wanted_breaks_nothing_and_is_told(topics: Settings) -> None:
    for role, setting, value, _ in HIGHER:
        alter(topics, role, setting, value)

    found = admin.verify(topics)
    assert {(one.topic, one.kind, one.setting, one.actual) for one in found} == {
        (topic_name(topics, role), "lower", setting, value) for role, setting, value, _ in HIGHER
    }
    for role, setting, _, words in HIGHER:
        (line,) = [str(one) for one in found if (one.topic, one.setting) == (topic_name(topics, role), setting)]
        assert f"{setting} is" in line
        assert words in line
        assert "apply --lower sets it, and" in line
    admin.require_topics(topics)


def test_what_is_higher_is_lowered_only_when_asked_for(topics: Settings) -> None:
    for role, setting, value, _ in HIGHER:
        alter(topics, role, setting, value)

    assert len(admin.apply(topics)) == len(HIGHER)
    assert len(admin.plan(topics)) == len(HIGHER)
    assert len(admin.apply(topics, lower=True)) == len(HIGHER)
    assert admin.plan(topics) == []


def test_lowered_settings_are_planned_and_applied_by_the_command_line(
    topics: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", "2")
    monkeypatch.setenv("STREAMFLOW_TOPICS__RUNS_RETENTION_HOURS", "24")
    monkeypatch.setenv("STREAMFLOW_TOPICS__COMMANDS_RETENTION_HOURS", "999")

    def topics_(*words: str) -> tuple[int, str]:
        bootstrap, prefix = topics.kafka.bootstrap_servers or "", topics.topics.prefix
        code = main(["topics", *words, "--bootstrap", bootstrap, "--prefix", prefix])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    code, planned = topics_("plan")
    assert code == 0
    assert "runs: retention.ms is 7776000000 (12w6d) but 86400000 (1d) is wanted (lower; apply --lower" in planned
    assert "commands: retention.ms is 604800000 (1w) but 3596400000" in planned

    topics_("apply")
    planned = topics_("plan")[1]
    assert "commands" not in planned
    assert "runs: retention.ms" in planned
    code, refused = topics_("apply", "--lower")
    assert (code, "confirmation_missing" in refused) == (3, True)
    assert topics_("plan")[1] == planned

    assert topics_("apply", "--lower", "--yes")[0] == 0
    code, planned = topics_("plan")
    assert (code, planned.splitlines()[0]) == (0, "all topics are as wanted")


@pytest.mark.parametrize(("age_s", "told"), [(7200.0, "records of 2.0 h"), (None, "records of unknown age")])
def test_no_retention_is_lowered_below_what_a_worker_has_still_to_read(
    topics: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    age_s: float | None,
    told: str,
) -> None:
    monkeypatch.setenv("STREAMFLOW_TOPICS__PARTITIONS", "2")
    monkeypatch.setenv("STREAMFLOW_TOPICS__COMMANDS_RETENTION_HOURS", "1")
    monkeypatch.setattr(
        "streamflow.ops.lag._heads", lambda settings, unread, *_: dict.fromkeys(unread, Head(age_s=age_s))
    )
    producer = Producer({"bootstrap.servers": topics.kafka.bootstrap_servers or ""})
    producer.produce(topic_name(topics, "commands"), b"{}", b"k", 1)
    producer.flush(30)

    bootstrap, prefix = topics.kafka.bootstrap_servers or "", topics.topics.prefix
    assert main(["topics", "apply", "--lower", "--yes", "--bootstrap", bootstrap, "--prefix", prefix]) == 3
    refusal = capsys.readouterr().err
    assert "retention_unread" in refusal
    assert told in refusal
    assert [finding.kind for finding in admin.plan(topics)] == []


def test_larger_records_need_larger_messages(topics: Settings) -> None:
    larger = topics.model_copy(update={"limits": Limits(record_bytes=2_000_000)})

    assert {finding.setting for finding in admin.plan(larger)} == {"max.message.bytes"}


def test_a_topic_that_is_created_again_has_another_id(topics: Settings) -> None:
    name = topic_name(topics, "audit")
    before = admin.require_topics(topics)[name]
    client = AdminClient({"bootstrap.servers": topics.kafka.bootstrap_servers or ""})
    client.delete_topics([name])[name].result(30)
    admin.apply(topics)

    assert admin.require_topics(topics)[name] != before


def test_a_broker_that_is_not_there_is_named_as_the_cause(tmp_path: Path) -> None:
    nowhere = Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(OperationError) as caught:
        admin.plan(nowhere)

    assert caught.value.code == "broker_unreachable"
    assert caught.value.retryable


def alter(settings: Settings, role: str, name: str, value: str) -> None:
    finding = Finding(topic_name(settings, role), "breaks", name, value, "", fixable=True)
    admin.Admin(settings).alter([finding])
    # a broker with much to do shows it later
    eventually(lambda: admin.Admin(settings).describe([finding.topic])[finding.topic].config[name] == value)


def with_topics(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"topics": Topics(**(settings.topics.model_dump() | changes))})

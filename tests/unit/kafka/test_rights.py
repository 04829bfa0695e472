"""What is printed is what roles need: with their own names, each once, and no more."""

from __future__ import annotations

import pytest

from streamflow.cli.topics_acls import command, merged
from streamflow.kafka.rights import Resource, Right, Role, UsersTopics, own_topics, rights
from streamflow.kafka.topics import topics
from streamflow.settings import Lane, Mirror, Settings, Tasks, Topics

SETTINGS = Settings(
    topics=Topics(prefix="flow."),
    tasks=Tasks(lanes={"default": Lane(), "slow": Lane()}),
    mirror=Mirror(topics=["runs", "dead-letters"]),
)
USERS = UsersTopics(read=frozenset({"orders"}), written=frozenset({"shipments"}))


def operations(role: Role, name: str) -> tuple[str, ...]:
    return next((one.operations for one in rights(SETTINGS, role, USERS) if one.name == name), ())


@pytest.mark.parametrize("role", Role)
def test_each_resource_is_there_once_and_no_operation_includes_another(role: Role) -> None:
    found = rights(SETTINGS, role, USERS)

    assert found
    assert len({(one.resource, one.name) for one in found}) == len(found)
    for one in found:
        assert len(set(one.operations)) == len(one.operations)
        assert "ALL" not in one.operations
        assert not ("DESCRIBE" in one.operations and {"READ", "WRITE"} & set(one.operations)), one


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PROVISIONER])
def test_only_topics_that_are_made_are_named(role: Role) -> None:
    made = {topic.name for topic in topics(SETTINGS)}
    named = {one.name for one in rights(SETTINGS, role, USERS) if one.resource is Resource.TOPIC}

    assert named <= made | {"orders", "shipments"}
    assert set(own_topics(SETTINGS, role)) == named & made


def test_who_may_write_what_decides_about_runs() -> None:
    """Nobody but these: a record in `commands` is obeyed, one in `state` is believed, one in `access` gives rights."""
    writers = {
        topic: {role.value for role in Role if "WRITE" in operations(role, f"flow.{topic}")}
        for topic in ("commands", "runs", "state", "access", "definitions", "audit")
    }

    assert writers == {
        "commands": {"engine", "ingress", "tasks", "sidecar", "operator"},
        "runs": {"engine"},
        "state": {"engine"},
        "access": {"sidecar", "operator"},
        "definitions": {"tasks", "sidecar", "operator", "publisher", "provisioner"},
        "audit": {"engine", "sidecar", "operator"},
    }


def test_an_exporter_writes_nothing() -> None:
    found = {operation for one in rights(SETTINGS, Role.EXPORTER, USERS) for operation in one.operations}

    assert found == {"READ", "DESCRIBE"}


def test_a_worker_of_one_lane_needs_no_other() -> None:
    names = {one.name for one in rights(SETTINGS, Role.TASKS, lanes=["slow"])}

    assert {"flow.tasks.slow"} == {name for name in names if "tasks." in name}
    assert "flow.tasks.default" in {one.name for one in rights(SETTINGS, Role.TASKS)}


def test_only_engine_and_mirror_have_transactional_ids_by_their_beginning() -> None:
    prefixed = [one for role in Role for one in rights(SETTINGS, role, USERS) if one.prefixed]

    assert [(one.role, one.resource, one.name) for one in prefixed] == [
        (Role.ENGINE, Resource.TRANSACTIONAL_ID, "flow.engine-"),
        (Role.MIRROR, Resource.TRANSACTIONAL_ID, "flow.mirror-"),
    ]


def test_roles_that_are_one_user_have_each_right_once() -> None:
    found = merged(("User:streamflow", one) for role in Role for one in rights(SETTINGS, role, USERS))

    assert len({(one.resource, one.name, one.prefixed) for _, one in found}) == len(found)
    commands = next(one for _, one in found if one.name == "flow.commands")
    assert set(commands.operations) == {
        *("READ", "WRITE", "CREATE", "ALTER_CONFIGS"),
    }


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (
            Right(role=Role.ENGINE, resource=Resource.TOPIC, name="a.b", operations=("READ", "ALTER_CONFIGS"), why=""),
            "--topic a.b --operation Read --operation AlterConfigs",
        ),
        (
            Right(
                role=Role.ENGINE,
                resource=Resource.TRANSACTIONAL_ID,
                name="e-",
                prefixed=True,
                operations=("WRITE",),
                why="",
            ),
            "--transactional-id e- --resource-pattern-type prefixed --operation Write",
        ),
        (
            Right(role=Role.TASKS, resource=Resource.GROUP, name="g", operations=("READ",), why=""),
            "--group g --operation Read",
        ),
    ],
)
def test_the_command_is_that_of_kafka(right: Right, expected: str) -> None:
    assert command("k:9093", "User:CN=flow engine", right) == (
        "kafka-acls --bootstrap-server k:9093 --command-config admin.properties --add --allow-principal "
        f"'User:CN=flow engine' {expected}"
    )


def test_a_mirror_has_rights_on_what_is_mirrored_alone() -> None:
    assert operations(Role.MIRROR, "flow.runs") == ("READ", "DESCRIBE_CONFIGS")
    assert operations(Role.MIRROR, "flow.runs.avro") == ("WRITE", "DESCRIBE_CONFIGS")
    assert operations(Role.MIRROR, "flow.commands") == ()
    assert operations(Role.OPERATOR, "flow.runs.avro") == ("READ", "DESCRIBE_CONFIGS")
    assert operations(Role.MIRROR, "flow.mirror-") == ("WRITE",)
    assert rights(SETTINGS.model_copy(update={"mirror": Mirror()}), Role.MIRROR) == []

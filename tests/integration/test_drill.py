"""The drill as a user runs it: red where an engine breaks a promise, refused where it may not be; nothing stays behind.
`test_wheel.py` has one that is green."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.conftest import eventually, needs_broker, only_full
from tests.integration.test_demo import left_running

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
# The same command line, whose engine workers have a planted bug.
PLANTED = """
import sys
from streamflow.drill import workers
workers.ENTRY = (sys.executable, "-m", "tests.checker.entry", "BUG")
from streamflow.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def drill(
    tmp_path: Path, *options: str, program: Sequence[str] = ("-m", "streamflow.cli.main")
) -> subprocess.Popen[str]:
    needs_broker()
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("STREAMFLOW_") or name == "STREAMFLOW_CACHE"
    }
    env = own | {"PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp_path)}
    command = [sys.executable, *program, "drill", *options]
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int) -> tuple[str, str]:
    try:
        out, err = process.communicate(timeout=270)
    finally:
        process.kill()
    assert process.returncode == code, out + err
    return out, err


@pytest.fixture
def prefix() -> str:
    return f"drill-{uuid.uuid4().hex[:8]}."


def found(bootstrap: str, prefix: str) -> list[str]:
    """The topics and groups of a prefix."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    groups = client.list_consumer_groups().result(60).valid
    names = [*client.list_topics(timeout=60).topics, *(group.group_id for group in groups)]
    return [name for name in names if name.startswith(prefix)]


def words(verdict: dict[str, Any]) -> dict[str, str]:
    return {promise["promise"]: promise["verdict"] for promise in verdict["promises"]}


@only_full
def test_an_engine_that_forges_copies_makes_the_verdict_red_and_everything_is_removed(
    bootstrap: str, prefix: str, tmp_path: Path
) -> None:
    line = ("--bootstrap", bootstrap, "--prefix", prefix, "--break", "kill", "--seconds", "6", "--seed", "1")
    out, err = ended(drill(tmp_path, *line, program=("-c", PLANTED.replace("BUG", "copy-forged"))), 1)

    assert re.search(r"^identical-copies +BROKEN", out, re.MULTILINE), out
    assert "NOT EVERYTHING WAS KEPT." in out
    assert "removed " in err
    assert found(bootstrap, prefix) == []
    assert list(tmp_path.iterdir()) == []


@only_full
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_removes_what_it_made(
    bootstrap: str, prefix: str, tmp_path: Path, asked: signal.Signals
) -> None:
    process = drill(tmp_path, "--bootstrap", bootstrap, "--prefix", prefix, "--break", "kill")
    try:
        eventually(
            lambda: [name for name in found(bootstrap, prefix) if name.endswith("engine")], timeout=90, every=0.2
        )
        process.send_signal(asked)
        ended(process, 130)
    finally:
        process.kill()

    assert found(bootstrap, prefix) == []
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_that_is_in_use_is_refused_and_left_alone(bootstrap: str, prefix: str, tmp_path: Path) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    client.create_topics([NewTopic(f"{prefix}runs", 1, 1)])[f"{prefix}runs"].result(60)

    _, err = ended(drill(tmp_path, "--bootstrap", bootstrap, "--prefix", prefix, "--break", "kill"), 3)

    assert f"prefix_in_use: expected an unused prefix but there is {prefix}runs" in err
    assert found(bootstrap, prefix) == [f"{prefix}runs"]


def rule(kind: ResourceType, name: str, operation: AclOperation, *, allow: bool) -> AclBinding:
    pattern = ResourcePatternType.LITERAL if kind is ResourceType.BROKER else ResourcePatternType.PREFIXED
    return AclBinding(
        kind, name, pattern, "User:*", "*", operation, AclPermissionType.ALLOW if allow else AclPermissionType.DENY
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker with rights: nobody may create topics `no-...`, nor delete those of `stay-...`; nor read
    as a group `alone-...`, nor publish as `mute-...`."""
    needs_broker()
    config = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    with EmbeddedBroker(tmp_path_factory.mktemp("guarded"), config=config) as broker:
        client = AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        denied = {"no-": AclOperation.CREATE, "stay-": AclOperation.DELETE}
        rules = []
        for name, operation in denied.items():
            rules += [
                rule(ResourceType.TOPIC, name, AclOperation.ALL, allow=True),
                rule(ResourceType.TOPIC, name, operation, allow=False),
            ]
        # Who may do so on the cluster needs no right on each topic.
        rules.append(rule(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, allow=True))
        rules += [rule(ResourceType.BROKER, "kafka-cluster", operation, allow=False) for operation in denied.values()]
        rules.append(rule(ResourceType.GROUP, "alone-", AclOperation.READ, allow=False))
        rules.append(rule(ResourceType.TRANSACTIONAL_ID, "mute-", AclOperation.WRITE, allow=False))
        for future in client.create_acls(rules).values():
            future.result(60)
        yield broker.bootstrap_servers


def test_missing_rights_are_told_before_anything_is_made(guarded: str, tmp_path: Path) -> None:
    _, err = ended(
        drill(tmp_path, "--bootstrap", guarded, "--prefix", "no-rights.", "--break", "kill", "--seconds", "6"), 4
    )

    assert "rights_missing: expected the rights that a drill needs but its user may not create no-rights." in err
    assert found(guarded, "no-rights.") == []


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("alone-1.", "may not read as the group alone-1.drill"),
        ("mute-1.", "WRITE on transactional id mute-1.publisher"),
    ],
)
def test_rights_that_are_found_missing_later_are_told_and_what_was_made_is_removed(
    guarded: str, tmp_path: Path, prefix: str, said: str
) -> None:
    _, err = ended(drill(tmp_path, "--bootstrap", guarded, "--prefix", prefix, "--break", "kill", "--seconds", "6"), 4)

    assert said in err, err
    assert found(guarded, prefix) == []


def test_topics_that_could_not_be_removed_again_are_told_at_once(guarded: str, tmp_path: Path) -> None:
    _, err = ended(
        drill(tmp_path, "--bootstrap", guarded, "--prefix", "stay-here.", "--break", "kill", "--seconds", "6"), 4
    )

    assert "rights_missing: " in err
    assert "lacks DELETE on stay-here." in err
    assert "left: topic stay-here." in err, err


def test_what_cannot_be_done_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    for options, code in (
        (("--seconds", "5"), "seconds_too_few"),
        (("--break", "everything"), "fault_unknown"),
        (("--bootstrap", "127.0.0.1:1", "--break", "broker-kill"), "fault_not_ours"),
        (("--bootstrap", "127.0.0.1:1", "--prefix", "", "--break", "kill"), "prefix_missing"),
    ):
        _, err = ended(drill(tmp_path, *options), 3)

        assert err.splitlines()[-1].startswith(f"{code}: "), err
    assert list(tmp_path.iterdir()) == []

"""Each printed right is needed: with one left out, what the role does with it says so within seconds.

That a process looks for its rights on Streamflow's topics and groups when it starts is in test_secured.py. Here are
those for which it does not look (transactional ids, topics of users), and all rights of the command line, which fails
with `right_missing`. Where a process measures several topics, the state of that topic is `unreadable`."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamflow.errors import OperationError
from streamflow.kafka.granted import require_rights
from streamflow.kafka.rights import Resource, Right, Role
from streamflow.settings import Settings
from tests.conftest import eventually, needs_broker, only_full
from tests.integration.secured_world import CATALOG, DEFINITION, World, left_out, rights_of, secured_world

pytestmark = [
    pytest.mark.broker,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]

SOON_S = 60.0  # some seconds on a machine without other work
ERASE = ("runs", "erase", "--key", "A", "--plan")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Something is published, in every topic records wait, and there are dead letters; no process runs."""
    needs_broker()
    with secured_world(tmp_path_factory.mktemp("world")) as made:
        made.done(Role.PUBLISHER, "definitions", "publish", str(made.folder / "order"))
        workers = (Role.INGRESS, Role.TASKS, Role.HISTORY)
        for role in workers:
            made.start(role)
        eventually(lambda: made.says(Role.INGRESS, "sources_assigned"), timeout=240, every=0.5)
        made.append("orders", f"{made.prefix}tasks.default")
        eventually(lambda: len(letters(made)) == 2, timeout=120, every=1)
        # history is in the lag once it has committed
        eventually(lambda: f"{made.prefix}logs" in made.done(Role.OPERATOR, "--json", "lag"), timeout=60, every=1)
        made.stop(*workers)
        own = ("commands", "tasks.default", "runs", "unclaimed", "dead-letters", "logs")
        made.append("orders", "payments", *(made.prefix + name for name in own))
        yield made


def letters(world: World) -> list[dict[str, Any]]:
    said = world.done(Role.OPERATOR, "--json", "dead-letters", "list")
    return list(json.loads(said[said.index("{\n") :])["dead_letters"])  # log lines may come before it


def the_letter(world: World, topic: str) -> str:
    """The number of the letter of a record that came from there."""
    return next(str(one["letter"]) for one in letters(world) if topic in json.dumps(one))


# -- processes


def http(world: World, path: str, body: Any = None) -> str:
    """What the sidecar answers, whatever its status."""
    request = urllib.request.Request(
        f"http://{world.at(Role.SIDECAR)}/api/v1{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def published(world: World) -> str:
    made = {"definition": _version(time.time_ns()), "catalog": CATALOG}
    return http(world, "/definitions/publish", made)


def sent(event: str) -> Callable[[World], str]:
    return lambda world: http(world, "/events", {"event": event, "key": "K", "data": {"event": str(time.time_ns())}})


def lag(world: World) -> str:
    return http(world, "/lag")


# what the sidecar is asked for, by the operation and the resource that this needs
ASKED: dict[tuple[str, str], Callable[[World], str]] = {
    ("WRITE", "PREFIXpublisher"): published,
    ("WRITE", "PREFIXjobs"): lambda world: http(
        world, "/jobs", {"action": "retry", "filter": {}, "reason": "none is parked"}
    ),
    ("WRITE", "PREFIXauthoring"): lambda world: http(world, "/conversations", {"title": "a draft"}),
    ("WRITE", "orders"): sent("order.placed"),
    ("WRITE", "payments"): sent("payment.received"),
    ("WRITE", "shipments"): sent("order.shipped"),
    ("READ", "orders"): lag,
    ("READ", "payments"): lag,
    # the last: with the first user everybody is asked who they are
    ("WRITE", "PREFIXaccess"): lambda world: http(
        world, "/users", {"name": "alice", "password": "correct horse battery", "role": "admin"}
    ),
}


def log_of(role: Role) -> Callable[[World], str]:
    return lambda world: world.log(role).read_text(errors="replace") if world.log(role).exists() else ""


def page_of_exporter(world: World) -> str:
    try:
        with urllib.request.urlopen(f"http://{world.at(Role.EXPORTER)}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if line.startswith("streamflow_topic_trouble{"))


# where a process tells of a right that it lacks, and by which word, beside the name of a topic
TOLD: dict[tuple[Role, str, str], tuple[Callable[[World], str], str]] = {
    (Role.ENGINE, "WRITE", "PREFIXengine-"): (log_of(Role.ENGINE), '"code": "right_missing"'),
    (Role.TASKS, "WRITE", "PREFIXpublisher"): (log_of(Role.TASKS), "right_missing"),
    (Role.INGRESS, "READ", "orders"): (log_of(Role.INGRESS), "source_topic_unreadable"),
    (Role.INGRESS, "READ", "payments"): (log_of(Role.INGRESS), "source_topic_unreadable"),
    (Role.EXPORTER, "READ", "orders"): (page_of_exporter, 'state="unreadable"'),
    (Role.EXPORTER, "READ", "payments"): (page_of_exporter, 'state="unreadable"'),
}


def acl_of(world: World, role: Role, operation: str, name: str) -> dict[str, Any]:
    """A printed right; of a topic and a transactional id of the same name the latter."""
    full = name.replace("PREFIX", world.prefix)
    found = [one for one in rights_of(world, role) if one["name"] == full and operation in one["operations"]]
    return max(found, key=lambda one: one["resource"] == "transactional-id")


@only_full
@pytest.mark.parametrize("right", TOLD, ids=lambda one: " ".join(map(str, one)))
def test_a_process_says_which_right_is_missing(world: World, right: tuple[Role, str, str]) -> None:
    role, operation, name = right
    with left_out(world, acl_of(world, role, operation, name), operation):
        world.log(role).unlink(missing_ok=True)
        tells, word = TOLD[right]
        world.start(role)
        try:
            eventually(lambda: word in tells(world), timeout=SOON_S, every=0.5)
            assert name.startswith("PREFIX") or name in tells(world)
        finally:
            print(world.log(role).read_text()[-5000:])
            world.stop(role)


@only_full
def test_the_sidecar_answers_which_right_is_missing(world: World) -> None:
    world.log(Role.SIDECAR).unlink(missing_ok=True)
    world.start(Role.SIDECAR)
    unsaid = {}
    try:
        eventually(lambda: world.says(Role.SIDECAR, "sidecar_listening"), timeout=120, every=0.5)
        for right, ask in ASKED.items():
            operation, name = right
            with left_out(world, acl_of(world, Role.SIDECAR, operation, name), operation):
                last: list[str] = []

                def answered(ask: Callable[[World], str] = ask, last: list[str] = last) -> bool:
                    last[:] = [ask(world)]
                    return "The broker denies this user" in last[0] or '"unreadable"' in last[0]

                try:
                    eventually(answered, timeout=20, every=0.5)
                except pytest.fail.Exception:
                    unsaid[right] = last[0][:1000]
    finally:
        world.stop(Role.SIDECAR)
    assert unsaid == {}


# -- the command line


class Tried:
    """Command lines by the right that they need; names in them are new each time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = time.time_ns()

    def words(self, role: Role, operation: str, name: str) -> list[str]:
        """What `role` does with its right to `operation` on `name`."""
        self._number += 1
        if role is Role.PROVISIONER:
            return ["topics", "apply"]
        if role is Role.PUBLISHER:
            return self._publish()
        known = self._operator(operation, name.removeprefix(self._world.prefix))
        return list(known)

    def _operator(self, operation: str, name: str) -> list[str] | tuple[str, ...]:
        if operation == "DESCRIBE_CONFIGS" or name.endswith(".avro"):
            return ERASE
        if operation == "WRITE":
            return self._written(name)
        read: dict[str, tuple[str, ...]] = {
            "definitions": ("definitions", "list"),
            "runs": ("runs", "list"),
            "state": ("events", "counts"),
            "unclaimed": ("events", "unclaimed"),
            "dead-letters": ("dead-letters", "list"),
            "audit": ("audit", "list"),
            "access": ("access", "users", "list"),
        }
        return read.get(name, ("lag",))

    def _written(self, name: str) -> list[str]:
        number = str(self._number)
        send = {"orders": "order.placed", "payments": "payment.received", "shipments": "order.shipped"}
        if name in send:
            data = "{}" if name == "shipments" else json.dumps({"event": number})
            return ["events", "send", send[name], "--key", f"K{number}", "--data", data]
        if name == "commands":
            data = json.dumps({"id": number, "event": number})
            return ["runs", "start", "order", "--key", number, "--data", data, "--no-wait"]
        if name == "dead-letters":
            return ["dead-letters", "drop", the_letter(self._world, "orders"), "--why", "noise", "--yes"]
        if name == "tasks.default":
            letter = the_letter(self._world, "tasks.default")
            return ["dead-letters", "replay", letter, "--why", "again", "--yes", "--again"]
        if name in ("access", "audit"):
            file = self._world.folder / "user-password"
            file.write_text("correct horse battery")
            return ["access", "users", "add", f"user{number}", "--role", "admin", "--password-file", str(file)]
        return self._publish()

    def _publish(self) -> list[str]:
        folder = self._world.folder / f"order-{self._number}"
        folder.mkdir()
        (folder / "catalog.yaml").write_text(CATALOG)
        (folder / "definition.yaml").write_text(_version(self._number))
        return ["definitions", "publish", str(folder)]


def _version(number: int) -> str:
    return DEFINITION.replace('version: "1"', f'version: "{number}"')


@only_full  # the rights that processes are asked for at their start are in test_secured.py
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.PUBLISHER, Role.PROVISIONER])
def test_the_command_line_says_which_right_is_missing(world: World, role: Role) -> None:
    tried, unsaid = Tried(world), dict[tuple[str, str], str]()
    if role is Role.OPERATOR:  # where nothing is written, nothing is read, and no right is missed
        world.done(role, *tried.words(role, "WRITE", f"{world.prefix}access"))
    for acl in rights_of(world, role):
        for operation in acl["operations"]:
            name = str(acl["name"])
            with left_out(world, acl, operation):
                if becomes(world, role, acl, operation, wanted=True):
                    prepare(world, role, operation, name)
                    code, text = said_soon(world, role, tried, operation, name)
                else:
                    code, text = 0, "the broker grants it all the same"
            if name not in text or code != 4 or "right_missing: " not in text:
                unsaid[operation, name] = text
            assert becomes(world, role, acl, operation, wanted=False)
            if role is Role.PROVISIONER:
                world.done(role, "topics", "apply")
    for right, text in unsaid.items():
        print(right, text)
    assert unsaid == {}


def becomes(world: World, role: Role, acl: Mapping[str, Any], operation: str, *, wanted: bool) -> bool:
    """Whether the broker soon denies it (`wanted`) or grants it again; it does not tell of everything."""
    deadline = time.monotonic() + 5
    while (found := denied(world, role, acl, operation)) not in (wanted, None):
        if time.monotonic() > deadline:
            return False
    return found in (wanted, None)


def said_soon(world: World, role: Role, tried: Tried, operation: str, name: str) -> tuple[int, str]:
    """What the command says without the right; for a transactional id again, until the broker has heard of it."""
    deadline = time.monotonic() + 10
    while True:
        words, began = tried.words(role, operation, name), time.monotonic()
        code, text = world.run(world.environment(role.value), *words)
        assert time.monotonic() - began < SOON_S
        if code or time.monotonic() > deadline:
            return code, f"{' '.join(words)}: {text}"


def prepare(world: World, role: Role, operation: str, name: str) -> None:
    """Gives the provisioner something to do."""
    if role is not Role.PROVISIONER:
        return
    admin, topics = world.kafka.admin, world.kafka.admin.list_topics(timeout=60).topics
    if operation == "ALTER_CONFIGS":
        small = [ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=small)
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(20)
        return
    gone = name if operation == "CREATE" else f"{world.prefix}definitions"
    if gone in topics and (
        operation == "CREATE" or name in (gone, f"{world.prefix}publisher", f"{world.prefix}reader")
    ):
        for deleted in admin.delete_topics([gone]).values():
            deleted.result(20)
        eventually(lambda: gone not in admin.list_topics(timeout=60).topics, timeout=30, every=0.1)


def denied(world: World, role: Role, acl: Mapping[str, Any], operation: str) -> bool | None:
    """Whether the broker denies this now; None: it does not tell, as of transactional ids."""
    resource = Resource(acl["resource"])
    if resource is Resource.TRANSACTIONAL_ID or operation == "CREATE":
        return None
    with mock.patch.dict(os.environ, world.environment(role.value)):
        right = Right(role=role, resource=resource, name=acl["name"], operations=(operation,), why="")
        try:
            require_rights(Settings(), [right])
        except OperationError as error:
            assert error.code == "right_missing"
            return True
    return False

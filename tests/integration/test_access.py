"""Access on a real broker: two processes that decide together, the chain of the audit, and the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streamflow.access import keys
from streamflow.access.audit import Actor, Entry, encode_entry, verify
from streamflow.access.audit_log import read_entries
from streamflow.access.changes import Change, add_user, change_user
from streamflow.access.directory import Directory
from streamflow.access.key_changes import add_key, revoke_key
from streamflow.access.rights import Role
from streamflow.access.session_changes import begin_session, refresh_session
from streamflow.access.topic import AccessTopic
from streamflow.cli.main import main
from streamflow.errors import OperationError, Rejected
from streamflow.kafka.connection import confluent_producer_config
from streamflow.kafka.topics import ACCESS, AUDIT, topic_name
from streamflow.settings import Settings
from streamflow.wire.unreadable import Unreadable
from tests.conftest import eventually

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

ACTOR = Actor(who="test")
PASSWORD = "correct horse battery"


@pytest.fixture
def one(topics: Settings) -> Iterator[AccessTopic]:
    with AccessTopic(topics) as access:
        access.wait_loaded()
        yield access


@pytest.fixture
def other(topics: Settings, one: AccessTopic) -> Iterator[AccessTopic]:
    with AccessTopic(topics) as access:
        access.wait_loaded()
        yield access


def add(access: AccessTopic, name: str) -> Change:
    return access.change(ACTOR, lambda d, now: add_user(d, now, id=name, name=name, role=Role.ADMIN))


def entries(settings: Settings) -> list[Entry]:
    return read_entries(settings, Unreadable(AUDIT))


def test_a_revoked_key_is_refused_by_the_other_process_at_once(one: AccessTopic, other: AccessTopic) -> None:
    add(one, "alice")
    secret = keys.new_secret()
    digest = keys.digest(secret)
    one.change(ACTOR, lambda d, now: add_key(d, now, id="0123456789ab", digest=digest, user="alice", name="ci"))
    token = keys.token("0123456789ab", secret)
    eventually(lambda: other.directory.key("0123456789ab"))
    assert keys.find(other.directory, token, int(time.time() * 1000))[1].name == "alice"

    one.change(ACTOR, lambda d, now: revoke_key(d, now, id="0123456789ab"))
    began = time.monotonic()

    def refused() -> bool:
        try:
            keys.find(other.directory, token, int(time.time() * 1000))
        except Rejected as error:
            return error.code == "key_revoked"
        return False

    eventually(refused)
    assert time.monotonic() - began < 5


def test_one_name_is_given_once_whoever_asks(one: AccessTopic, other: AccessTopic, topics: Settings) -> None:
    def asked(number: int) -> str:
        access, id = (one, other)[number % 2], f"u{number}"
        try:
            access.change(ACTOR, lambda d, now: add_user(d, now, id=id, name="alice"))
        except Rejected as error:
            return error.code
        return id

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(asked, range(8)))
    winners = [answer for answer in found if answer != "name_taken"]
    assert len(winners) == 1
    for access in (one, other):
        eventually(lambda access=access: access.directory.named("alice"))  # type: ignore[misc]
        assert [user.id for user in access.directory.users()] == winners
    assert [entry.action for entry in entries(topics)] == ["user.added"]


def test_a_refresh_token_is_good_once_whoever_is_asked(one: AccessTopic, other: AccessTopic) -> None:
    add(one, "alice")
    one.change(ACTOR, lambda d, now: begin_session(d, now, id="f", user="alice", lasts_ms=10**9))

    def make(directory: Directory, now_ms: int) -> Change:
        family = directory.family("f")
        assert family is not None
        if family.revoked_ms is not None:
            raise Rejected("session_ended", "ended")
        return refresh_session(directory, now_ms, family=family, generation=1, grace_ms=0, idle_ms=10**9)

    def asked(number: int) -> str:
        try:
            return str((one, other)[number % 2].change(ACTOR, make).result.generation)
        except Rejected as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(asked, range(6)))
    assert found == ["2", "refresh_reused", *["session_ended"] * 4]


def test_the_chain_is_whole_although_two_write_it(one: AccessTopic, other: AccessTopic, topics: Settings) -> None:
    def asked(number: int) -> None:
        add((one, other)[number % 2], f"u{number}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(asked, range(24)))
    found = entries(topics)
    head = eventually(lambda: one.directory.head if one.directory.head.number == 24 else None)
    assert head is not None
    assert [entry.number for entry in found] == list(range(1, 25))
    assert verify(found, head).breaks == ()
    with AccessTopic(topics) as fresh:
        assert fresh.wait_loaded().values == one.directory.values


def test_what_is_refused_leaves_nothing(one: AccessTopic, topics: Settings) -> None:
    add(one, "alice")
    before = dict(one.directory.values)
    for make in (
        lambda d, now: change_user(d, now, name="alice", disabled=True),
        lambda d, now: change_user(d, now, name="absent", disabled=True),
    ):
        with pytest.raises(Rejected):
            one.change(ACTOR, make)
    assert one.directory.values == before
    assert len(entries(topics)) == 1


def test_a_strangers_records_give_no_right_and_break_nothing(one: AccessTopic, topics: Settings) -> None:
    add(one, "alice")
    producer = Producer(confluent_producer_config(topics, "stranger"))
    topic = topic_name(topics, ACCESS)
    for key, value in ((b"user/x", b"\xff"), (b"\xff", b"{}"), (b"", b"x"), (b"grant/y", b"[" * 100_000)):
        producer.produce(topic, key=key, value=value)
    producer.flush(10)
    eventually(lambda: "grant/y" in one.directory.unreadable)
    assert one.directory.admins() == {"alice"}
    add(one, "bob")


def test_topics_that_are_missing_are_told(settings: Settings) -> None:
    with AccessTopic(settings) as access:

        def code() -> str:
            try:
                return str(access.directory)
            except OperationError as error:
                return error.code

        eventually(lambda: code() == "topic_missing")


@pytest.fixture
def cli(topics: Settings, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(topics, capsys)


class Cli:
    """The command line against the topics of a test."""

    def __init__(self, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        servers = settings.kafka.bootstrap_servers or ""
        self._globals = ["--bootstrap", servers, "--prefix", settings.topics.prefix]
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        """What a command that succeeds writes."""
        code, out, err = self.run(*words)
        assert code == 0, err
        return out

    def run(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main([*words, *self._globals])
        written = self._capsys.readouterr()
        return code, written.out, written.err


def test_the_command_line_makes_the_first_admin_and_what_follows(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    with_password = ("--password-file", str(file))
    assert cli.run("access", "users", "add", "alice", "--role", "viewer", *with_password)[0] == 3
    cli("access", "users", "add", "alice", "--role", "admin", *with_password)
    cli("access", "users", "add", "shop", "--service", "--role", "integration", "--definition", "order-*")
    shown = cli("access", "keys", "add", "shop", "--for", "checkout").strip()
    assert shown.startswith("sfk_")
    assert len(shown) == 60
    prefix = shown[:16]
    rotated = cli("access", "keys", "rotate", prefix, "--overlap", "0").strip()
    cli("access", "keys", "revoke", rotated[:16])
    listed = cli("access", "keys", "list")
    assert (prefix in listed, rotated[:16] in listed, listed.count("revoked")) == (True, True, 2)
    assert shown not in listed
    grant = json.loads(cli("access", "grants", "add", "operator", "--group", "on-call", "--json"))["grant"]["id"]
    assert "group on-call" in cli("access", "grants", "list")
    cli("access", "grants", "remove", grant)
    code, _, err = cli.run("access", "users", "disable", "alice")
    assert (code, "last_admin" in err) == (3, True), err
    cli("access", "users", "groups", "shop", "night")
    cli("access", "users", "disable", "shop")
    cli("access", "users", "enable", "shop")
    cli("access", "users", "password", "alice", *with_password)
    users = cli("access", "users", "list")
    assert ("integration of order-*" in users, "night" in users) == (True, True)
    assert "there are no sessions" in cli("access", "sessions", "list")
    assert cli.run("access", "sessions", "end", "absent")[0] == 3

    told = json.loads(cli("audit", "list", "--json"))["entries"]
    assert {entry["who"].split(":")[0] for entry in told} == {"command line"}
    assert [entry["action"] for entry in told[:4]] == ["user.added", "user.added", "key.added", "key.rotated"]
    assert shown.split("_", 2)[2] not in json.dumps(told)
    end = cli("audit", "verify").splitlines()[-1]
    cli("access", "users", "groups", "shop")
    cli("audit", "verify", "--expect", end)


def test_an_entry_that_was_forged_is_found(cli: Cli, topics: Settings, one: AccessTopic) -> None:
    add(one, "alice")
    add(one, "bob")
    cli("audit", "verify")
    assert cli.run("audit", "verify", "--expect", "1:" + "0" * 64)[0] == 4
    assert cli.run("audit", "verify", "--expect", "nonsense")[0] == 3
    _, value, headers = encode_entry(entries(topics)[0])
    producer = Producer(confluent_producer_config(topics, "stranger"))
    producer.produce(
        topic_name(topics, AUDIT), key=b"x", value=value.replace(b"alice", b"mallo"), headers=list(headers)
    )
    producer.flush(10)
    code, _, err = cli.run("audit", "verify")
    assert (code, "audit_broken" in err) == (4, True)

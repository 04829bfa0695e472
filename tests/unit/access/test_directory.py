"""The topic `access`, folded."""

from __future__ import annotations

import pytest

from streamflow.access.directory import Directory
from streamflow.access.records import ApiKey, Grant, User, encode, shown
from streamflow.access.rights import Right, Role

ALICE = User(id="1", name="Alice", groups=("staff",), created_ms=1)


def directory(*values: User | Grant) -> Directory:
    made = Directory()
    for value in values:
        kind = "user" if isinstance(value, User) else "grant"
        assert made.take(f"{kind}/{value.id}", encode(value))
    return made


def test_a_user_is_found_by_name_whatever_its_case() -> None:
    found = directory(ALICE)
    assert found.named("aLICE") == ALICE
    assert found.require_user("1") == ALICE
    assert not found.is_open


def test_a_renamed_or_deleted_user_is_not_found_under_the_old_name() -> None:
    found = directory(ALICE)
    found.take("user/1", encode(User(id="1", name="Alicia", created_ms=1)))
    assert (found.named("alice"), found.named("alicia") is not None) == (None, True)
    found.take("user/1", None)
    assert found.named("alicia") is None
    assert found.is_open


def test_a_copy_is_not_changed_with_the_original() -> None:
    before = directory(ALICE)
    after = before.copy()
    after.take("user/1", None)
    assert before.named("alice") == ALICE


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff", b"{}", b'{"id":"1"}', b'{"id":"2","name":"Mallory","created_ms":1}', b"[" * 5000, b"null"],
)
def test_what_is_unreadable_gives_nobody_a_right_and_opens_nothing(value: bytes) -> None:
    found = directory(ALICE, Grant(id="1", role=Role.ADMIN, user="1", created_ms=1))
    assert not found.take("user/1", value)
    assert found.named("alice") is None
    assert not found.is_open
    assert not found.admins()


@pytest.mark.parametrize("key", ["", "user", "stranger/1", "audit/1", "user/\ud800"])
def test_a_record_of_another_kind_is_passed_over(key: str) -> None:
    found = directory(ALICE)
    found.take(key, encode(Grant(id="1", role=Role.ADMIN, user="1", created_ms=1)))
    assert not found.admins()
    assert found.named("alice") == ALICE


def test_grants_count_for_users_and_for_their_groups() -> None:
    found = directory(
        ALICE,
        Grant(id="1", role=Role.VIEWER, user="1", created_ms=1),
        Grant(id="2", role=Role.OPERATOR, group="staff", definitions=("order",), created_ms=1),
        Grant(id="3", role=Role.ADMIN, group="board", created_ms=1),
        Grant(id="4", role=Role.ADMIN, user="2", created_ms=1),
    )
    own = found.principal(ALICE, via="session")
    assert own.may(Right.OPERATE_RUNS, "order")
    assert not own.may(Right.CHANGE_ACCESS)
    named = found.principal(ALICE, groups=["board"], via="session")
    assert named.groups == ("board", "staff")
    assert named.may(Right.CHANGE_ACCESS)


def test_what_is_shown_holds_no_hash() -> None:
    user = User(id="1", name="alice", password="$argon2id$...", created_ms=1)
    key = ApiKey(id="1", user="1", name="ci", digest="d" * 64, created_ms=1)
    assert "argon2" not in str(shown(user))
    assert (shown(user) or {})["password"] is True
    assert "ddd" not in str(shown(key))
    assert shown(None) is None

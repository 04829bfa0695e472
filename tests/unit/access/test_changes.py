"""What may be changed, by whom it is kept from being, and what the audit says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamflow.access import changes, key_changes, keys, session_changes
from streamflow.access.directory import Directory
from streamflow.access.records import ApiKey, Family, User, View, encode
from streamflow.access.rights import Right, Role
from streamflow.errors import Rejected
from tests.access import MemoryAccess

HOUR_MS = 3_600_000


class Clock:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> float:
        return self.s

    @property
    def ms(self) -> int:
        return int(self.s * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> MemoryAccess:
    made = MemoryAccess(clock)
    made.change(lambda d, now: changes.add_user(d, now, id="1", name="alice", role=Role.ADMIN))
    made.change(lambda d, now: changes.add_user(d, now, id="2", name="bob", groups=["staff"]))
    return made


def do(access: MemoryAccess, function: Callable[..., changes.Change], **given: Any) -> Any:
    return access.change(lambda directory, now: function(directory, now, **given)).result


def refused(access: MemoryAccess, function: Callable[..., changes.Change], **given: Any) -> str:
    before = dict(access.directory.values)
    with pytest.raises(Rejected) as caught:
        do(access, function, **given)
    assert access.directory.values == before
    return caught.value.code


@pytest.mark.parametrize(
    "name", ["", " ", "-x", "a b", "a\nb", "ä", "a" * 101, "a/b", "<b>", "alice\u202e", "@x", "a\x00"]
)
def test_a_strange_name_is_refused(access: MemoryAccess, name: str) -> None:
    assert refused(access, changes.add_user, id="9", name=name) == "name_invalid"
    assert refused(access, changes.add_grant, id="9", role=Role.VIEWER, group=name) == "name_invalid"


@pytest.mark.parametrize("name", ["alice", "ALICE", "staff", "Staff"])
def test_a_name_of_a_user_or_a_group_is_taken(access: MemoryAccess, name: str) -> None:
    assert refused(access, changes.add_user, id="9", name=name) == "name_taken"


def test_a_group_is_not_called_as_a_user_is(access: MemoryAccess) -> None:
    assert refused(access, changes.add_grant, id="9", role=Role.VIEWER, group="Bob") == "name_taken"
    assert refused(access, changes.change_user, name="alice", groups=["bob"]) == "name_taken"


@pytest.mark.parametrize("pattern", ["", "Order", "a b", "order/..", "a" * 101, "a.b"])
def test_a_pattern_that_is_none_is_refused(access: MemoryAccess, pattern: str) -> None:
    given = {"id": "9", "role": Role.VIEWER, "user": "bob", "definitions": [pattern]}
    assert refused(access, changes.add_grant, **given) == "pattern_invalid"


def test_a_grant_is_for_one_user_or_group(access: MemoryAccess) -> None:
    assert refused(access, changes.add_grant, id="9", role=Role.VIEWER) == "grant_invalid"
    assert refused(access, changes.add_grant, id="9", role=Role.VIEWER, user="bob", group="x") == "grant_invalid"
    assert refused(access, changes.add_grant, id="9", role=Role.VIEWER, user="nobody") == "user_unknown"


def test_the_last_admin_stays(access: MemoryAccess) -> None:
    assert refused(access, changes.change_user, name="alice", disabled=True) == "last_admin"
    assert refused(access, changes.remove_grant, id="1") == "last_admin"
    do(access, changes.add_grant, id="9", role=Role.ADMIN, user="bob")
    do(access, changes.change_user, name="alice", disabled=True)
    assert access.directory.admins() == {"2"}
    assert refused(access, changes.remove_grant, id="9") == "last_admin"


def test_an_admin_of_some_definitions_is_not_the_last_admin(access: MemoryAccess) -> None:
    do(access, changes.add_grant, id="9", role=Role.ADMIN, user="bob", definitions=["order"])
    assert refused(access, changes.remove_grant, id="1") == "last_admin"


def test_the_audit_tells_before_and_after_without_secrets(access: MemoryAccess) -> None:
    do(access, changes.change_user, name="bob", password="$argon2id$hash", disabled=True)
    told = access.entries[-1]
    assert (told.who, told.action, told.target) == ("command line: test", "user.changed", "bob")
    assert (told.before.get("disabled", False), told.after["disabled"]) == (False, True)
    assert told.after["password_changed"] is True
    assert "argon2" not in str(told)


def test_a_key_is_rotated_with_an_overlap(access: MemoryAccess, clock: Clock) -> None:
    secret, following = keys.new_secret(), keys.new_secret()
    do(access, key_changes.add_key, id="a" * 12, digest=keys.digest(secret), user="bob", name="ci")
    new: ApiKey = do(
        access,
        key_changes.rotate_key,
        id=f"sfk_{'a' * 12}",
        new_id="b" * 12,
        digest=keys.digest(following),
        overlap_ms=HOUR_MS,
        expires_ms=None,
    )
    old_token, new_token = keys.token("a" * 12, secret), keys.token("b" * 12, following)
    assert new.replaces == "a" * 12
    assert keys.find(access.directory, old_token, clock.ms)[1].name == "bob"
    assert keys.find(access.directory, new_token, clock.ms)[1].name == "bob"
    with pytest.raises(Rejected) as caught:
        keys.find(access.directory, old_token, clock.ms + HOUR_MS)
    assert caught.value.code == "key_revoked"
    again = {"id": "a" * 12, "new_id": "c" * 12, "digest": "", "overlap_ms": 0, "expires_ms": None}
    assert refused(access, key_changes.rotate_key, **again) == "key_revoked"


def test_keys_are_bounded_and_end_later(access: MemoryAccess, clock: Clock) -> None:
    past = {"id": "x", "digest": "", "user": "bob", "name": "", "expires_ms": clock.ms}
    assert refused(access, key_changes.add_key, **past) == "expiry_past"
    for number in range(100):
        do(access, key_changes.add_key, id=f"{number:012}", digest="", user="bob", name="")
    assert refused(access, key_changes.add_key, id="x", digest="", user="bob", name="") == "too_many_keys"
    rotation: dict[str, Any] = {"digest": "", "overlap_ms": HOUR_MS, "expires_ms": None}
    assert refused(access, key_changes.rotate_key, id=f"{1:012}", new_id="y", **rotation) == "too_many_keys"
    do(access, key_changes.revoke_key, id=f"{0:012}")
    do(access, key_changes.rotate_key, id=f"{1:012}", new_id="y", **rotation)
    assert refused(access, key_changes.rotate_key, id="y", new_id="z", **rotation) == "too_many_keys"
    assert refused(access, key_changes.add_key, id="x", digest="", user="bob", name="") == "too_many_keys"
    clock.s += HOUR_MS / 1000
    do(access, key_changes.add_key, id="x", digest="", user="bob", name="")
    assert refused(access, key_changes.revoke_key, id="none") == "key_unknown"


@pytest.mark.parametrize("how", ["revoke", "expire", "rotate"])
def test_keys_that_ended_are_kept_to_a_number(access: MemoryAccess, clock: Clock, how: str) -> None:
    """To make and end keys in a loop does not make the topic grow; those of others, and those that are good, stay."""
    do(access, key_changes.add_key, id="good", digest="", user="bob", name="")
    do(access, key_changes.add_key, id="other", digest="", user="alice", name="")
    do(access, key_changes.revoke_key, id="other")
    rotation: dict[str, Any] = {"digest": "", "overlap_ms": 0, "expires_ms": None}
    ids = [f"{number:012}" for number in range(250)]
    for number, id in enumerate(ids):
        clock.s += 1
        if how == "rotate" and number:
            do(access, key_changes.rotate_key, id=ids[number - 1], new_id=id, **rotation)
        else:
            expires = int(clock.s * 1000) + 1 if how == "expire" else None
            do(access, key_changes.add_key, id=id, digest="", user="bob", name="", expires_ms=expires)
        do(access, key_changes.note_uses, uses={id: int(clock.s * 1000)})
        if how == "revoke":
            do(access, key_changes.revoke_key, id=id)

    bob = access.directory.require_user("bob").id
    kept = {key.id for key in access.directory.api_keys() if key.user == bob}
    assert {"good", *ids[-100:]} <= kept
    assert len(kept) <= 103
    assert access.directory.key("other") is not None
    assert sum(key.startswith("use/") for key in access.directory.values) <= 103


def test_sessions_of_one_user_are_kept_to_a_number(access: MemoryAccess, clock: Clock) -> None:
    do(access, session_changes.begin_session, id="other", user="1", lasts_ms=HOUR_MS)
    for number in range(120):
        clock.s += 1
        do(access, session_changes.begin_session, id=f"{number:03}", user="bob", lasts_ms=HOUR_MS)
        if number == 110:
            do(access, session_changes.end_session, id="105", why="logout")

    bob = access.directory.require_user("bob").id
    own = {one.id for one in access.directory.families() if one.user == bob}
    assert own == {f"{number:03}" for number in range(19, 120)} - {"105"}
    assert access.directory.family("other") is not None


def test_uses_of_keys_are_noted_to_a_minute_and_not_audited(access: MemoryAccess, clock: Clock) -> None:
    do(access, key_changes.add_key, id="k", digest="", user="bob", name="")
    count = len(access.entries)
    do(access, key_changes.note_uses, uses={"k": 120_500, "gone": 1})
    do(access, key_changes.note_uses, uses={"k": 60_000})
    assert (access.directory.used_ms("k"), access.directory.used_ms("gone")) == (120_000, None)
    assert len(access.entries) == count


def begin(access: MemoryAccess, **given: Any) -> Family:
    found: Family = do(
        access, session_changes.begin_session, **({"id": "f", "user": "2", "lasts_ms": 24 * HOUR_MS} | given)
    )
    return found


def refresh(access: MemoryAccess, generation: int) -> changes.Change:
    def make(directory: Directory, now_ms: int) -> changes.Change:
        family = directory.family("f")
        assert family is not None
        return session_changes.refresh_session(
            directory, now_ms, family=family, generation=generation, grace_ms=10_000, idle_ms=HOUR_MS
        )

    return access.change(make)


def test_a_rotated_refresh_token_that_is_used_again_ends_the_session(access: MemoryAccess, clock: Clock) -> None:
    begin(access)
    assert refresh(access, 1).result.generation == 2
    clock.s += 11
    again = refresh(access, 1)
    assert again.refusal is not None
    assert again.refusal.code == "refresh_reused"
    ended = access.directory.family("f")
    assert ended is not None
    assert (ended.revoked_ms, ended.reason) == (clock.ms, "reuse")
    assert access.entries[-1].action == "session.ended"


def test_an_answer_that_was_lost_is_given_once_more(access: MemoryAccess, clock: Clock) -> None:
    begin(access)
    refresh(access, 1)
    clock.s += 9
    assert refresh(access, 1).result.generation == 2
    refresh(access, 2)
    assert refresh(access, 1).refusal is not None


def test_without_a_grace_a_token_is_good_once_even_within_a_millisecond(access: MemoryAccess) -> None:
    family = begin(access)
    following = session_changes.refresh_session(
        access.directory, family.rotated_ms, family=family, generation=1, grace_ms=0, idle_ms=HOUR_MS
    ).result
    again = session_changes.refresh_session(
        access.directory, family.rotated_ms, family=following, generation=1, grace_ms=0, idle_ms=HOUR_MS
    )
    assert again.refusal is not None


def test_a_session_ends_when_it_is_idle(access: MemoryAccess, clock: Clock) -> None:
    begin(access)
    clock.s += 3601
    with pytest.raises(Rejected) as caught:
        refresh(access, 1)
    assert caught.value.code == "session_ended"


def test_sessions_that_ended_long_ago_are_forgotten(access: MemoryAccess, clock: Clock) -> None:
    begin(access, id="old", lasts_ms=1)
    clock.s += 2 * 86_400
    begin(access)
    assert [family.id for family in access.directory.families()] == ["f"]


def test_a_provider_cannot_put_people_into_a_group_that_is_a_user(access: MemoryAccess) -> None:
    assert begin(access, groups=["alice", "board"]).groups == ("board",)


@pytest.mark.parametrize("name", ["board", "BOARD"])
def test_nobody_is_called_as_a_group_of_a_provider(access: MemoryAccess, clock: Clock, name: str) -> None:
    """An approval names users and groups in one list. The group is known for as long as a session with it is."""
    given = {"issuer": "https://id.example.org", "subject": "s-1", "create": True}
    begin(access, groups=["board"])
    assert refused(access, changes.add_user, id="9", name=name) == "name_taken"
    assert refused(access, session_changes.sign_in, id="9", name=name, **given) == "name_taken"


@pytest.mark.parametrize("name", ["board", "BOARD"])
def test_a_group_of_a_provider_is_ignored_once_a_user_is_called_so(access: MemoryAccess, name: str) -> None:
    """Also where the user was added before the group was known here, as by another process."""
    family = begin(access, groups=["board", "staff"])
    directory = access.directory.copy()
    directory.take("user/9", encode(User(id="9", name=name, created_ms=1)))
    bob = directory.require_user("bob")
    assert directory.principal(bob, groups=family.groups, via="session").groups == ("staff",)


def test_a_person_of_a_provider_is_who_they_are_there_and_has_no_right_at_first(access: MemoryAccess) -> None:
    given = {"issuer": "https://id.example.org", "subject": "s-1", "create": True}
    eve = do(access, session_changes.sign_in, id="9", name="eve", **given)
    assert do(access, session_changes.sign_in, id="10", name="alice", **given) == eve
    assert not access.directory.principal(eve, via="session").may(Right.USE_OWN)
    taken = given | {"subject": "s-2"}
    assert refused(access, session_changes.sign_in, id="11", name="alice", **taken) == "name_taken"
    assert refused(access, session_changes.sign_in, id="11", name="staff", **taken) == "name_taken"
    closed = taken | {"create": False}
    assert refused(access, session_changes.sign_in, id="11", name="mia", **closed) == "user_unknown"
    given = {"id": "12", "name": "eve2", "issuer": eve.issuer, "subject": eve.subject}
    assert refused(access, changes.add_user, **given) == "subject_taken"


def test_views_are_the_users_own(access: MemoryAccess) -> None:
    view = View(id="late", name="Late", page="runs", query="status=open")
    do(access, session_changes.save_view, user="2", view=view)
    assert [one.id for one in access.directory.views("2")] == ["late"]
    assert list(access.directory.views("1")) == []
    assert refused(access, session_changes.remove_view, user="1", id="late") == "view_unknown"
    strange = View(id="../1/x", name="", page="runs", query="")
    assert refused(access, session_changes.save_view, user="2", view=strange) == "view_invalid"
    do(access, session_changes.remove_view, user="2", id="late")

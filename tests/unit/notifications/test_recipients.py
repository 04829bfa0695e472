"""Who is notified: those who asked for it, may look at it, and may use their target."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamflow.access.changes import change_user, remove_grant
from streamflow.access.rights import Role
from streamflow.access.session_changes import begin_session, end_session
from streamflow.access.subscription_changes import subscribe, unsubscribe
from streamflow.errors import Rejected
from streamflow.history.notices import NoticeRow
from streamflow.notifications.recipients import recipients
from tests.access import MemoryAccess
from tests.notifications import EVERY, TARGETS, notice, person, subscribed

LATER_MS = int(time.time() * 1000) + 3_600_000


def who(access: MemoryAccess, about: NoticeRow) -> list[str]:
    return recipients(access.directory, TARGETS, about, LATER_MS)


@pytest.fixture
def access() -> MemoryAccess:
    return MemoryAccess()


def test_nobody_is_notified_who_did_not_ask(access: MemoryAccess) -> None:
    person(access, "alice", Role.ADMIN)
    assert [who(access, notice(kind, LATER_MS)) for kind in EVERY] == [[], [], [], []]


def test_an_approval_goes_to_those_who_may_decide_it(access: MemoryAccess) -> None:
    person(access, "alice")
    person(access, "bob", groups=["ops"])
    person(access, "carol")  # not named
    person(access, "dave", Role.VIEWER, groups=["ops"])  # named, without the right
    for name in ("alice", "bob", "carol", "dave"):
        subscribed(access, name)

    assert who(access, notice("approval", LATER_MS)) == ["alice", "bob"]
    assert who(access, notice("approval", LATER_MS, who='["carol"]')) == ["carol"]


def test_groups_of_a_provider_count_while_the_session_is_open(access: MemoryAccess) -> None:
    person(access, "eve")
    subscribed(access, "eve")
    hour_ms = 3_600_000
    access.change(lambda d, now: begin_session(d, now, id="f1", user="eve", lasts_ms=2 * hour_ms, groups=["ops"]))
    assert who(access, notice("approval", LATER_MS)) == ["eve"]
    assert recipients(access.directory, TARGETS, notice("approval", LATER_MS), LATER_MS + 2 * hour_ms) == []

    access.change(lambda d, now: end_session(d, now, id="f1", why="admin"))
    assert who(access, notice("approval", LATER_MS)) == []


@pytest.mark.parametrize(
    ("kind", "role", "is_told"),
    [
        ("parked", Role.OPERATOR, True),
        ("parked", Role.DEVELOPER, True),
        ("parked", Role.SERVICE_USER, False),
        ("parked", Role.INTEGRATION, False),
        ("dead_letter", Role.OPERATOR, True),
        ("dead_letter", Role.DEVELOPER, False),
        ("partition", Role.OPERATOR, True),
        ("partition", Role.VIEWER, True),
        ("partition", Role.SERVICE_USER, False),
        ("parked", None, False),
    ],
)
def test_the_right_to_look_at_it_is_needed(access: MemoryAccess, kind: Any, role: Role | None, is_told: bool) -> None:
    person(access, "alice", role)
    subscribed(access, "alice")
    assert who(access, notice(kind, LATER_MS)) == (["alice"] if is_told else [])


def test_rights_and_subscriptions_for_some_definitions(access: MemoryAccess) -> None:
    person(access, "alice", definitions=["order*"])
    person(access, "bob")
    subscribed(access, "alice")
    subscribed(access, "bob", definitions=["refund"])

    assert who(access, notice("parked", LATER_MS)) == ["alice"]
    assert who(access, notice("parked", LATER_MS, definition="refund")) == ["bob"]
    # what is of no definition is for those who may look at all of them
    assert who(access, notice("dead_letter", LATER_MS, definition="")) == []
    assert who(access, notice("partition", LATER_MS)) == ["bob"]


def test_kinds_that_were_not_asked_for(access: MemoryAccess) -> None:
    person(access, "alice")
    subscribed(access, "alice", "parked")
    assert [who(access, notice(kind, LATER_MS)) for kind in EVERY] == [[], ["alice"], [], []]


def test_what_happened_before_the_subscription_is_not_sent(access: MemoryAccess) -> None:
    person(access, "alice")
    subscribed(access, "alice")
    subscription = access.directory.subscription("alice")
    assert subscription is not None
    assert who(access, notice("parked", subscription.created_ms - 1)) == []

    subscribed(access, "alice", "parked")  # another choice begins no new time
    changed = access.directory.subscription("alice")
    assert changed is not None
    assert changed.created_ms == subscription.created_ms


def test_rights_that_were_taken_away(access: MemoryAccess) -> None:
    for name in ("alice", "bob", "carol"):
        person(access, name)
        subscribed(access, name)
    person(access, "root", Role.ADMIN)
    access.change(lambda d, now: remove_grant(d, now, id="g-alice"))
    access.change(lambda d, now: change_user(d, now, name="bob", disabled=True))
    access.change(lambda d, now: unsubscribe(d, now, user="carol"))
    assert who(access, notice("parked", LATER_MS)) == []


def test_a_target_for_some_people_only(access: MemoryAccess) -> None:
    person(access, "alice")
    person(access, "bob", groups=["bosses"])
    person(access, "carol")
    with pytest.raises(Rejected) as caught:
        subscribed(access, "alice", target="bosses")
    assert caught.value.code == "target_unusable"
    subscribed(access, "bob", target="bosses")
    subscribed(access, "carol", target="bosses")
    assert who(access, notice("parked", LATER_MS)) == ["bob", "carol"]

    access.change(lambda d, now: change_user(d, now, name="bob", groups=[]))
    assert who(access, notice("parked", LATER_MS)) == ["carol"]
    assert recipients(access.directory, {}, notice("parked", LATER_MS), LATER_MS) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": "nowhere"}, "target_unusable"),
        ({"target": "json://127.0.0.1/"}, "target_unusable"),
        ({"kinds": []}, "kinds_missing"),
        ({"definitions": ["Orders!"]}, "pattern_invalid"),
        ({"definitions": [f"d{n}" for n in range(101)]}, "too_many_patterns"),
        ({"user": "nobody"}, "user_unknown"),
    ],
)
def test_subscriptions_that_are_refused(access: MemoryAccess, changes: dict[str, Any], code: str) -> None:
    person(access, "alice")
    given: dict[str, Any] = {"user": "alice", "target": "on-call", "kinds": EVERY, "targets": TARGETS} | changes
    with pytest.raises(Rejected) as caught:
        access.change(lambda d, now: subscribe(d, now, **given))
    assert caught.value.code == code
    assert list(access.directory.subscriptions()) == []


def test_changes_are_accounted_for(access: MemoryAccess) -> None:
    person(access, "alice")
    subscribed(access, "alice", "parked")
    access.change(lambda d, now: unsubscribe(d, now, user="alice"))
    assert [one.action for one in access.entries][-2:] == ["subscription.saved", "subscription.removed"]
    with pytest.raises(Rejected) as caught:
        access.change(lambda d, now: unsubscribe(d, now, user="alice"))
    assert caught.value.code == "subscription_unknown"

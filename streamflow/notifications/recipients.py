"""Who is notified of what. Pure: asked when it is found out, and again when it is sent, so a right that was taken away
meanwhile counts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from streamflow.access.directory import Directory
from streamflow.access.records import Subscription
from streamflow.access.rights import Principal, Right, matches
from streamflow.access.subscription_changes import usable_targets
from streamflow.history.notices import NoticeRow
from streamflow.settings import NotificationTarget


def recipients(
    directory: Directory, targets: Mapping[str, NotificationTarget], notice: NoticeRow, now_ms: int
) -> list[str]:
    """The ids of the users who are notified of `notice`, sorted."""
    return sorted(
        one.user for one in directory.subscriptions() if wants(directory, targets, one, notice, now_ms=now_ms)
    )


def wants(
    directory: Directory,
    targets: Mapping[str, NotificationTarget],
    subscription: Subscription,
    notice: NoticeRow,
    *,
    now_ms: int,
) -> bool:
    """Whether the user of `subscription` asked for `notice`, may look at what it is about, and may use the target."""
    user = directory.user(subscription.user)
    if user is None or user.disabled or notice.kind not in subscription.kinds:
        return False
    if notice.at_ms < subscription.created_ms or not _is_named(subscription, notice):
        return False
    groups = _provider_groups(directory, user.id, now_ms)
    principal = directory.principal(user, groups=groups, via="notification")
    return subscription.target in usable_targets(targets, user, principal.groups) and _may(principal, notice)


def _is_named(subscription: Subscription, notice: NoticeRow) -> bool:
    """Partitions are of no definition, so no pattern leaves them out."""
    if not subscription.definitions or notice.kind == "partition":
        return True
    return any(matches(pattern, notice.definition) for pattern in subscription.definitions)


def _provider_groups(directory: Directory, user: str, now_ms: int) -> tuple[str, ...]:
    """The groups that the identity provider named when the newest open session of a user began."""
    sessions = [
        one
        for one in directory.families()
        if one.user == user and one.key is None and one.revoked_ms is None and one.expires_ms > now_ms
    ]
    return max(sessions, key=lambda one: one.created_ms).groups if sessions else ()


def _may(principal: Principal, notice: NoticeRow) -> bool:
    match notice.kind:
        case "approval":
            own = {principal.name, *principal.groups}
            return principal.may(Right.DECIDE_APPROVALS, notice.definition) and bool(own & set(json.loads(notice.who)))
        case "parked":
            return principal.may(Right.READ_TROUBLE, notice.definition)
        case "dead_letter" if notice.definition:
            return principal.may(Right.READ_DEAD_LETTERS, notice.definition)
        case "dead_letter":
            return principal.may_everywhere(Right.READ_DEAD_LETTERS)
        case "partition":
            return principal.may(Right.READ_LAG)

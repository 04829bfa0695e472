"""Changes of subscriptions to notifications; see `changes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamflow.access.changes import Change, name_of, patterns
from streamflow.access.directory import Directory
from streamflow.access.records import Subscription, User, shown
from streamflow.errors import Rejected
from streamflow.settings import NotificationKind, NotificationTarget

_MOST_PATTERNS = 100


def usable_targets(targets: Mapping[str, NotificationTarget], user: User, groups: Sequence[str] = ()) -> list[str]:
    """The names of the targets that a user in these groups may subscribe with, sorted."""
    own = {user.name, *user.groups, *groups}
    return sorted(name for name, one in targets.items() if not one.who or own & set(one.who))


def subscribe(
    directory: Directory,
    now_ms: int,
    *,
    user: str,
    target: str,
    kinds: Sequence[NotificationKind],
    definitions: Sequence[str] = (),
    targets: Mapping[str, NotificationTarget],
    groups: Sequence[str] = (),
) -> Change:
    """Has a user (by id or name), who is in these `groups`, notified from now on; a subscription that they have is
    replaced. `targets` are those of the settings. The result is the Subscription.

    Raises Rejected: `user_unknown`, `target_unusable`, `kinds_missing`, `pattern_invalid`, `too_many_patterns`."""
    owner = directory.require_user(user)
    if target not in usable_targets(targets, owner, groups):
        raise Rejected(
            "target_unusable",
            f"There is no target {target[:100]!a} that {owner.name} may use. Choose one of those that are listed, or "
            "ask an operator to add it to notifications.targets.",
        )
    if not kinds:
        raise Rejected("kinds_missing", "The subscription names no kind. Name a kind of notification, or unsubscribe.")
    named = patterns(definitions)
    if len(named) > _MOST_PATTERNS:
        raise Rejected(
            "too_many_patterns",
            f"There are {len(named)} patterns of definitions and {_MOST_PATTERNS} is the limit. Use * in them.",
        )
    before = directory.subscription(owner.id)
    made = Subscription(
        user=owner.id,
        target=target,
        kinds=tuple(sorted(set(kinds))),
        definitions=named,
        created_ms=now_ms if before is None else before.created_ms,
    )
    return Change(
        records={f"subscription/{owner.id}": made},
        action="subscription.saved",
        target=owner.name,
        before=shown(before),
        after=shown(made),
        result=made,
    )


def unsubscribe(directory: Directory, now_ms: int, *, user: str) -> Change:
    """Removes the notifications of a user (by id or name). Raises Rejected: `user_unknown`, `subscription_unknown`."""
    owner = directory.require_user(user)
    before = directory.subscription(owner.id)
    if before is None:
        raise Rejected("subscription_unknown", f"{owner.name} has no notifications. There is nothing to remove.")
    return Change(
        records={f"subscription/{owner.id}": None},
        action="subscription.removed",
        target=name_of(directory, owner.id),
        before=shown(before),
        result=before,
    )

"""`streamflow access subscriptions`: who is notified of what."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from streamflow.access.accounting import Make
from streamflow.access.records import Subscription
from streamflow.access.subscription_changes import subscribe, unsubscribe, usable_targets
from streamflow.access.topic import AccessTopic
from streamflow.cli import output
from streamflow.cli.actor import actor
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.errors import Rejected
from streamflow.settings import NOTIFICATION_KINDS, NotificationKind

app = typer.Typer(add_completion=False, help="Notifications of users.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="USER", help="name of the user")]


def _change(ctx: typer.Context, make: Make) -> Subscription:
    with AccessTopic(session_of(ctx).settings) as access:
        access.require_loaded()
        found = access.change(actor(), make).result
    assert isinstance(found, Subscription)
    return found


@app.command(
    "set",
    epilog=examples(
        "access subscriptions set alice --target on-call --kind parked --kind dead_letter",
        "access subscriptions set bob --target bob-mail --kind approval --definition 'order-*'",
    ),
)
def set_(
    ctx: typer.Context,
    user: Name,
    target: Annotated[str, typer.Option(help="name of a target of the settings, notifications.targets")],
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help=f"{', '.join(NOTIFICATION_KINDS)}; may be given several times; default: all"),
    ] = None,
    definitions: Annotated[
        list[str] | None,
        typer.Option("--definition", help="only these definitions: a name, with * for any text"),
    ] = None,
) -> None:
    """Sets the notifications of a user. They receive only what they may see."""
    wanted: list[NotificationKind] = [one for one in NOTIFICATION_KINDS if kinds is None or one in kinds]
    if unknown := sorted(set(kinds or ()) - set(NOTIFICATION_KINDS)):
        raise Rejected(
            "kind_unknown", f"There are no notifications of the kind {unknown[0]!a}. See the kinds in --help."
        )
    targets = session_of(ctx).settings.notifications.targets
    made = _change(
        ctx,
        lambda d, now: subscribe(
            d, now, user=user, target=target, kinds=wanted, definitions=definitions or [], targets=targets
        ),
    )
    text = f"{user} is notified of {', '.join(made.kinds)} at {target}{_of(made)}"
    session_of(ctx).show({"subscription": msgspec.to_builtins(made)}, text)


def _of(subscription: Subscription) -> str:
    return f", of {' '.join(subscription.definitions)}" if subscription.definitions else ""


@app.command("list", epilog=examples("access subscriptions list"))
def list_(ctx: typer.Context) -> None:
    """Lists users with their notifications and targets."""
    with AccessTopic(session_of(ctx).settings) as access:
        directory = access.require_loaded()
    targets = session_of(ctx).settings.notifications.targets
    rows, subscriptions = [], []
    for one in sorted(directory.subscriptions(), key=lambda one: one.user):
        user = directory.user(one.user)
        usable = user is not None and one.target in usable_targets(targets, user)
        rows.append(
            (
                user.name if user is not None else one.user,
                one.target if usable else f"{one.target} (not usable)",
                ", ".join(one.kinds),
                " ".join(one.definitions) or "all",
            )
        )
        subscriptions.append(msgspec.to_builtins(one) | {"usable": usable})
    text = output.table(("user", "target", "kinds", "definitions"), rows, "nobody is notified of anything")
    session_of(ctx).show({"subscriptions": subscriptions}, text)


@app.command("remove", epilog=examples("access subscriptions remove alice"))
def remove(ctx: typer.Context, user: Name) -> None:
    """Removes the notifications of a user."""
    made = _change(ctx, lambda d, now: unsubscribe(d, now, user=user))
    session_of(ctx).show({"subscription": msgspec.to_builtins(made), "removed": True}, f"{user} is no longer notified")

"""The section `notifications`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streamflow.settings.section import SecretRef, Section

NotificationKind = Literal["approval", "parked", "dead_letter", "partition"]
NOTIFICATION_KINDS: tuple[NotificationKind, ...] = ("approval", "parked", "dead_letter", "partition")

TargetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Scheme = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]{0,39}$")]


class NotificationTarget(Section):
    """A place to which messages are sent, such as a channel or a mailbox."""

    url: SecretRef = Field(
        description="reference to the URL in the form of apprise, such as mailto://... or slack://..., because it "
        "contains secrets: env:NAME or file:/path"
    )
    who: list[str] = Field(
        default_factory=list,
        description="names of the users and groups who may use this target for their notifications; none: everybody",
    )


class Notifications(Section):
    """Notifications of people: targets, and when they are sent. Needs the extra `notify`."""

    schemes: list[Scheme] = Field(
        default_factory=list,
        description="schemes that URLs of targets may have, such as mailtos and slack; others are refused. The rules "
        "for outgoing connections of operations do not apply to targets",
    )
    targets: dict[TargetName, NotificationTarget] = Field(
        default_factory=dict,
        description="targets by name, for the operation notify.send and for subscriptions of users; none: nobody is "
        "notified",
    )
    timeout_s: float = Field(default=20.0, gt=0, le=120, description="seconds in which a target must accept a message")
    attempts: int = Field(default=5, ge=1, le=20, description="attempts to send a notification, with increasing pauses")
    interval_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="seconds between two messages to one user; notifications in between are sent together",
    )
    within_hours: int = Field(
        default=24, ge=1, le=168, description="hours after which a notification that was not sent is dropped"
    )
    stalled_s: float = Field(
        default=300.0,
        ge=1,
        description="seconds without progress, while records wait, after which a partition of commands is reported",
    )

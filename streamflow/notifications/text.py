"""What a notification says: names, codes and links. Pure.

No key, no data and no message: the text leaves the house over services of others, and what strangers write into events
must not reach people by it. The page behind the link has all of it, for those who may look at it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from streamflow.history.notices import NoticeRow
from streamflow.operations.message_target import Message, Severity, message
from streamflow.settings import NotificationKind

LINES = 20

# Names of definitions, steps and codes have these characters; a dead letter may say anything in their place.
_RUN = re.compile(r"[0-9a-f]{8}-[a-z0-9]{1,16}-[0-9a-f]{20}")
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,120}")
_COUNTED: dict[NotificationKind, tuple[str, str]] = {
    "approval": ("{} approval waits", "{} approvals wait"),
    "parked": ("{} step is parked", "{} steps are parked"),
    "dead_letter": ("{} dead letter", "{} dead letters"),
    "partition": ("{} partition is stalled", "{} partitions are stalled"),
}


def composed(notices: Sequence[NoticeRow], environment: str, public_url: str | None) -> Message:
    """One message about `notices`, of which there is at least one. `public_url` is where browsers reach the pages;
    without it there are no links."""
    counts = Counter(one.kind for one in notices)
    counted = [_COUNTED[kind][counts[kind] > 1].format(counts[kind]) for kind in _COUNTED if counts[kind]]
    lines = [_line(one, public_url) for one in notices[:LINES]]
    if len(notices) > LINES:
        lines.append(f"and {len(notices) - LINES} more")
    severity: Severity = "info" if counts.keys() == {"approval"} else "warning"
    return message(f"Streamflow {environment}: {', '.join(counted)}", "\n".join(lines), severity)


def _line(notice: NoticeRow, public_url: str | None) -> str:
    definition, step, code = _name(notice.definition), _name(notice.step), _name(notice.code)
    match notice.kind:
        case "approval":
            said, page = f"{definition}: approval {step} waits for you", "/inbox"
        case "parked":
            page = f"/runs/{notice.run}" if _RUN.fullmatch(notice.run) else "/trouble"
            said = f"{definition}: step {step} is parked ({code})"
        case "dead_letter":
            page = "/trouble?kind=dead_letter"
            said = f"{definition}: a dead letter ({code})" if notice.definition else f"A dead letter ({code})"
        case "partition":
            said, page = f"Partition {step} of commands has records that nothing works on", "/workers"
    return said if public_url is None else f"{said}\n{public_url}{page}"


def _name(text: str) -> str:
    return text if _NAME.fullmatch(text) else "(unnamed)"

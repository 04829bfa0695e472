"""Messages to the targets of `notifications.targets`, over the library apprise.

apprise resolves names and connects by itself, so a target is reached past the egress policy of operations. What keeps
that in bounds: the URL of a target is a secret of the operator's settings and is named only; its scheme must be among
`notifications.schemes`, as written and as apprise reads it; redirects are not followed, unless the URL asks for it;
nothing is attached. Texts are sent as plain text, which apprise escapes for targets that take HTML or Markdown.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import unicodedata
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from streamflow.errors import OperationError
from streamflow.operations.connections import client_module
from streamflow.settings import Notifications, NotificationTarget

TITLE_CHARS = 200
TEXT_CHARS = 4000
Severity = Literal["info", "success", "warning", "failure"]

_SENDING = 16  # messages at the same time in one process; a target that holds its answer back holds one of them
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,39})://")
_STATUS = re.compile(r"\berror=([1-5][0-9]{2})\b")
_KEPT = frozenset("\n\t")
_UNSEEN = "\u200b"  # a space without width
_MENTION = re.compile(r"@(?=(?:everyone|here|channel|all)\b)|<(?=[@!#])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent. Made by `message`, which bounds it."""

    title: str
    """One line; the subject of a mail."""

    text: str
    """Plain text."""

    severity: Severity = "info"
    """Which colour or icon it has, where the target knows one."""


def message(title: str, text: str, severity: Severity = "info") -> Message:
    """A message of bounded size: what is longer is cut, with an ellipsis. Control characters go. What chat services
    take for a mention of everybody (`@everyone`, `<!channel>`) is shown and mentions nobody."""
    line = " ".join(_plain(title).split())
    for sign, shown in (("<", "\u2039"), (">", "\u203a")):  # some targets put the title into HTML as it is
        line = line.replace(sign, shown)
    return Message(title=_cut(line, TITLE_CHARS), text=_cut(_plain(text).strip(), TEXT_CHARS), severity=severity)


def _plain(text: str) -> str:
    kept = "".join(sign for sign in text if sign in _KEPT or unicodedata.category(sign) not in ("Cc", "Cs"))
    return _MENTION.sub(lambda found: found[0] + _UNSEEN, kept)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def target_of(settings: Notifications, name: str) -> NotificationTarget:
    """The target called `name`. Raises OperationError (`target_unknown`)."""
    found = settings.targets.get(name)
    if found is None:
        raise OperationError(
            "target_unknown",
            f"There is no target {name[:100]!a} in the settings. Add it to notifications.targets, or name another.",
            retryable=False,
            target=name[:100],
        )
    return found


def check_scheme(settings: Notifications, name: str, url: str) -> None:
    """Raises OperationError (`target_refused`) unless the URL of the target `name` has an allowed scheme. Nothing of
    the URL but its scheme is in the error."""
    found = _SCHEME.match(url)
    if found is None:
        raise _refused(name, "its URL has no scheme", "Correct the secret of its url")
    if any(sign.isspace() for sign in url):
        raise _refused(name, "its URL has spaces or several lines", "Keep one URL in its secret")
    _require_allowed(settings, name, found[1].lower())


def _require_allowed(settings: Notifications, name: str, scheme: str) -> None:
    if scheme not in settings.schemes:
        allowed = ", ".join(settings.schemes) or "none"
        raise _refused(
            name,
            f"its scheme {scheme} is not allowed (allowed: {allowed})",
            "Add the scheme to notifications.schemes, or give the target another URL",
        )


def _refused(name: str, why: str, remedy: str) -> OperationError:
    return OperationError(
        "target_refused", f"The target {name} is not used: {why}. {remedy}.", retryable=False, target=name
    )


class Sender:
    """Sends messages, several at the same time, each in a thread of its own. Belongs to one event loop."""

    def __init__(self, settings: Notifications) -> None:
        self._settings = settings
        self._slots = threading.BoundedSemaphore(_SENDING)

    async def send(self, target: str, sent: Message, timeout_s: float, secret: Callable[[str], Awaitable[str]]) -> None:
        """Returns when the target has taken the message. `secret` resolves the reference of its URL.

        Raises OperationError: `target_unknown`, `target_refused`, `secret_missing`, `extra_missing`; `target_failed`
        when the target refuses the message or cannot be reached, `target_silent` when it does not answer in time (it
        may have the message), `target_busy` when too many messages wait for answers."""
        url = await secret(target_of(self._settings, target).url)
        check_scheme(self._settings, target, url)
        if not self._slots.acquire(blocking=False):
            raise OperationError(
                "target_busy",
                f"{_SENDING} messages of this process wait for answers, so the one to {target} is not sent. Try again.",
                target=target,
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str | None] = loop.create_future()
        thread = threading.Thread(target=self._send, args=(target, url, sent, loop, answer), name="notify", daemon=True)
        thread.start()
        try:
            async with asyncio.timeout(timeout_s):
                why = await asyncio.shield(answer)
        except TimeoutError:
            raise OperationError(
                "target_silent",
                f"The target {target} did not accept the message within {timeout_s:g} s. Check it; it may have the "
                "message.",
                target=target,
            ) from None
        if why is not None:
            raise OperationError(
                "target_failed",
                f"The target {target} did not accept the message: {why}. Check the target and its URL.",
                target=target,
            )

    def _send(
        self, target: str, url: str, sent: Message, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[str | None]
    ) -> None:
        outcome: str | OperationError | None
        try:
            outcome = self._sent(target, url, sent)
        except OperationError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a plugin of apprise may raise anything; its text may hold the URL
            outcome = f"apprise failed with {type(error).__name__}"
        finally:
            self._slots.release()

        def settle() -> None:
            if answer.done():
                return
            if isinstance(outcome, OperationError):
                answer.set_exception(outcome)
                answer.exception()  # who waited may be gone
            else:
                answer.set_result(outcome)

        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle)

    def _sent(self, target: str, url: str, sent: Message) -> str | None:
        """Sends it: None, or why the target did not take it. Blocks for as long as the target holds it up."""
        apprise: Any = client_module("apprise", "notify")  # loading it takes seconds
        logging.getLogger("apprise").propagate = False  # it would write to stderr; what counts is in the result
        asset = apprise.AppriseAsset(
            app_id="Streamflow",
            async_mode=False,  # in this thread: it need not end before the process does
            service_timeout=0,
            storage_mode="memory",
            http_redirects=False,
            interpret_emojis=False,
            pgp_autogen=False,
            pem_autogen=False,
        )
        parts: dict[str, Any] | None = apprise.plugins.url_to_dict(url)
        if parts is None:
            raise _refused(target, "apprise cannot read its URL", "Correct the secret of its url")
        _require_allowed(self._settings, target, str(parts["schema"]).lower())
        service = apprise.Apprise.instantiate(parts, asset=asset)
        if service is None:
            raise _refused(target, "apprise cannot use its URL", "Correct the secret of its url")
        targets = apprise.Apprise(asset=asset)
        targets.add(service)
        result = targets.notify(
            title=sent.title,
            body=sent.text,
            notify_type=apprise.NotifyType(sent.severity),
            body_format=apprise.NotifyFormat.TEXT,
        )
        return None if result else _why(" ".join(str(entry.message) for entry in result.logs()))


def _why(said: str) -> str:
    """The reason in what apprise logged, without its text: that may hold a part of the URL."""
    if (found := _STATUS.search(said)) is not None:
        return f"it answered {found[1]}"
    return "it cannot be reached" if "onnection error" in said else "apprise reports a failure"

"""Signed addresses at which a pending attempt is answered: made by task workers, read by the sidecar.

A token names its attempt and when it ends, and is signed with HMAC-SHA256, so nothing has to be kept about it:
`<claims>.<signature>`, both in base64url. Anyone who holds one may answer that attempt, once; a second answer is
refused by the engine as any late result is."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from streamflow.engine.tasks import Task
from streamflow.errors import OperationError, Rejected
from streamflow.secrets import resolve_secret
from streamflow.settings import Settings
from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import read_json

API_PATH = "/api/v1"  # of every route of the sidecar
_LONGEST_TOKEN = 4000
LEAST_KEY_BYTES = 16
_LEAST_LETTERS = 6
_KNOWN_KEYS = ("change-me", "changeme", "change_me", "example", "password", "default", "placeholder", "your-")
# Distinguishes what is signed from anything else that the same secret may sign.
_PURPOSE = b"streamflow callback 1\0"


class Callback(msgspec.Struct, frozen=True, array_like=True):
    """The attempt that a token answers, its business key, and until when (ms since the epoch). `definition`, `version`
    and `operation` are those of its task: by them the contract is found that an output must fit."""

    run: str
    key: str
    step: str
    item: int | None
    attempt: int
    expires_ms: int
    definition: str = ""
    version: str = ""
    operation: str = ""


def make_token(secret: str, callback: Callback) -> str:
    """A token for `callback`, safe in URLs."""
    claims = msgspec.json.encode(callback)
    return f"{_base64(claims)}.{_base64(_signature(secret, claims))}"


def read_token(secret: str, token: str, now_ms: int) -> Callback:
    """What `token` stands for.

    Raises Rejected: `callback_forged` when it was not made with `secret` or has been changed, `callback_expired` when
    its time is over."""
    forged = Rejected(
        "callback_forged", "expected a callback address of this sidecar but this is not one. Use the address unchanged."
    )
    if len(token) > _LONGEST_TOKEN:
        raise forged
    first, _, second = token.partition(".")
    try:
        claims, signature = _bytes(first), _bytes(second)
    except (binascii.Error, ValueError):
        raise forged from None
    # One spelling for each token: base64 with other last bits would be read as the same.
    if (
        not hmac.compare_digest(_signature(secret, claims), signature)
        or f"{_base64(claims)}.{_base64(signature)}" != token
    ):
        raise forged
    try:
        callback = msgspec.json.decode(claims, type=Callback)
    except msgspec.DecodeError:
        raise forged from None
    if now_ms >= callback.expires_ms:
        late = (now_ms - callback.expires_ms) / 1000
        raise Rejected(
            "callback_expired",
            f"expected an answer in time but it is {late:.0f} s late. Nothing needs to be done: the run has continued.",
            run=callback.run,
        )
    return callback


def callback_url(base: str, token: str) -> str:
    """Where `token` is sent to, under the address of the sidecar."""
    return f"{base.rstrip('/')}{API_PATH}/callbacks/{token}"


def callback_key(settings: Settings) -> str | None:
    """The key that signs callback addresses, or None when there is none. It is read at the start of a process, so that
    a bad one is refused there.

    Raises OperationError: `secret_missing`, `callback_key_weak` for a key that others know or could guess. Everything
    else in a token can be computed, the id of a run too: who has the key may answer any attempt."""
    reference = settings.tasks.callback_secret
    if reference is None:
        return None
    key = resolve_secret(reference)
    known = any(word in key.lower() for word in _KNOWN_KEYS)
    if len(key.encode()) < LEAST_KEY_BYTES or len(set(key)) < _LEAST_LETTERS or known:
        text = (
            f"The key of tasks.callback_secret ({reference}) can be guessed: it has fewer than {LEAST_KEY_BYTES} bytes "
            "or few different characters, or holds a word of examples such as change-me. Set a random one, such as "
            "the output of `openssl rand -hex 32`."
        )
        raise OperationError("callback_key_weak", text, retryable=False)
    return key


def callback_urls(settings: Settings) -> Callable[[Task, float], str]:
    """What makes the address at which a task may be answered for so many seconds.

    It raises OperationError (`callbacks_off`) when `tasks.callback_url` or `tasks.callback_secret` is not set. Raises
    what `callback_key` raises."""
    base, key = settings.tasks.callback_url, callback_key(settings)

    def make(task: Task, for_s: float) -> str:
        if base is None or key is None:
            unset = "tasks.callback_url" if base is None else "tasks.callback_secret"
            text = f"expected the sidecar's address for callbacks but {unset} is not set. Set it."
            raise OperationError("callbacks_off", text, retryable=False)
        expires_ms = int((time.time() + for_s) * 1000)
        claims = (task.address, task.item, task.attempt, expires_ms, task.definition, task.version, task.operation)
        callback = Callback(task.run, task.key, *claims)
        return callback_url(base, make_token(key, callback))

    return make


def read_answer(body: bytes) -> Any:
    """The output in `{"output": ...}`, as plugins and callbacks answer.

    Raises OperationError with the code that `{"error": {"code", "message", "retryable", "retry_after_s"}}` names, or
    Rejected (`answer_invalid`) when it is neither."""
    try:
        answer = msgspec.convert(read_json(body), _Answer)
    except (DecodeError, msgspec.ValidationError) as error:
        raise _invalid(str(error)) from error
    if (answer.output is msgspec.UNSET) == (answer.error is msgspec.UNSET):
        raise _invalid("it has both or neither")
    if isinstance(said := answer.error, _Error):
        raise OperationError(said.code, said.message, retryable=said.retryable, retry_after_s=said.retry_after_s)
    return answer.output


def _invalid(found: str) -> Rejected:
    wrong = found[:300].rstrip(".")
    text = f'expected {{"output": ...}} or {{"error": {{"code", "message"}}}} but {wrong}. See docs/plugins.md.'
    return Rejected("answer_invalid", text)


class _Error(msgspec.Struct, forbid_unknown_fields=True):
    code: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
    message: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    retryable: bool = True
    retry_after_s: Annotated[float, msgspec.Meta(ge=0, le=86_400 * 7)] | None = None


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    output: Any = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


def _signature(secret: str, claims: bytes) -> bytes:
    return hmac.new(secret.encode(), _PURPOSE + claims, hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)

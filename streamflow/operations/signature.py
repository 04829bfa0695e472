"""Signatures of what is sent to plugins: `Streamflow-Signature: t=<unix seconds>,v1=<HMAC-SHA256 in hex>` over
`<t>.<body>`.

The time is signed too, so that a request that an attacker recorded is of no use later.
"""

from __future__ import annotations

import hashlib
import hmac
import time

from streamflow.errors import Rejected

HEADER = "Streamflow-Signature"
TOLERANCE_S = 300


def sign(secret: str, body: bytes, at_s: int) -> str:
    """The value of the header for `body`, sent at `at_s` (unix seconds)."""
    return f"t={at_s},v1={_digest(secret, body, at_s)}"


def verify(
    secret: str, header: str | None, body: bytes, *, now_s: float | None = None, tolerance_s: float = TOLERANCE_S
) -> None:
    """Returns when `body` was signed with `secret`, at most `tolerance_s` seconds ago (or ahead).

    Raises Rejected (`signature_missing`, `signature_wrong`, `signature_old`)."""
    if not header:
        raise Rejected("signature_missing", f"expected the header {HEADER} but there is none. Send it.")
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    moment, given = fields.get("t", "").strip(), fields.get("v1", "").strip()
    wrong = Rejected(
        "signature_wrong",
        "expected a signature with the shared secret but it does not match. Check the secret on both sides.",
    )
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12):
        raise wrong
    if not hmac.compare_digest(_digest(secret, body, int(moment)).encode(), given.encode()):
        raise wrong
    age = (time.time() if now_s is None else now_s) - int(moment)
    if abs(age) > tolerance_s:
        raise Rejected(
            "signature_old",
            f"expected a signature of the last {tolerance_s:g} s but it is {age:.0f} s old. Check both clocks.",
        )


def _digest(secret: str, body: bytes, at_s: int) -> str:
    return hmac.new(secret.encode(), str(at_s).encode() + b"." + body, hashlib.sha256).hexdigest()

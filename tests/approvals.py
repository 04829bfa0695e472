"""Keys and approvals for tests, and the ways in which an approval may be forged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from streamflow.approvals.approval import Approval, Promotion
from streamflow.approvals.signing import key_id, public_text, sign


def a_key(number: int = 1) -> Ed25519PrivateKey:
    """A key, the same for the same number."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def pem(key: Ed25519PrivateKey) -> str:
    """The text of its file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(key: Ed25519PrivateKey) -> str:
    """Its public part as settings have it."""
    return public_text(key.public_key())


def an_approval(key: Ed25519PrivateKey | None = None, **fields: Any) -> Approval:
    """A signed approval of loan@1 for `main`."""
    known: dict[str, Any] = {
        "name": "loan",
        "version": "1",
        "sha256": "ab" * 32,
        "report": "cd" * 32,
        "environment": "main",
        "authors": ("ann",),
        "by": "bob",
        "at_ms": 1_790_000_000_000,
    }
    return sign(Approval(**(known | fields)), key or a_key())


# What somebody who may write to Kafka, and who has seen `approval`, can make of it without the key; `sha` is the
# content that they would like to have run.
FORGERIES: dict[str, Callable[[Approval, str], Approval | None]] = {
    "none": lambda approval, sha: None,
    "of other content": lambda approval, sha: approval,
    "with the hash written over": lambda approval, sha: replace(approval, sha256=sha),
    "by a key of one's own": lambda approval, sha: sign(replace(approval, sha256=sha), a_key(9)),
    "by a key of one's own under the trusted id": lambda approval, sha: replace(
        sign(replace(approval, sha256=sha), a_key(9)), key=approval.key
    ),
    "signed by nobody": lambda approval, sha: replace(approval, sha256=sha, key="", signature=""),
    "signed with zeros": lambda approval, sha: replace(approval, sha256=sha, signature="00" * 64),
    "signed with what is no hex": lambda approval, sha: replace(approval, sha256=sha, signature="zz"),
    "of another version": lambda approval, sha: replace(approval, sha256=sha, version="0"),
    "that says it was promoted": lambda approval, sha: replace(
        approval, sha256=sha, promoted=Promotion(environment="test", signature=approval.signature, by="eve")
    ),
}

__all__ = ["FORGERIES", "a_key", "an_approval", "key_id", "pem", "public"]

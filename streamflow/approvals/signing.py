"""Keys that sign approvals: Ed25519 (RFC 8032). A key is known by its id, which follows from its public part, so an
installation may trust several while one takes the place of another."""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from streamflow.approvals.approval import Approval, signed_bytes
from streamflow.errors import OperationError
from streamflow.secrets import resolve_secret

_ID_DIGITS = 16
_PUBLIC_BYTES = 32


def key_id(public: Ed25519PublicKey) -> str:
    """The id of a key: the first 16 hex digits of the SHA-256 of its public part."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:_ID_DIGITS]


def public_text(public: Ed25519PublicKey) -> str:
    """The public part of a key as settings name it: its 32 bytes in base64."""
    return base64.b64encode(public.public_bytes_raw()).decode()


def public_key(text: str) -> Ed25519PublicKey:
    """The public key that settings name. Raises OperationError (`approval_key_invalid`)."""
    try:
        raw = base64.b64decode(text, validate=True)
        if len(raw) != _PUBLIC_BYTES:
            raise ValueError("it does not have 32 bytes")
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise OperationError(
            "approval_key_invalid",
            f"The trusted key {text[:60]!a} is not an Ed25519 public key in base64 ({error}). Give what `streamflow "
            "definitions approval-key` prints.",
            retryable=False,
        ) from error


def new_private_key() -> str:
    """A new private key as the text of a PEM file (PKCS #8), for `approvals.signing_key`."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def read_private_key(reference: str | None) -> Ed25519PrivateKey:
    """The private key that the setting `approvals.signing_key` refers to.

    Raises OperationError (`approval_key_missing`, `approval_key_invalid`, `secret_missing`)."""
    if reference is None:
        raise OperationError(
            "approval_key_missing",
            "There is no key to sign approvals with. Set approvals.signing_key to one that `streamflow definitions "
            "approval-key --new FILE` made.",
            retryable=False,
        )
    try:
        key = load_pem_private_key(resolve_secret(reference).encode(), password=None)
    except (ValueError, TypeError) as error:
        raise _not_private(reference) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_private(reference)
    return key


def _not_private(reference: str) -> OperationError:
    return OperationError(
        "approval_key_invalid",
        f"The secret {reference} is not an Ed25519 private key in an unencrypted PEM file. Make one with `streamflow "
        "definitions approval-key --new FILE`.",
        retryable=False,
    )


def sign(approval: Approval, key: Ed25519PrivateKey) -> Approval:
    """`approval` with the signature of `key`, and its id."""
    named = msgspec.structs.replace(approval, key=key_id(key.public_key()))
    return msgspec.structs.replace(named, signature=key.sign(signed_bytes(named)).hex())


def is_signed(approval: Approval, public: Ed25519PublicKey) -> bool:
    """Whether `public` belongs to the key that signed exactly this approval."""
    try:
        signature = bytes.fromhex(approval.signature)
        if signature.hex() != approval.signature:
            return False  # the same bytes in another spelling
        public.verify(signature, signed_bytes(approval))
    except (InvalidSignature, ValueError):
        return False
    return True

"""What an approval says, and the bytes of it that are signed. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Refusal = Literal["approval_missing", "approval_mismatch", "approval_invalid"]
"""Why a version does not count as approved: there is no approval; it is one of something else (other content, another
name, version or environment); its signature is not one of a trusted key."""

_DOMAIN = b"streamflow approval 1\n"  # so that no other text that the key may sign can be taken for an approval


class Promotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an approval was taken over from."""

    environment: str  # in which the version was approved first
    signature: str  # of the approval there, in hex
    by: str  # who promoted it


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a content was written."""

    conversation: str  # its id
    revision: int  # of its draft


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a person approved a version for one environment, signed by a key of the installation."""

    name: str  # of the definition
    version: str
    sha256: str  # of the content that was approved, in hex
    report: str  # SHA-256 of the report that the person saw, in hex
    environment: str  # the only one that it holds in
    authors: tuple[str, ...]  # who wrote the content, as far as that is known
    by: str  # who approved
    at_ms: int  # when, in epoch milliseconds by the clock of the signing process
    note: str = ""  # what the person wrote with it
    promoted: Promotion | None = None  # None: it was approved for this environment first
    source: Source | msgspec.UnsetType = msgspec.UNSET  # unset, and then not signed: it was written elsewhere
    key: str = ""  # id of the key that signed it
    signature: str = ""  # Ed25519 of `signed_bytes`, 128 hex digits


def signed_bytes(approval: Approval) -> bytes:
    """What the signature is over: every field but the signature, as JSON with sorted names, after a line that says what
    it is. The same approval always gives the same bytes."""
    unsigned = msgspec.structs.replace(approval, signature="")
    return _DOMAIN + msgspec.json.encode(unsigned, order="sorted")

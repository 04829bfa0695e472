"""The identity of an event: what makes two deliveries the same one."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256

IDENTITY_BYTES = 16
REQUEST = "request"  # in the place of a source, for starts that a caller or a parent asks for


def identity(name: str, source: str, id: str) -> str:
    """22 characters that stand for an event's name, its source and its id.

    The same id under another name or of another source is another event. Each part is preceded by its length, so that
    no two triples give the same text."""
    digest = sha256()
    for part in (name, source, id):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return urlsafe_b64encode(digest.digest()[:IDENTITY_BYTES]).rstrip(b"=").decode()

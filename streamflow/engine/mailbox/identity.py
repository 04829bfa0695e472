"""The identity of an event: what makes two deliveries the same one."""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import blake2b

IDENTITY_BYTES = 16
IDENTITY_CHARS = 22  # in base64, without its padding
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
REQUEST = "request"  # in the place of a source, for starts that a caller or a parent asks for


def identity(name: str, source: str, id: str) -> str:
    """22 characters that stand for an event's name, its source and its id.

    The same id under another name or of another source is another event. Each part is preceded by its length, so that
    no two triples give the same text."""
    if name.isascii() and source.isascii() and id.isascii():  # as many bytes as characters
        text = f"{len(name)}:{name}{len(source)}:{source}{len(id)}:{id}".encode()
    else:
        first, second, third = (part.encode("utf-8", "surrogatepass") for part in (name, source, id))
        text = b"%d:%b%d:%b%d:%b" % (len(first), first, len(second), second, len(third), third)
    digest = blake2b(text, digest_size=IDENTITY_BYTES).digest()
    return b2a_base64(digest, newline=False)[:IDENTITY_CHARS].translate(_URL_SAFE).decode()

"""The identity of an event: what makes two deliveries the same one."""

from __future__ import annotations

from hashlib import blake2b

IDENTITY_BYTES = 16
REQUEST = "request"  # instead of a source, for starts that a caller or a parent asks for


def identity(name: str, source: str, id: str) -> str:
    """32 hexadecimal digits that stand for an event's name, its source and its id.

    The same id under another name or of another source is another event. Each part is preceded by its length in
    characters, so that no two triples give the same text."""
    text = f"{len(name)}:{name}{len(source)}:{source}{len(id)}:{id}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=IDENTITY_BYTES).hexdigest()

"""Bodies of answers that are compressed although nobody asked for it (RFC 9110, section 8.4), inflated within a
limit."""

from __future__ import annotations

import zlib

_ZLIB_OR_GZIP = 47  # for zlib: the largest window, and which of the two it is by its first bytes
IDENTITY = frozenset({"", "identity"})
INFLATED = frozenset({"gzip", "x-gzip", "deflate"})


class Inflater:
    """Inflates gzip, also of several members, and zlib (`deflate`). Never gives more than it is asked for, so a small
    answer cannot become a large one."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_ZLIB_OR_GZIP)

    def take(self, chunk: bytes, most: int) -> bytes:
        """What comes of `chunk`, at most `most` bytes (at least 1); the rest of a chunk that gives more is lost.

        Raises ValueError for what is not compressed like that."""
        parts: list[bytes] = []
        while chunk and most > 0:
            if self._stream.eof:
                self._stream = zlib.decompressobj(_ZLIB_OR_GZIP)
            try:
                part = self._stream.decompress(chunk, most)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            parts.append(part)
            most -= len(part)
            chunk = self._stream.unused_data
        return b"".join(parts)

    @property
    def is_complete(self) -> bool:
        """Whether what was taken is a whole."""
        return self._stream.eof

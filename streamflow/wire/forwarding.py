"""The header of a forwarded command: where it comes from. Its key and its value are those of the record that it is a
copy of, so forwarding makes it neither larger nor deeper.

    forwarded: <partition>/<offset>/<sent partition>/<sent offset>

in `commands`: of the record that was forwarded, and of the one that the sender wrote. They differ from the third
generation on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamflow.engine.commands import ForwardSource
from streamflow.wire.codec import DecodeError

FORWARDED = "forwarded"
_PLACES = re.compile(rb"(\d{1,10})/(\d{1,19})/(\d{1,10})/(\d{1,19})")


def forwarded_header(source: ForwardSource) -> tuple[str, bytes]:
    """The header of a record that is forwarded from `source`."""
    places = (source.partition, source.offset, source.sent_partition, source.sent_offset)
    return FORWARDED, "/".join(map(str, places)).encode()


def forward_source(headers: Iterable[tuple[str, bytes]]) -> ForwardSource | None:
    """Where a record of `commands` was forwarded from; None when its sender wrote it. Raises DecodeError
    (`bad_command`)."""
    for name, value in headers:
        if name == FORWARDED:
            if (found := _PLACES.fullmatch(value or b"")) is None:
                text = f"expected four numbers in the header {FORWARDED} but found something else."
                raise DecodeError("bad_command", f"{text} Only Streamflow's own processes write this topic.")
            return ForwardSource(*map(int, found.groups()))
    return None

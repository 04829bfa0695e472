"""Where a request comes from: the address of the connection, or what trusted proxies say of the client. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?")
_LONGEST = 45  # characters of an address of IPv6
_HOPS = 50  # more proxies than this are behind no request


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of the client behind a connection from `peer`, which sent the headers X-Forwarded-For `forwarded`.

    Each proxy appends the address that it was asked from. They are read from the right for as long as each is that of a
    trusted proxy: the first other one is the client's. What stands left of it anybody may have written. If an entry is
    no address, the proxy that wrote it is the last that is known."""
    reached = address_of(peer)
    if reached is None:
        return peer
    entries = [entry.strip(" \t") for header in forwarded for entry in header.split(",")]
    for entry in reversed(entries[-_HOPS:]):
        if not _is_in(reached, trusted):
            break
        before = address_of(entry)
        if before is None:
            break
        reached = before
    return str(reached)


def address_of(text: str) -> Address | None:
    """The address in a text, which may have a port; one of IPv4 that is written as IPv6 is the same address."""
    found = _PORT.fullmatch(text)
    bare = (found["six"] or found["four"] or "") if found is not None else text
    if not bare or len(bare) > _LONGEST or "%" in bare:
        return None
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)

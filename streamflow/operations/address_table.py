"""The addresses that are no ordinary hosts of the internet, as data.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and what was entered since), the IANA
IPv4 multicast space, and the manuals of clouds for the places of their instance metadata. The table is our own because
that of Python's `ipaddress` changes with its version, and answers another question: what is routed, not what may be
called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address


class Reach(IntEnum):
    """Who may reach an address: everybody; a policy that opens private networks; a policy that opens the host by name;
    only one that opens the address itself."""

    PUBLIC = 0
    PRIVATE = 1
    NAMED = 2
    LITERAL = 3


@dataclass(frozen=True, slots=True)
class Special:
    """A network of addresses, what it is, and who may reach it."""

    network: IPv4Network | IPv6Network
    kind: str
    reach: Reach


def _rows(kind: str, reach: Reach, *networks: str) -> tuple[Special, ...]:
    made = []
    for text in networks:
        network = IPv6Network(text) if ":" in text else IPv4Network(text)
        made.append(Special(network, kind, reach))
    return tuple(made)


# Instance metadata and agents of the host: anyone who reads them may act as the machine. Most are link-local too.
METADATA = _rows(
    "a cloud's own service",
    Reach.LITERAL,
    "169.254.169.254/32",  # AWS, Google, Azure, OpenStack and others
    "169.254.170.2/32",  # AWS, credentials of containers
    "169.254.170.23/32",
    "192.0.0.192/32",  # Oracle
    "100.100.100.200/32",  # Alibaba
    "100.96.0.96/32",  # Volcengine
    "168.63.129.16/32",  # Azure, the agent of the host
    "fd00:ec2::/32",  # AWS: metadata (::254), credentials of pods (::23), names (::253), time (::123)
    "fd20:ce::/32",  # Google
    "fd00:c1::/32",  # Oracle
    "fd00:42::/32",  # Scaleway
)

# The most specific of the rows that hold an address counts.
SPECIAL = (
    *METADATA,
    *_rows("unspecified", Reach.LITERAL, "0.0.0.0/32", "::/128"),
    *_rows("loopback", Reach.PRIVATE, "127.0.0.0/8", "::1/128"),
    *_rows("link-local", Reach.LITERAL, "169.254.0.0/16", "fe80::/10"),
    *_rows("multicast", Reach.LITERAL, "224.0.0.0/4", "ff00::/8"),
    *_rows("a broadcast address", Reach.LITERAL, "255.255.255.255/32"),
    # Shared addresses (100.64.0.0/10) are used by clusters as private ones are.
    *_rows("private", Reach.PRIVATE, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    *_rows("an IPv4 address in disguise", Reach.NAMED, "::ffff:0:0/96"),
    *_rows(
        "reserved, or leads to an IPv4 address",
        Reach.NAMED,
        "::/96",  # IPv4-compatible
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of a network's own
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    ),
    *_rows(
        "reserved",
        Reach.NAMED,
        "0.0.0.0/8",  # this network
        "192.0.0.0/24",  # IETF protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "240.0.0.0/4",
        "::/3",  # what is not in 2000::/3 is no global unicast address
        "4000::/2",
        "8000::/1",
        "fec0::/10",  # site-local
        "100::/64",  # discarded
        "2001::/23",  # IETF protocols
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
    ),
)
_BY_LENGTH = tuple(sorted(SPECIAL, key=lambda one: one.network.prefixlen, reverse=True))


def special(address: Address) -> Special | None:
    """The row that `address` belongs to, or None when it is an ordinary public address."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return next(one for one in SPECIAL if one.kind == "link-local")
    return next((one for one in _BY_LENGTH if one.network.version == address.version and address in one.network), None)


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that `address` may lead to: mapped and compatible ones (RFC 4291), NAT64 (RFC 6052, RFC 8215),
    6to4 (RFC 3056), Teredo's server and client (RFC 4380)."""
    if isinstance(address, IPv4Address):
        return
    value = int(address)
    if any(address in IPv6Network(one) for one in ("::ffff:0:0/96", "::/96", "64:ff9b::/96")):
        yield IPv4Address(value & 0xFFFFFFFF)
    elif address in IPv6Network("64:ff9b:1::/48"):
        yield IPv4Address(value & 0xFFFFFFFF)
        yield IPv4Address((value >> 64 & 0xFFFF) << 16 | (value >> 40 & 0xFFFF))
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo

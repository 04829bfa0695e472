"""Which addresses HTTP operations may connect to. Pure: names are resolved elsewhere, and what they resolve to is
judged here.

Without leave an operation reaches public addresses only, by http or https, on the usual ports. What runs beside a
worker (databases, a cloud's metadata, the broker) must not be reachable by whoever can write a definition, nor by a
public name that resolves to a private address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from streamflow.errors import OperationError

USUAL_PORTS = frozenset({80, 443, 8080, 8443})
_LONGEST_URL = 8000
_NOT_VISIBLE = re.compile(r"[\s\\]")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What routers deliver beyond the machine's own networks is in 2000::/3, these parts excepted: IETF protocols with
# Teredo, documentation, 6to4.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_GLOBAL_V6 = tuple(ipaddress.IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# The host's agent in one cloud answers at a public address.
_HOST_AGENTS = frozenset({ipaddress.IPv4Address("168.63.129.16")})
# The places of metadata that are unique local or shared addresses, and so among the private ones.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200"), *_HOST_AGENTS})


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be reached. `hosts` are `host` (on usual ports) or `host:port`, lower case, and open whatever they
    resolve to. `private` opens loopback and private networks on any port, but never link-local, metadata, multicast or
    unspecified addresses."""

    hosts: frozenset[str] = frozenset()
    private: bool = False

    @classmethod
    def of(cls, hosts: Iterable[str], *, private: bool = False) -> Policy:
        """The policy that opens `hosts`, spelt in any case."""
        return cls(frozenset(host.lower().rstrip(".") for host in hosts), private)

    def opens(self, host: str, port: int) -> bool:
        """Whether `host` on `port` is opened by name."""
        shown = f"[{host}]" if ":" in host else host
        return f"{shown}:{port}" in self.hosts or (port in USUAL_PORTS and (shown in self.hosts or host in self.hosts))


def parse_url(text: str) -> URL:
    """`text` as an absolute http(s) URL without a fragment.

    Raises OperationError (`url_refused`) when it is anything else, or carries a user name or password."""
    if len(text) > _LONGEST_URL:
        raise refused(f"a URL of at most {_LONGEST_URL} characters", f"one has {len(text)}")
    if _NOT_VISIBLE.search(text) or not text.isprintable():
        raise refused("a URL of visible characters", "one has others")
    try:
        # Two readers that understand a text differently are how a checked host and a connected one come apart.
        url, other = URL(text), urlsplit(text)
        host, port = url.host, url.port
        theirs = other.hostname, other.port
    except ValueError as error:
        raise refused("a URL", f"it cannot be read: {error}") from error
    if url.scheme not in ("http", "https"):
        raise refused("an http or https URL", f"its scheme is {url.scheme or 'missing'}")
    if url.user is not None or url.password is not None or "@" in url.raw_authority:
        raise refused("a URL without a user name", "one has one; do use a connection with secret headers")
    if not host or port is None or not theirs[0]:
        raise refused("a URL with a host", "there is none")
    if theirs[1] not in (port, None):
        raise refused("a URL with a plain port", "it can be read in two ways")
    return url.with_fragment(None)


def check_url(url: URL, policy: Policy) -> None:
    """Judges what is known before any name is resolved: the port, and the host when it is an address.

    Raises OperationError (`url_refused`)."""
    host, port = named_host(url), url.port or 0
    if policy.opens(host, port):
        return
    if port not in USUAL_PORTS and not policy.private:
        raise refused(
            f"one of the ports {', '.join(map(str, sorted(USUAL_PORTS)))}",
            f"{host} is asked on {port}",
            opens=f"{host}:{port}",
        )
    address = literal(host)
    if address is not None:
        check_address(address, policy, host, port)


def check_address(address: Address, policy: Policy, host: str, port: int) -> None:
    """Judges an address that `host` is or resolves to.

    Raises OperationError (`url_refused`)."""
    if policy.opens(host, port):
        return
    if (kind := _kind(address, private=policy.private)) is not None:
        place = str(address) if str(address) == host else f"{host}, which is {address},"
        raise refused("a public address", f"{place} is {kind}", opens=f"{host}:{port}")


def named_host(url: URL) -> str:
    """The host of `url` as it is compared: lower case, ASCII, no final dot."""
    return (url.raw_host or "").lower().rstrip(".")


def literal(host: str) -> Address | None:
    """The address that `host` spells, or None when it is a name.

    Raises OperationError (`url_refused`) for the spellings that only some programs take for an address (`127.1`,
    `0x7f000001`, `2130706433`)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        last = host.rpartition(".")[2]
        if ":" in host or "%" in host or last.isdigit() or last.startswith("0x"):
            raise refused("a host name or an address in its usual spelling", f"it is {host}") from None
        return None


def _kind(address: Address, *, private: bool) -> str | None:
    """What `address` is, when it may not be reached: `loopback`, `private`, ..."""
    if isinstance(address, ipaddress.IPv6Address):
        return _kind_v6(address, private=private)
    if address in _METADATA:
        return "a cloud's own service"
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return None if private else "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_global:
        return None
    # Shared addresses (100.64.0.0/10) are used by clusters as private ones are.
    inside = address in _SHARED_V4 or any(address in network for network in _PRIVATE_V4)
    return None if private and inside else "private or reserved"


_PRIVATE_V4 = tuple(ipaddress.IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_SHARED_V4 = ipaddress.IPv4Network("100.64.0.0/10")
_UNIQUE_LOCAL_V6 = ipaddress.IPv6Network("fc00::/7")


def _kind_v6(address: ipaddress.IPv6Address, *, private: bool) -> str | None:
    if address.ipv4_mapped is not None:
        return "an IPv4 address in disguise"
    if address in _METADATA:
        return "a cloud's own service"
    if address.is_loopback:
        return None if private else "loopback"
    if address in _UNIQUE_LOCAL_V6:
        return None if private else "private"
    if address.scope_id is not None or address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address not in _GLOBAL_V6 or any(address in network for network in _NOT_GLOBAL_V6):
        return "reserved, or leads to an IPv4 address"
    return None


def refused(expected: str, found: str, *, opens: str | None = None) -> OperationError:
    """The error of an address that may not be reached; `opens` is what an operator would allow."""
    remedy = f"do choose another, or have an operator put {opens} into tasks.allow_hosts" if opens else "do mend it"
    return OperationError("url_refused", f"expected {expected} but {found}; {remedy}", retryable=False)

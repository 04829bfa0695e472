"""Which addresses HTTP operations may connect to. Pure: names are resolved elsewhere, and what they resolve to is
judged here.

Without leave an operation reaches public addresses only, by http or https, on the usual ports. What runs beside a
worker (databases, a cloud's metadata, the broker) must not be reachable by anyone who can write a definition, nor by a
public name that resolves to a private address.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from yarl import URL

from streamflow.errors import OperationError, with_remedy
from streamflow.operations.address_table import Address, Reach, embedded, special

USUAL_PORTS = frozenset({80, 443, 8080, 8443})
_LONGEST_URL = 8000
_NOT_VISIBLE = re.compile(r"[\s\\]")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STEERING = "./\\;"
_MOST_DECODINGS = 8


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be reached. `hosts` are `host` (on usual ports) or `host:port`, lower case; a name among them opens what
    it resolves to, except metadata, link-local, multicast and unspecified addresses, which are opened only as
    themselves: who answers for a name is not always who allowed it. `private` opens loopback and private networks on
    any port."""

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
        raise refused("a URL without a user name", "one has one. Use a connection with secret headers.")
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
    named = policy.opens(host, port)
    if named and host == str(address):
        return
    found = special(address)
    if found is None:
        return
    allowed = Reach.NAMED if named else Reach.PRIVATE if policy.private else Reach.PUBLIC
    inner = [one for one in map(special, embedded(address)) if one is not None and one.reach is Reach.LITERAL]
    if found.reach > allowed or inner:
        place = str(address) if str(address) == host else f"{host}, which is {address},"
        kind = f"{found.kind} ({inner[0].kind})" if inner else found.kind
        literal_only = named or found.reach is Reach.LITERAL
        opens = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        raise refused("a public address", f"{place} is {kind}", opens=opens if literal_only else f"{host}:{port}")


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


def check_path(path: str) -> None:
    """Judges a path that is put under the url of a connection, whose secret headers go with it. Servers and proxies
    differ in what they decode, drop and join, so everything is refused that one of them may take for a step out of the
    connection's path: segments `.` and `..`, `\\`, `;` parameters, and dots, slashes, backslashes or semicolons that
    are percent-encoded, also several times over, or spelt with other characters (U+FF0E, U+2025, U+FF0F).

    Raises OperationError (`url_refused`)."""
    if _NO_ESCAPE.search(path):
        raise _path_refused("it has a % that is not an escape")
    seen = path
    for _ in range(_MOST_DECODINGS):
        wide = unicodedata.normalize("NFKC", seen)
        if any(wide.count(letter) != path.count(letter) for letter in _STEERING):
            raise _path_refused("it has encoded dots, slashes, backslashes or semicolons")
        if any(letter in seen for letter in "\\;") or not wide.isprintable():
            raise _path_refused("it has a backslash, a semicolon or a control character")
        if any(segment.strip() in (".", "..") for segment in wide.split("/")):
            raise _path_refused("it has a segment . or ..")
        try:
            decoded = unquote(seen, errors="strict")
        except UnicodeDecodeError:
            raise _path_refused("its escapes are not UTF-8") from None
        if decoded == seen:
            return
        seen = decoded
    raise _path_refused(f"it is encoded more than {_MOST_DECODINGS} times")


def _path_refused(why: str) -> OperationError:
    text = f"The path cannot be used under the URL of a connection: {why}. Write it without escapes."
    return OperationError("url_refused", text, retryable=False)


def refused(expected: str, found: str, *, opens: str | None = None) -> OperationError:
    """The error of an address that may not be reached; `opens` is what an operator would allow."""
    remedy = f"choose another, or have an operator put {opens} into tasks.allow_hosts" if opens else "correct it"
    return OperationError("url_refused", with_remedy(f"expected {expected} but {found}", remedy), retryable=False)

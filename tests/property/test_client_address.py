"""The address of a client behind proxies: nothing that a client writes changes it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.sidecar.client_address import client_address

TRUSTED = [ipaddress.ip_network(text) for text in ("10.0.0.0/24", "192.0.2.7", "fd00:1::/64")]
PROXIES = st.one_of(
    st.ip_addresses(network="10.0.0.0/24"),
    st.just(ipaddress.ip_address("192.0.2.7")),
    st.ip_addresses(network="fd00:1::/64"),
)
CLIENTS = st.ip_addresses().filter(
    lambda one: (
        not any(one in network for network in TRUSTED) and getattr(one, "ipv4_mapped", None) is None  # another spelling
    )
)
WRITTEN = st.lists(
    st.one_of(st.text(max_size=40), st.ip_addresses().map(str), PROXIES.map(str), st.just("unknown")), max_size=4
)


def spelled(address: str, how: int) -> str:
    """An address as proxies write it."""
    if ":" in address:
        return [address, f"[{address}]", f"[{address}]:443", f" {address}\t"][how]
    return [address, f"{address}:8080", f"::ffff:{address}", f"\t{address} "][how]


@given(CLIENTS, st.lists(PROXIES, min_size=1, max_size=4), WRITTEN, st.data())
def test_what_a_client_writes_changes_nothing(
    client: ipaddress.IPv4Address, proxies: list[ipaddress.IPv4Address], written: list[str], data: st.DataObject
) -> None:
    """The client asks the first proxy with headers of its own; each proxy appends who asked it."""
    *inner, peer = (str(proxy) for proxy in proxies)
    appended = [spelled(address, data.draw(st.integers(0, 3))) for address in (str(client), *inner)]
    cut = data.draw(st.integers(0, len(appended)))

    headers = [*written, *(", ".join(part) for part in (appended[:cut], appended[cut:]) if part)]

    assert client_address(peer, headers, TRUSTED) == str(client)


@given(CLIENTS, WRITTEN)
def test_without_a_trusted_proxy_the_connection_counts(client: ipaddress.IPv4Address, written: list[str]) -> None:
    assert client_address(str(client), written, TRUSTED) == str(client)
    assert client_address(str(client), written, []) == str(client)


@given(PROXIES, st.text(max_size=60))
def test_it_is_an_address_whatever_is_written(peer: ipaddress.IPv4Address, written: str) -> None:
    ipaddress.ip_address(client_address(str(peer), [written], TRUSTED))


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ([], "10.0.0.1"),
        ([""], "10.0.0.1"),
        (["unknown"], "10.0.0.1"),
        (["10.0.0.2"], "10.0.0.2"),
        (["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.9, 198.51.100.1", "10.0.0.2, 10.0.0.3"], "198.51.100.1"),
        ([",".join(["198.51.100.1", *["10.0.0.2"] * 60])], "10.0.0.2"),
    ],
)
def test_examples(forwarded: list[str], expected: str) -> None:
    assert client_address("10.0.0.1", forwarded, TRUSTED) == expected


@pytest.mark.parametrize("peer", ["testclient", "", "fe80::1%eth0"])
def test_a_connection_without_an_address_stays_what_it_is(peer: str) -> None:
    assert client_address(peer, ["198.51.100.1"], TRUSTED) == peer

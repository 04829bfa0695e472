"""What HTTP operations may reach."""

from __future__ import annotations

import ipaddress

import pytest

from streamflow.errors import OperationError
from streamflow.operations.address_table import SPECIAL, special
from streamflow.operations.egress_policy import Policy, check_address, check_path, check_url, parse_url

PUBLIC = ("93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:830::200e")
NEVER = (
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:10.0.0.1",
    "::ffff:93.184.216.34",
    "::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2001:0:a00:1::1",
    "2001:db8::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "192.0.0.192",
    "192.0.0.1",
    "192.0.0.170",
    "192.88.99.1",
    "198.51.100.7",
    "203.0.113.7",
    "100.96.0.96",
    "169.254.170.2",
    "239.1.2.3",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001:2::1",
    "2001:10::1",
    "100::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "e000::1",
)
# What a name that operators allow may not lead to: the place where a machine's own rights are handed out.
NEVER_BY_NAME = (
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "169.254.1.1",
    "192.0.0.192",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "64:ff9b::192.0.0.192",
)
PRIVATE = (
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
)


def refusal(address: str, policy: Policy) -> str | None:
    try:
        check_address(ipaddress.ip_address(address), policy, "some.example", 443)
    except OperationError as error:
        assert not error.retryable
        return error.code
    return None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    assert refusal(address, Policy()) is None


@pytest.mark.parametrize("address", [*NEVER, *PRIVATE])
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(address, Policy()) == "url_refused"


@pytest.mark.parametrize("address", PRIVATE)
def test_a_plugin_may_be_at_a_private_address(address: str) -> None:
    assert refusal(address, Policy(private=True)) is None


@pytest.mark.parametrize("address", NEVER)
def test_a_plugin_may_not_be_at_a_clouds_metadata_or_anything_else_that_is_no_host(address: str) -> None:
    assert refusal(address, Policy(private=True)) == "url_refused"


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE, "198.18.0.1", "64:ff9b::8.8.8.8", "::ffff:10.0.0.1"])
def test_a_host_that_operators_allow_may_resolve_to_a_host_anywhere(address: str) -> None:
    assert refusal(address, Policy.of(["Some.Example"])) is None


@pytest.mark.parametrize("address", NEVER_BY_NAME)
def test_a_host_that_operators_allow_may_not_resolve_to_metadata_or_to_no_host(address: str) -> None:
    for policy in (Policy.of(["some.example"]), Policy.of(["some.example:443"], private=True)):
        assert refusal(address, policy) == "url_refused"


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "192.0.0.192", "fe80::1"])
def test_an_address_that_operators_allow_as_itself_is_reached(address: str) -> None:
    shown = f"[{address}]" if ":" in address else address
    policy = Policy.of([f"{shown}:443"])

    check_address(ipaddress.ip_address(address), policy, address, 443)
    assert refusal(address, policy) == "url_refused"  # of another name


def test_the_table_agrees_with_pythons_own_about_what_is_not_global() -> None:
    for row in SPECIAL:
        for address in (row.network[0], row.network[-1]):
            found = special(address)
            assert found is not None
            assert found.network.prefixlen >= row.network.prefixlen
    listed = (*ipaddress._IPv4Constants._private_networks, *ipaddress._IPv6Constants._private_networks)  # type: ignore[attr-defined]
    for network in listed:
        assert special(network[0]) is not None, network
        assert special(network[-1]) is not None, network


PLAIN_PATHS = (
    "",
    "a",
    "/a/b",
    "a/b.json",
    "v1.2/x~y",
    "a%20b",
    "100%25",
    "caf\u00e9",
    "%C3%A9",
    "a:b@c",
    "a,b",
    "...",
    "a..b",
    "x=1",
)
STEPS_OUT = (
    "..",
    "../admin",
    "a/../../admin",
    "./a",
    "a/.",
    "..%2fadmin",
    "..%2Fadmin",
    "%2e%2e/admin",
    "%2E%2E%2fadmin",
    ".%2e/admin",
    "..;/admin",
    "..;x=1/admin",
    "a;b/c",
    "%2e%2e%3b/admin",
    "..\\admin",
    "..%5cadmin",
    "%252e%252e%252fadmin",
    "..%252fadmin",
    "..%25252fadmin",
    "%25" * 20 + "2e",
    "..%c0%afadmin",
    "%c0%ae%c0%ae/admin",
    "%u002e%u002e/admin",
    "%2",
    "%zz",
    "\uff0e\uff0e/admin",
    "\u2025/admin",
    "%EF%BC%8E%EF%BC%8E/admin",
    "..\uff0fadmin",
    "a%2fb",
    "a%00b",
    "a%0d%0ab",
    "%20../admin".replace("%20", " "),
    "..%20/admin",
    "..%09/admin",
)


@pytest.mark.parametrize("path", PLAIN_PATHS)
def test_a_plain_path_is_asked_under_a_connection(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize("path", STEPS_OUT)
def test_a_path_that_a_server_may_take_for_a_step_out_is_refused(path: str) -> None:
    with pytest.raises(OperationError) as raised:
        check_path(path)

    assert (raised.value.code, raised.value.retryable) == ("url_refused", False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://some.example/",
        "file:///etc/passwd",
        "gopher://some.example/",
        "//some.example/",
        "/path",
        "some.example/path",
        "",
        "http://",
        "http:///path",
        "http://user@some.example/",
        "http://user:password@some.example/",
        "http://:@some.example/",
        "http://some.example@10.0.0.1/",
        "http://some.example:99999/",
        "http://some.example:port/",
        "http://some.example\\@10.0.0.1/",
        "http://some.example/\r\nHost: other",
        "http://some.exa mple/",
        "http://[::1/",
        "http://some.example/" + "a" * 9000,
    ],
)
def test_what_is_no_plain_http_url_is_refused(url: str) -> None:
    with pytest.raises(OperationError) as raised:
        check_url(parse_url(url), Policy())

    assert raised.value.code == "url_refused"
    assert not raised.value.retryable


SPELLINGS = (
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[0:0:0:0:0:ffff:7f00:1]/",
    "http://[fe80::1%25eth0]/",
    "http://①②⑦.⓪.⓪.①/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
)


@pytest.mark.parametrize("url", SPELLINGS)
def test_an_address_in_the_url_is_judged_however_it_is_spelt(url: str) -> None:
    with pytest.raises(OperationError) as raised:
        check_url(parse_url(url), Policy())

    assert raised.value.code == "url_refused"


@pytest.mark.parametrize(
    "url",
    ["http://some.example/", "https://some.example/", "http://some.example:8080/", "https://some.example:8443/a?b=c#d"],
)
def test_usual_urls_are_taken(url: str) -> None:
    check_url(parse_url(url), Policy())


def test_a_fragment_is_not_sent() -> None:
    assert str(parse_url("https://some.example/a?b=c#d")) == "https://some.example/a?b=c"


@pytest.mark.parametrize("port", [22, 25, 5432, 6379, 9092, 9200, 65535])
def test_unusual_ports_are_refused_and_the_message_says_what_would_allow_them(port: int) -> None:
    url = parse_url(f"http://some.example:{port}/")

    with pytest.raises(OperationError) as raised:
        check_url(url, Policy())

    assert f"some.example:{port} into tasks.allow_hosts" in raised.value.message
    check_url(url, Policy.of([f"some.example:{port}"]))


def test_a_host_that_is_allowed_without_a_port_is_open_on_the_usual_ones_only() -> None:
    policy = Policy.of(["10.0.0.1"])

    check_url(parse_url("http://10.0.0.1/"), policy)
    with pytest.raises(OperationError):
        check_url(parse_url("http://10.0.0.1:6379/"), policy)
    with pytest.raises(OperationError):
        check_url(parse_url("http://10.0.0.2/"), policy)


def test_an_address_of_version_6_is_allowed_in_brackets() -> None:
    check_url(parse_url("http://[::1]:9000/"), Policy.of(["[::1]:9000"]))


@pytest.mark.parametrize(
    "host",
    [
        "xsome.example",
        "some.example.evil.example",
        "some.exampl",
        "ome.example",
        "sub.some.example",
        "some-example",
        "somе.example",  # noqa: RUF001 - a Cyrillic letter
        "example",
    ],
    ids=ascii,
)
def test_a_host_whose_name_is_nearly_an_allowed_one_is_not_opened(host: str) -> None:
    for policy in (Policy.of(["some.example"]), Policy.of(["some.example:443"])):
        with pytest.raises(OperationError):
            check_address(ipaddress.ip_address("10.0.0.1"), policy, host, 443)


@pytest.mark.parametrize("port", [4, 44, 4433, 8444, 443443])
def test_a_port_that_is_nearly_the_allowed_one_is_not_opened(port: int) -> None:
    with pytest.raises(OperationError):
        check_address(ipaddress.ip_address("10.0.0.1"), Policy.of(["some.example:443"]), "some.example", port)

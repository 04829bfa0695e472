"""ID tokens of a provider: the good one is taken, every forged one is not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from streamflow.access.id_token import (
    Expected,
    SignatureRefused,
    identity,
    log_out,
    require_response,
    safe_path,
)
from streamflow.errors import Rejected
from tests.hostile_records import DEEP

NOW_S = 1_700_000_000
PRIVATE = RSAKey.generate_key(2048, {"kid": "a"}, private=True)
STRANGER = RSAKey.generate_key(2048, {"kid": "a"}, private=True)
KEYS = KeySet.import_key_set({"keys": [PRIVATE.as_dict(private=False)]})
EXPECTED = Expected(
    issuer="https://id.example.org",
    client_id="streamflow",
    nonce="the nonce of this log-in",
    name_claim="preferred_username",
    groups_claim="groups",
)
CLAIMS: dict[str, Any] = {
    "iss": EXPECTED.issuer,
    "aud": "streamflow",
    "sub": "s-1",
    "nonce": EXPECTED.nonce,
    "iat": NOW_S,
    "exp": NOW_S + 300,
    "preferred_username": "eve",
    "groups": ["staff", 7, None],
}


def signed(claims: dict[str, Any], key: RSAKey = PRIVATE, **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": "a"} | header, claims, key)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


def test_a_good_token_says_who_it_is() -> None:
    found = identity(signed(CLAIMS), KEYS, EXPECTED, now_s=NOW_S)
    assert (found.subject, found.name, found.groups) == ("s-1", "eve", ("staff",))
    several = CLAIMS | {"aud": ["streamflow", "other"], "azp": "streamflow"}
    assert identity(signed(several), KEYS, EXPECTED, now_s=NOW_S).subject == "s-1"


@pytest.mark.parametrize(
    ("claimed", "taken"),
    [
        ([f"g{number:03}" for number in range(500)], [f"g{number:03}" for number in range(200)]),
        (["", "x" * 101, "x" * 100, "The Board"], ["x" * 100, "The Board"]),
        (["line\nbreak", "nul\0", "right\u202eleft", "good"], ["good"]),
        ([["nested"], {"a": 1}, True, "good"], ["good"]),
        ([*["x" * 101] * 250, "last"], ["last"]),
        ("staff", []),
        ({"staff": True}, []),
    ],
    ids=["many", "lengths", "unprintable", "no texts", "long before short", "a text", "an object"],
)
def test_groups_are_bounded_in_number_and_length(claimed: Any, taken: list[str]) -> None:
    found = identity(signed(CLAIMS | {"groups": claimed}), KEYS, EXPECTED, now_s=NOW_S)
    assert list(found.groups) == taken


def test_without_the_claim_of_the_name_it_is_the_subject() -> None:
    assert identity(signed(without("preferred_username")), KEYS, EXPECTED, now_s=NOW_S).name == "s-1"


def _hmac_with_the_public_key() -> str:
    public = OctKey.import_key(PRIVATE.as_pem(private=False).decode().replace("-----", "").encode())
    return jwt.encode({"alg": "HS256", "kid": "a"}, CLAIMS, public)


def unsigned(header: bytes, claims: bytes = b"{}") -> str:
    parts = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, claims, b"none"))
    return ".".join(parts)


FORGED: dict[str, Callable[[], str]] = {
    "another issuer": lambda: signed(CLAIMS | {"iss": "https://evil.example.org"}),
    "an issuer with a slash more": lambda: signed(CLAIMS | {"iss": EXPECTED.issuer + "/"}),
    "another client": lambda: signed(CLAIMS | {"aud": "other"}),
    "several clients without azp": lambda: signed(CLAIMS | {"aud": ["streamflow", "other"]}),
    "issued to another client": lambda: signed(CLAIMS | {"aud": ["streamflow"], "azp": "other"}),
    "no client": lambda: signed(without("aud")),
    "another nonce": lambda: signed(CLAIMS | {"nonce": "of another log-in"}),
    "no nonce": lambda: signed(without("nonce")),
    "expired": lambda: signed(CLAIMS | {"exp": NOW_S - 61}),
    "no expiry": lambda: signed(without("exp")),
    "an expiry that is a word": lambda: signed(CLAIMS | {"exp": "never"}),
    "of the future": lambda: signed(CLAIMS | {"iat": NOW_S + 600}),
    "issued long ago": lambda: signed(CLAIMS | {"iat": NOW_S - 7200}),
    "no subject": lambda: signed(without("sub")),
    "a subject that is a number": lambda: signed(CLAIMS | {"sub": 1}),
    "a long subject": lambda: signed(CLAIMS | {"sub": "x" * 256}),
    "a stranger's key with the same id": lambda: signed(CLAIMS, STRANGER),
    "an unknown key": lambda: signed(CLAIMS, STRANGER, kid="b"),
    "a key that it brings along": lambda: signed(CLAIMS, STRANGER, jwk=STRANGER.as_dict(private=False)),
    "an HMAC by the public key": _hmac_with_the_public_key,
    "no signature": lambda: signed(CLAIMS).rpartition(".")[0] + ".",
    "noise": lambda: "a.b.c",
    "nothing": lambda: "",
    "a deep header": lambda: unsigned(b'{"alg": "RS256", "kid": "a", "zz": ' + DEEP + b"}"),
    "deep claims": lambda: unsigned(b'{"alg": "RS256", "kid": "a"}', DEEP),
    "a header that is no text": lambda: unsigned(b'{"alg": "\xff"}'),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(forged: Callable[[], str]) -> None:
    with pytest.raises(Rejected) as caught:
        identity(forged(), KEYS, EXPECTED, now_s=NOW_S)
    assert caught.value.code == "oidc_forged"


@pytest.mark.parametrize(
    ("state", "issuer"), [(None, None), ("", None), ("other", None), ("own", "https://evil.example.org")]
)
def test_an_answer_of_another_log_in_or_provider_is_refused(state: str | None, issuer: str | None) -> None:
    require_response("own", "own", EXPECTED.issuer, EXPECTED.issuer)
    require_response("own", "own", None, EXPECTED.issuer)
    with pytest.raises(Rejected):
        require_response(state, "own", issuer, EXPECTED.issuer)


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example.org",
        "/\\evil.example.org",
        "https://evil.example.org",
        "",
        "a",
        "/\n",
        "/a\\b",
        "/" + "a" * 2000,
    ],
)
def test_a_log_in_leads_to_this_host(path: str) -> None:
    assert safe_path("/runs?status=open") == "/runs?status=open"
    assert safe_path(path) == "/"


@pytest.mark.parametrize(
    ("claims", "path", "groups"),
    [
        ({"realm_access": {"roles": ["a", "b"]}}, "realm_access.roles", ("a", "b")),
        ({"resource_access": {"stream.flow": {"roles": ["a"]}}}, "resource_access.stream.flow.roles", ("a",)),
        ({"https://acme.example/groups": ["a"]}, "https://acme.example/groups", ("a",)),
        ({"a.b": ["whole"], "a": {"b": ["nested"]}}, "a.b", ("whole",)),
        ({"a": {"b.c": ["a"]}, "a.b": {"x": 1}}, "a.b.c", ("a",)),
        ({"realm_access": {"roles": "one"}}, "realm_access.roles", ()),
        ({"realm_access": ["roles"]}, "realm_access.roles", ()),
        ({"realm_access": {"roles": {"a": 1}}}, "realm_access.roles", ()),
        ({}, "realm_access.roles", ()),
        ({"": {"": ["a"]}}, ".", ("a",)),
    ],
)
def test_a_claim_may_be_within_another(claims: dict[str, Any], path: str, groups: tuple[str, ...]) -> None:
    found = identity(signed(CLAIMS | claims), KEYS, replace(EXPECTED, groups_claim=path), now_s=NOW_S)
    assert found.groups == groups


@pytest.mark.parametrize(("off_s", "said"), [(4000, "4000 s ahead of"), (-300, "300 s behind")])
def test_a_clock_that_is_wrong_is_told(off_s: int, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        identity(signed(CLAIMS), KEYS, EXPECTED, now_s=NOW_S + off_s)
    assert caught.value.code == "oidc_forged"
    assert f"this machine's clock is {said} the provider's" in caught.value.message


def test_a_key_that_is_not_known_is_told_apart() -> None:
    with pytest.raises(SignatureRefused):
        identity(signed(CLAIMS, STRANGER), KEYS, EXPECTED, now_s=NOW_S)
    with pytest.raises(SignatureRefused):
        identity(signed(CLAIMS, kid="another"), KEYS, EXPECTED, now_s=NOW_S)


LOG_OUT: dict[str, Any] = {
    "iss": EXPECTED.issuer,
    "aud": ["streamflow"],
    "sub": "s-1",
    "sid": "session-1",
    "iat": NOW_S,
    "exp": NOW_S + 120,
    "jti": "j",
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}


def test_a_log_out_token_says_whom_it_is_about() -> None:
    found = log_out(signed(LOG_OUT), KEYS, EXPECTED, now_s=NOW_S)
    assert (found.subject, found.session) == ("s-1", "session-1")
    of_all = {key: value for key, value in LOG_OUT.items() if key != "sid"}
    assert log_out(signed(of_all), KEYS, EXPECTED, now_s=NOW_S).session == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "n"},
        {"events": {}},
        {"events": ["http://schemas.openid.net/event/backchannel-logout"]},
        {"events": None},
        {"iss": "https://evil.example.org"},
        {"aud": ["another"]},
        {"iat": NOW_S - 4000},
        {"exp": NOW_S - 100},
        {"exp": None},
        {"sub": None, "sid": None},
        {"sub": 7, "sid": ""},
    ],
)
def test_another_token_logs_nobody_out(changes: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as caught:
        log_out(signed(LOG_OUT | changes), KEYS, EXPECTED, now_s=NOW_S)
    assert caught.value.code == "oidc_forged"


def test_an_id_token_logs_nobody_out() -> None:
    with pytest.raises(Rejected):
        log_out(signed(CLAIMS), KEYS, EXPECTED, now_s=NOW_S)

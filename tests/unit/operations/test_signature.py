"""Signatures of what is sent to plugins."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from streamflow.errors import Rejected
from streamflow.operations.signature import sign, verify

BODY = b'{"input": 1}'


def refused(header: str | None, body: bytes = BODY, now_s: float = 1000, secret: str = "key") -> str:
    with pytest.raises(Rejected) as raised:
        verify(secret, header, body, now_s=now_s)
    return raised.value.code


def test_a_signature_is_what_the_documentation_says() -> None:
    assert sign("key", BODY, 1000) == f"t=1000,v1={hmac.new(b'key', b'1000.' + BODY, hashlib.sha256).hexdigest()}"


def test_a_signature_holds_for_its_body_its_secret_and_a_while() -> None:
    header = sign("key", BODY, 1000)

    verify("key", header, BODY, now_s=1000 + 299)
    verify("key", header, BODY, now_s=1000 - 299)
    assert refused(header, body=BODY + b" ") == "signature_wrong"
    assert refused(header, secret="another") == "signature_wrong"
    assert refused(header, now_s=1301) == "signature_old"
    assert refused(header.replace("t=1000", "t=1001")) == "signature_wrong"


@pytest.mark.parametrize("header", [None, ""])
def test_a_missing_signature_is_told_from_a_wrong_one(header: str | None) -> None:
    assert refused(header) == "signature_missing"


@pytest.mark.parametrize(
    "header",
    [
        "t=1000",
        "v1=abc",
        "t=,v1=",
        "t=1000,v1=é",
        "t=-1,v1=a",
        "t=1e3,v1=a",
        "t=\u0661,v1=a",
        "nonsense",
        "t=9" + "9" * 5000,
    ],
)
def test_nonsense_is_a_wrong_signature(header: str) -> None:
    assert refused(header) == "signature_wrong"

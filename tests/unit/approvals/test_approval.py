"""An approval holds for exactly what was signed, by a key that is trusted, in its environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from pydantic import ValidationError

from streamflow.approvals.approval import Approval, Promotion, Source, signed_bytes
from streamflow.approvals.required import required_trust
from streamflow.approvals.signing import (
    is_signed,
    key_id,
    new_private_key,
    public_key,
    read_private_key,
)
from streamflow.approvals.trust import Trust
from streamflow.errors import OperationError
from streamflow.settings import Approvals, Settings
from tests.approvals import FORGERIES, a_key, an_approval, pem, public

WORDS = st.text(max_size=12)
OTHER = "ef" * 32


def approvals() -> st.SearchStrategy[Approval]:
    promotions = st.builds(Promotion, environment=WORDS, signature=WORDS, by=WORDS)
    return st.builds(
        an_approval,
        name=WORDS,
        version=WORDS,
        sha256=WORDS,
        report=WORDS,
        environment=WORDS,
        authors=st.lists(WORDS, max_size=3).map(tuple),
        by=WORDS,
        at_ms=st.integers(0, 1 << 52),
        note=WORDS,
        promoted=st.none() | promotions,
    )


def refused(approval: Approval | None, *, trust: Trust | None = None, sha256: str | None = None) -> str | None:
    """Why an approval is none of what it says it is of (or of `sha256`)."""
    named = approval or an_approval()
    trust = trust or Trust("main", [public(a_key())])
    return trust.refusal(approval, name=named.name, version=named.version, sha256=sha256 or named.sha256)


@given(approvals())
@settings(max_examples=30, deadline=None)
def test_what_was_signed_is_accepted_also_when_it_comes_back_from_the_log(approval: Approval) -> None:
    again = msgspec.json.decode(msgspec.json.encode(approval), type=Approval)

    assert again == approval
    assert is_signed(again, a_key().public_key())
    assert refused(again, trust=Trust(approval.environment, [public(a_key())])) is None


@given(approvals(), st.sampled_from(Approval.__struct_fields__), st.data())
@settings(max_examples=60, deadline=None)
def test_any_other_field_is_refused(approval: Approval, field: str, data: st.DataObject) -> None:
    other = data.draw(approvals().map(lambda found: getattr(found, field)), label=field)
    if field == "key":
        other = key_id(a_key(2).public_key())
    if other == getattr(approval, field):
        return
    changed = replace(approval, **{field: other})

    assert signed_bytes(changed) != signed_bytes(approval) or field == "signature"
    assert not is_signed(changed, a_key().public_key())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """Of the approval as it stands in the log: what can still be read as one is another one, or none."""
    approval = an_approval()
    record = bytearray(msgspec.json.encode(approval))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != record[at]))
    try:
        changed = msgspec.json.decode(record, type=Approval)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return

    assert refused(changed, sha256=approval.sha256) in ("approval_invalid", "approval_mismatch")


def test_the_same_signature_in_another_spelling_is_refused() -> None:
    approval = an_approval()

    assert refused(replace(approval, signature=approval.signature.upper())) == "approval_invalid"
    assert refused(replace(approval, signature=f"{approval.signature} ")) == "approval_invalid"


def test_fields_that_nobody_signed_are_refused() -> None:
    record = msgspec.to_builtins(an_approval()) | {"also": "this"}

    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(record, type=Approval)


def test_another_environments_approval_is_refused() -> None:
    approval = an_approval(environment="test")

    assert refused(approval, trust=Trust("prod", [public(a_key())])) == "approval_mismatch"
    renamed = replace(approval, environment="prod")
    assert refused(renamed, trust=Trust("prod", [public(a_key())])) == "approval_invalid"


def test_keys_are_rotated_by_their_ids() -> None:
    old, new = an_approval(a_key(1)), an_approval(a_key(2))
    both = Trust("main", [public(a_key(1)), public(a_key(2))])

    assert [refused(one, trust=both) for one in (old, new)] == [None, None]
    left = Trust("main", [public(a_key(2))])
    assert [refused(one, trust=left) for one in (old, new)] == ["approval_invalid", None]


def forged(trust: Trust) -> set[str]:
    """The forgeries that `trust` accepts."""
    approval = an_approval()
    return {
        what
        for what, forge in FORGERIES.items()
        if trust.refusal(forge(approval, OTHER), name="loan", version="1", sha256=OTHER) is None
    }


def test_no_forgery_is_accepted() -> None:
    assert forged(Trust("main", [public(a_key())])) == set()


def _blind(self: Trust, approval: Approval) -> bool:
    return True


def _keys_of_the_log(self: Trust, approval: Approval) -> bool:
    """Trusts whoever signed, if only somebody did."""
    return any(is_signed(approval, a_key(number).public_key()) for number in (1, 9))


def _only_the_signature(self: Trust, approval: Approval | None, **named: Any) -> str | None:
    return None if approval is not None and self._is_signed(approval) else "approval_invalid"


@pytest.mark.parametrize(
    ("method", "bug"), [("_is_signed", _blind), ("_is_signed", _keys_of_the_log), ("refusal", _only_the_signature)]
)
def test_a_planted_bug_is_found(method: str, bug: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trust, method, bug)

    assert forged(Trust("main", [public(a_key())]))


def test_a_key_is_read_by_reference_and_signs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = new_private_key()
    (tmp_path / "key.pem").write_text(made)
    monkeypatch.setenv("APPROVAL_KEY", made)
    by_file, by_name = read_private_key(f"file:{tmp_path}/key.pem"), read_private_key("env:APPROVAL_KEY")

    assert public(by_file) == public(by_name)
    assert refused(an_approval(by_file), trust=Trust("main", [public(by_name)])) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "approval_key_missing"),
        ("swordfish", "approval_key_invalid"),
        (pem(a_key()).replace("PRIVATE", "PUBLIC"), "approval_key_invalid"),
        ("", "secret_missing"),
    ],
)
def test_a_key_that_is_none_is_told(text: str | None, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPROVAL_KEY", text or "")
    with pytest.raises(OperationError) as caught:
        read_private_key(None if text is None else "env:APPROVAL_KEY")

    assert caught.value.code == code
    assert "swordfish" not in caught.value.message


@pytest.mark.parametrize("text", ["", "AAAA", "A" * 44, "not base64 at all, not in any way, sorry!!!!"])
def test_a_trusted_key_that_is_none_is_told(text: str) -> None:
    with pytest.raises(OperationError) as caught:
        public_key(text)

    assert caught.value.code == "approval_key_invalid"


def test_what_is_required_must_be_possible() -> None:
    with pytest.raises(ValidationError, match="trusted_keys"):
        Approvals(required=True)


def test_nothing_is_verified_where_nothing_is_required() -> None:
    settings = Settings(approvals=Approvals(trusted_keys=[public(a_key())]))

    assert required_trust(settings) is None
    assert required_trust(settings.model_copy(update={"approvals": Approvals(required=True, **_keys())})) is not None


def _keys() -> dict[str, Any]:
    return {"trusted_keys": [public(a_key())]}


def test_every_field_but_the_signature_is_signed() -> None:
    promoted, source = Promotion(environment="test", signature="s", by="cy"), Source(conversation="c", revision=3)
    approval = an_approval(promoted=promoted, source=source)
    written = signed_bytes(approval).partition(b"\n")[2]

    assert msgspec.json.decode(written).keys() == asdict(approval).keys()
    assert approval.signature.encode() not in written


def test_an_approval_without_a_source_is_signed_as_before_there_was_one() -> None:
    approval = an_approval()
    written = msgspec.json.decode(signed_bytes(approval).partition(b"\n")[2])

    assert "source" not in written
    moved = msgspec.structs.replace(approval, source=Source(conversation="c", revision=3))
    assert signed_bytes(moved) != signed_bytes(approval)

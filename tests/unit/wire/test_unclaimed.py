"""Records of events that no run took."""

from __future__ import annotations

import pytest

from streamflow.engine.effects import Unclaimed
from streamflow.ops.unclaimed import UnclaimedEvent
from streamflow.wire.codec import DecodeError
from streamflow.wire.unclaimed import decode_unclaimed, encode_unclaimed

EVENT = Unclaimed(
    definition="order",
    key="A-1",
    event="paid",
    source="shop",
    id="p1",
    outcome="unclaimed",
    reason="where_failed:missing_field",
    run="0000002a-main-1",
    step="pay",
    offset=7,
    arrived_ms=1_767_225_600_000,
    ended_ms=1_767_225_600_001,
)


def test_a_record_has_the_key_of_its_event_and_an_id_of_its_own() -> None:
    key, value, headers = encode_unclaimed(EVENT, "test", "topic-id", 3)
    told = dict(headers)
    assert key == b"A-1"
    assert (told["ce_id"], told["ce_type"]) == (b"topic-id/3/7", b"streamflow.EventUnclaimed")
    assert told["ce_source"] == b"/streamflow/test/definitions/order"
    assert decode_unclaimed(value, headers) == EVENT


@pytest.mark.parametrize(("value", "type_"), [(b"{", b"streamflow.EventUnclaimed"), (b"{}", b"other")])
def test_another_record_is_refused(value: bytes, type_: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_unclaimed(value, (("ce_type", type_),))
    assert caught.value.code == "bad_record"


def test_the_reason_is_told_in_words_with_the_run_that_came_nearest() -> None:
    found = UnclaimedEvent(3, EVENT)
    words = "the condition of a wait could not be evaluated (missing_field): 0000002a-main-1.pay"
    assert found.words() == words
    assert found.described()["partition"] == 3

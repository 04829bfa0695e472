"""How a cut is laid out in batches, and how a restore sees that one is incomplete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.core.cut import Batch, batches_of, whole_cut
from streamflow.errors import EngineFault
from streamflow.simulation.store import MemoryStore

SMALL = 200  # bytes of a batch, so that a few records need several

cuts = st.dictionaries(
    st.text("abc", min_size=1, max_size=3), st.none() | st.binary(max_size=150), min_size=1, max_size=12
)


def restored(*batches: Batch) -> MemoryStore:
    store = MemoryStore()
    for batch in batches:
        store.write(dict(batch))
    return store


@given(cuts)
def test_the_batches_hold_every_record_once_and_in_order(cut: dict[str, bytes | None]) -> None:
    records = [record for batch in batches_of(cut, 7, SMALL) for record in batch]
    assert [(key, value) for key, value in records if not key.startswith("!")] == list(cut.items())


@given(cuts)
def test_a_batch_is_larger_than_asked_for_only_for_one_record(cut: dict[str, bytes | None]) -> None:
    for batch in batches_of(cut, 7, SMALL):
        records = [(key, value) for key, value in batch if not key.startswith("!")]
        assert len(records) == 1 or sum(len(key) + len(value or b"") for key, value in records) <= SMALL


@given(cuts, cuts)
def test_a_restore_takes_two_whole_cuts(first: dict[str, bytes | None], second: dict[str, bytes | None]) -> None:
    state = restored(*batches_of(first, 1, SMALL), *batches_of(second, 2, SMALL))
    assert whole_cut(state) == 2


@given(cuts, cuts, st.data())
def test_a_restore_refuses_a_cut_of_which_any_batch_is_missing(
    first: dict[str, bytes | None], second: dict[str, bytes | None], data: st.DataObject
) -> None:
    batches = list(batches_of(second, 2, SMALL))
    lost = data.draw(st.sets(st.integers(0, len(batches) - 1), min_size=1, max_size=len(batches)))
    left = [batch for number, batch in enumerate(batches) if number not in lost]
    state = restored(*batches_of(first, 1, SMALL), *left)
    if not left:  # nothing of it arrived: the state is the cut before, whole
        assert whole_cut(state) == 1
        return
    with pytest.raises(EngineFault) as caught:
        whole_cut(state)
    assert caught.value.code == "changelog_torn"


def test_a_new_changelog_has_no_cut() -> None:
    assert whole_cut(MemoryStore()) == 0

"""Walks that mix everything, by seeds. A seed that fails says which: `walk(seed)` does the same again."""

from __future__ import annotations

import pytest

from tests.conftest import examples
from tests.property.mixed import walk


@pytest.mark.parametrize(
    "seeds", [range(examples(25)), range(1000, 1000 + examples(25))], ids=lambda seeds: f"from_{seeds.start}"
)
def test_the_state_agrees_with_itself_whatever_is_mixed(seeds: range) -> None:
    for seed in seeds:
        try:
            walk(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise

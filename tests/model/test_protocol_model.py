"""The protocol of docs/design.md holds in every interleaving of small instances, and each sentence of it is needed.

`make model` searches all scenarios to the end. Here are the small ones, and every variant that is found soon.
"""

from __future__ import annotations

import pytest

from tests.model.protocol_model import INVARIANTS, Model
from tests.model.protocol_rules import Rules
from tests.model.protocol_scenarios import SCENARIOS, SHORT_SCENARIOS, VARIANTS, Variant

SHORT_VARIANTS = [variant for variant in VARIANTS if not variant.long]


def label(variant: Variant) -> str:
    return f"{variant.law}: {variant.name}"


@pytest.mark.parametrize("name", SHORT_SCENARIOS)
def test_the_protocol_holds(name: str) -> None:
    result = Model(Rules(), SCENARIOS[name]).explore()

    assert result.found == {}
    assert result.complete


@pytest.mark.parametrize("variant", SHORT_VARIANTS, ids=label)
def test_a_protocol_without_this_sentence_breaks(variant: Variant) -> None:
    for invariant in variant.breaks:
        result = variant.model().explore((invariant,))

        assert [violation.split(":")[0] for violation in result.found][:1] == [invariant]


@pytest.mark.parametrize("variant", [variant for variant in SHORT_VARIANTS if variant.keeps], ids=label)
def test_a_variant_keeps_what_it_is_said_to_keep(variant: Variant) -> None:
    result = variant.model().explore(variant.keeps)

    assert result.found == {}
    assert result.complete


def test_every_invariant_can_break() -> None:
    assert {invariant for variant in VARIANTS for invariant in variant.breaks} == set(INVARIANTS)

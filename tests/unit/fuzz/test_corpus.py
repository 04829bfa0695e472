"""What the fuzzer starts from, and what it has found, as plain tests."""

from __future__ import annotations

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import FOUND, TARGETS, Target

PLAYED = [
    pytest.param(target, data, id=f"{target.name}-{name}")
    for target in TARGETS
    for name, data in (
        *((f"seed-{number}", data) for number, data in enumerate(seeds(target.name))),
        *((path.name, path.read_bytes()) for path in sorted((FOUND / target.name).glob("*"))),
    )
]


@pytest.mark.parametrize(("target", "data"), PLAYED)
def test_an_input_is_taken_or_refused_as_its_target_says(target: Target, data: bytes) -> None:
    target.survives(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_some_seed_of_every_target_is_taken(target: Target) -> None:
    taken = 0
    for data in seeds(target.name):
        try:
            target.play(data)
        except target.may_raise:
            continue
        taken += 1
    assert taken


def test_an_input_that_raises_something_else_is_a_finding() -> None:
    target = Target(name="broken", play=lambda data: 1 // len(data), may_raise=(ValueError,), share=1)

    target.survives(b"x")
    with pytest.raises(ZeroDivisionError):
        target.survives(b"")

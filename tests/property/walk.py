"""Walks through the protocol by a seed: the same rules as the state machine, with more weight on those that a story
needs.

For planted bugs. Hypothesis explores and shrinks; a walk is quicker, and finds the same again whatever else changes.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from typing import Any

from tests.property.laws import LawBroken
from tests.property.protocol import FAST_MS, KEYS, Growing, Protocol

CHOICES: dict[str, Sequence[Any]] = {
    "event": ("placed", "placed", "paid", "paid", "visited"),
    "key": KEYS,
    "data": (0, 1, 2),
    "place": range(10),
    "what": ("cancel", "retry", "skip", "skip"),
    "seconds": (1, 10, 10, 31, 61, 2 * 86_400),
    "number": (0, 1),
    "worker": ("a", "b"),
    "count": (1, 2, None),
    "rounds": (1, 2, 3),
    "sends": (False, True),
    "checkpoints": (0, 1, 2, 3),
    "ahead_ms": (0, FAST_MS),
    "late": (False, True),
    "after": (False, True),
    "back": (1, 2, 5),
    "yes": (False, True),
    "fails": (False, True),
    "down": (False, True),
    "batch": (0, 1, 2),
    "times": (1, 2),
    "opens": (False, True, True),
}
RULES = sorted(
    name
    for name, member in vars(Protocol).items()
    if hasattr(member, "hypothesis_stateful_rule") and name not in ("begin", "comes_to_rest")
)
ALWAYS = ("send", "goes_well", "goes_well", "all_checkpoint_further", "tasks_are_done")


def choices_of(machine: type[Protocol]) -> dict[str, Sequence[Any]]:
    """What the rules of `machine` may be given."""
    return {**CHOICES, "number": range(6)} if issubclass(machine, Growing) else CHOICES


def walk(machine: type[Protocol], seed: int, steps: int, story: Sequence[str]) -> None:
    """One walk of `steps` rules, then rest. Most of the rules are from `story` and ALWAYS. Raises LawBroken."""
    chance = random.Random(seed)
    choices = choices_of(machine)
    world = machine()
    world.begin()
    try:
        for _ in range(steps):
            rule = getattr(world, chance.choice((*story, *ALWAYS) if chance.random() < 0.7 else RULES))
            rule(**{name: chance.choice(choices[name]) for name in inspect.signature(rule).parameters})
            world.laws_hold()
        world.teardown()
    except (AttributeError, KeyError) as error:  # a state that no decision can be made on
        raise LawBroken("nothing is stuck", repr(error)) from error

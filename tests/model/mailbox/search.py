"""Random sequences against an engine, and the shortest one that breaks a law.

`python -m tests.model.mailbox.search [--ops N] [--seed S] [--seconds N] [--variant NAME] [--product]`
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import NamedTuple

from tests.model.mailbox.reference import Reference
from tests.model.mailbox.rules import RIGHT, VARIANTS, Rules
from tests.model.mailbox.words import Broken
from tests.model.mailbox.world import Make, Op, Show, World, random_ops

OPS_A_SEQUENCE = 150


class Finding(NamedTuple):
    """A sequence that breaks a law."""

    seed: int
    law: str
    ops: list[Op]


def reference(rules: Rules) -> Make:
    """The reference with these rules."""
    return lambda definitions, claims: Reference(definitions, rules, claims)


def play(
    seed: int, make: Make, ops: list[Op], show: Show | None = None, *, chains: bool = False
) -> tuple[str | None, int, World]:
    """The law that a sequence breaks (None: none), after how many operations, and the world."""
    world, done = World(seed, make, show, chains=chains), 0
    try:
        for done, op in enumerate(ops):  # noqa: B007  where it stopped
            world.step(*op)
        done = len(ops)
        world.drain()
    except Broken as broken:
        return str(broken), done + 1, world
    return None, len(ops), world


def shortened(seed: int, make: Make, law: str, ops: list[Op]) -> Finding:
    """The same, without the operations that can be left out."""
    place = 0
    while place < len(ops):
        found, done, _ = play(seed, make, fewer := ops[:place] + ops[place + 1 :])
        if found:
            law, ops, place = found, fewer[:done], 0
        else:
            place += 1
    return Finding(seed, law, ops)


def find(rules: Rules, seed: int, budget_s: float, *, first_only: bool = False) -> tuple[float, Finding] | None:
    """How long it took to find a sequence that breaks variant `rules`, and the shortest one within `budget_s` of
    processor time; None when none was found within ten times as much."""
    began, best, first = time.process_time(), None, 0.0
    while (spent := time.process_time() - began) < budget_s or (best is None and spent < 10 * budget_s):
        seed += 1
        ops = random_ops(seed, 60)
        law, done, _ = play(seed, reference(rules), ops)
        if law is None:
            continue
        first = first or time.process_time() - began
        if first_only:
            return first, Finding(seed, law, ops[:done])
        found = shortened(seed, reference(rules), law, ops[:done])
        if best is None or len(found.ops) < len(best.ops):
            best = found
    return (first, best) if best is not None else None


def hold(make: Make, ops: int, seed: int, *, chains: bool = False) -> tuple[int, int, Counter[str]]:
    """Play at least `ops` operations: operations, commands and outcomes. Raises Broken with the sequence."""
    played, commands, outcomes = 0, 0, Counter[str]()
    while played < ops:
        seed += 1
        sequence = random_ops(seed, OPS_A_SEQUENCE)
        law, done, world = play(seed, make, sequence, chains=chains)
        if law is not None:
            raise Broken(f"seed {seed}: {law}, after {done} operations: {sequence[:done]}")
        played += done
        commands += len(world.log)
        for ended in world.spec.ended.values():
            outcomes.update(ended)
    return played, commands, outcomes


def main() -> None:
    """The whole search, by the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ops", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="of processor time for each variant")
    parser.add_argument("--variant", default="", help="only this one, with its trace")
    parser.add_argument("--product", action="store_true", help="the product's engine, without the variants")
    args = parser.parse_args()
    if args.product:
        from tests.model.mailbox.product import product

        _report(product, args.ops, args.seed * 1_000_000, chains=True)
        return
    for name, change in VARIANTS.items():
        if args.variant not in ("", name):
            continue
        rules = {**RIGHT, **change}
        found = find(rules, args.seed * 100_000, args.seconds)
        if found is None:
            sys.exit(f"{name}: not found")
        first, best = found
        names = " ".join(op[0] for op in best.ops)
        print(f"{name}: {best.law!r} after {first:.2f} s, shortest {len(best.ops)} operations: {names}", flush=True)
        if args.variant:
            for line in World(best.seed, reference(RIGHT)).definitions.items():
                print("  ", *line)
            play(best.seed, reference(rules), best.ops, lambda *told: print("  ", *told))
    if not args.variant:
        _report(reference(RIGHT), args.ops, args.seed * 1_000_000)


def _report(make: Make, ops: int, seed: int, *, chains: bool = False) -> None:
    began = time.perf_counter()
    try:
        played, commands, outcomes = hold(make, ops, seed, chains=chains)
    except Broken as broken:
        sys.exit(str(broken))
    rate = played / (time.perf_counter() - began)
    print(f"{played:,} operations, {commands:,} commands, no violation; {rate:,.0f} operations/s; from seed {seed}")
    print("outcomes", dict(outcomes))


if __name__ == "__main__":
    main()

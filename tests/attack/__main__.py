"""`python -m tests.attack`: makes all attacks, or those that are named, and reports. The exit code is 1 if one got
through."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback

from tests.attack import Attack, Seen, attacks


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of attacks")
    parser.add_argument("--list", action="store_true", help="names them only")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of what is drawn at random")
    asked = parser.parse_args()
    found = [one for one in attacks() if not asked.only or one.name in asked.only]
    unknown = set(asked.only) - {one.name for one in found}
    if unknown:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    if asked.list:
        for one in found:
            print(f"{one.name:<24} {one.done}")
        return 0
    print(f"seed {asked.seed}\n")
    held = [_made(one, asked.seed) for one in found]
    print(f"\n{sum(held)} of {len(held)} attacks held, seed {asked.seed}")
    return 0 if all(held) else 1


def _made(attack: Attack, seed: int) -> bool:
    began = time.monotonic()
    try:
        seen = attack.make(seed)
    except Exception as error:  # noqa: BLE001 - the others are made all the same
        traceback.print_exc()
        seen = Seen(wrong=[f"{type(error).__name__}: {error}"])
    took_s = time.monotonic() - began
    memory = f", memory {seen.peak_bytes / 2**20:.0f} MB" if seen.peak_bytes is not None else ""
    print(f"{'held  ' if not seen.wrong else 'FAILED'} {attack.name} ({took_s:.1f} s{memory})")
    print(f"       done      {attack.done}\n       expected  {attack.expected}")
    for name, figure in seen.figures.items():
        print(f"       seen      {name}: {figure}")
    for wrong in seen.wrong:
        print(f"       WRONG     {wrong}")
    sys.stdout.flush()
    return not seen.wrong


if __name__ == "__main__":
    sys.exit(main())

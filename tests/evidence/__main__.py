"""`make evidence`: whether the long tests have been run, and held, on the code that is committed."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.evidence.product import ChangedError, product_hash
from tests.evidence.results import MixedError, Required, file_of, missing, read
from tests.faults import kinds
from tests.faults.ability import missing as unable
from tests.faults.nemesis import KINDS
from tests.proof.scenarios import SCENARIOS

__all__ = ["kinds", "main"]


def main() -> int:
    """0 when the evidence is complete and everything held."""
    options = argparse.ArgumentParser(prog="python -m tests.evidence", description=__doc__)
    options.add_argument("files", nargs="*", type=Path, help="results (those of the committed code)")
    asked = options.parse_args()
    try:
        product = product_hash()
        files = asked.files or [path for path in (file_of(product),) if path.exists()]
        results = read(files)
    except (ChangedError, MixedError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"code {results[0]['product'] if results else product}")
    for suite, count in sorted(Counter(result["suite"] for result in results).items()):
        print(f"{suite}: {count} results")
    able = frozenset(name for name, kind in KINDS.items() if not unable(kind.needs))
    for name in sorted(KINDS.keys() - able):
        print(f"not required here: {name} needs {', '.join(unable(KINDS[name].needs))}")
    lines = missing(results, Required(kinds=able, scenarios=frozenset(SCENARIOS)))
    print("\n".join(lines) if lines else "complete: every required experiment was tried, and held")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

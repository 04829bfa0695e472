"""`python -m tests.examples NAME`: one example, from nothing to its outputs."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from pathlib import Path

from streamflow.errors import StreamflowError
from tests.examples import fraud_detection, minio_store, sales_report
from tests.examples.world import World
from tests.servers import ServerMissing

EXAMPLES = {"fraud-detection": fraud_detection.run, "minio-store": minio_store.run, "sales-report": sales_report.run}


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 if everything came as it should."""
    parser = argparse.ArgumentParser(prog="make example", description=__doc__)
    parser.add_argument("name", choices=EXAMPLES, metavar="NAME", help=", ".join(EXAMPLES))
    parser.add_argument("--out", type=Path, help="folder for what it makes; var/examples/NAME unless given")
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, until Ctrl-C")
    parser.add_argument("--bootstrap", help="a Kafka to use, host:port; one is started otherwise")
    parser.add_argument("--prefix", default="streamflow.", help="put before the names of our own topics")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the clean-up is for both
    out, began = given.out or Path("var/examples") / given.name, time.monotonic()
    with contextlib.ExitStack() as stack:
        world = World(out, stack, bootstrap=given.bootstrap, prefix=given.prefix)
        try:
            EXAMPLES[given.name](world, stack)
            world.tell(
                f"\nDone in {time.monotonic() - began:.0f} s. What it made is in {out}; what it is about: "
                f"definitions/{given.name}/README.md"
            )
            if given.keep:
                world.rest()
        except ServerMissing as missing:
            print(missing, file=sys.stderr)
            return 1
        except StreamflowError as error:
            print(f"{error}\n\nThe workers' last lines:\n{world.last_lines()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; everything is being stopped", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

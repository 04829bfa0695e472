"""`python -m tests.servers install` installs what is missing; `run` runs all servers until Ctrl-C and says how to reach
them."""

from __future__ import annotations

import os
import signal
import sys

from tests.servers import nats, object_store, postgres
from tests.servers.install import install


def main(arguments: list[str]) -> int:
    """The exit code. A server that is missing is an error where all tests must run (CI)."""
    if arguments == ["install"]:
        missing = install()
        for sentence in missing:
            print(f"servers for tests: {sentence}. Without it its tests are skipped.", file=sys.stderr)
        return 1 if missing and os.environ.get("CI") else 0
    if arguments == ["run"]:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with postgres() as database, object_store() as store, nats() as broker:
                for name, server in (("postgres", database), ("objects", store), ("nats", broker)):
                    print(f"{name}: {server.url} user {server.user} password {server.password!r}", flush=True)
                while True:
                    signal.pause()
        except KeyboardInterrupt:
            return 0
    print("expected `install` or `run`", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

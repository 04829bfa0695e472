"""`make regressions`: every case against an earlier revision and against the current tree, and one table at the end."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from streamflow.errors import OperationError
from streamflow.kafka.embedded.broker import EmbeddedBroker
from tests.regressions import clock, tree
from tests.regressions.case import Case, all_cases, all_exclusions
from tests.regressions.play import Row, play, site_folder
from tests.regressions.report import exit_code, facts, table
from tests.regressions.site import Site
from tests.regressions.tree import Tree, TreeError

BASE = "39ee312"
# A case takes a right away from its workers; where nothing was said, everybody may do everything.
_BROKER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}


class BrokerSide:
    """A tree with a broker of its own, which starts with the first case."""

    def __init__(self, of: Tree, folder: Path) -> None:
        self.label = of.label
        self._tree = of
        self._folder = folder
        self._broker: EmbeddedBroker | None = None

    def __enter__(self) -> BrokerSide:
        return self

    def __exit__(self, *_: object) -> None:
        if self._broker is not None:
            self._broker.stop()

    def play(self, case: Case) -> str:
        """What was seen when the case holds."""
        if self._broker is None:
            self._broker = EmbeddedBroker(self._folder / "broker", config=_BROKER, progress=say)
        self._broker.start()
        folder = site_folder(self._folder, case)
        name = case.name.replace("_", "-")
        with Site(self._tree, self._broker.bootstrap_servers, folder, name, case.partitions, case.settings) as site:
            return case.test(site)


_BEGAN = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGAN:6.1f} s] {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every case is broken on the earlier revision, or left out there with a reason, and holds now."""
    cases = all_cases()
    asked = _parser([case.name for case in cases]).parse_args(arguments)
    chosen = [case for case in cases if case.name in asked.only] if asked.only else cases
    if asked.list:
        for case in chosen:
            print(f"{case.finding:36} {case.name:44} {case.says}")
        return 0
    signal.signal(signal.SIGTERM, _as_interrupt)
    signal.signal(signal.SIGINT, _as_interrupt)  # a shell ignores it for what it runs in the background
    try:
        rows = _both(chosen, asked)
    except (TreeError, OperationError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: everything that was started is stopped and removed", file=sys.stderr)
        return 130
    finally:
        clock.forget()
    excluded = all_exclusions() if not asked.only else []
    print(json.dumps(facts(rows, excluded), indent=2) if asked.json else table(rows, excluded))
    return exit_code(rows)


def _both(chosen: Sequence[Case], asked: argparse.Namespace) -> list[Row]:
    with contextlib.ExitStack() as stack:
        folder: Path = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamflow-regr-")))
        folder.mkdir(parents=True, exist_ok=True)
        now = tree.current()
        say(f"checks {asked.base} out and installs it")
        place = asked.checkout or folder / "checkout"
        base = stack.enter_context(tree.checkout(asked.base, place, keep=asked.checkout is not None))
        sides = [stack.enter_context(BrokerSide(each, folder / each.label)) for each in (base, now)]
        return play(chosen, sides[0], sides[1], say, asked.side)


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.regressions", description=__doc__)
    parser.add_argument("--base", default=BASE, metavar="REV", help=f"the earlier revision ({BASE})")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", choices=names, help="these cases alone")
    parser.add_argument("--side", default="", choices=("base", "now"), help="play on this side alone")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--list", action="store_true", help="list the cases and run nothing")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder and keep it, with all logs")
    parser.add_argument("--checkout", type=Path, metavar="FOLDER", help="check out here and keep it, for the next time")
    return parser


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

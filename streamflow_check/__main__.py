"""`python -m streamflow_check`: judge what lies under a prefix. Exit codes: 0 all kept, 1 something is broken, 2 it
could not be judged."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException

from streamflow_check.broker import Broker
from streamflow_check.experiment import DAY_MS, Experiment, inputs_of, ledger_of
from streamflow_check.judge import judge
from streamflow_check.promises import PROMISES

_LOG_EVERY_S = 2.0


class _ProgressLog:
    """Prints lines about the progress to stderr, at most one in `_LOG_EVERY_S` where they are frequent."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._said = time.monotonic()

    def now_and_then(self, text: str) -> None:
        if time.monotonic() - self._said > _LOG_EVERY_S:
            self(text)

    def __call__(self, text: str) -> None:
        self._said = time.monotonic()
        if not self._quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m streamflow_check", description="Judge whether Streamflow kept its promises. Only reads."
    )
    parser.add_argument("--bootstrap", required=True, help="Kafka, host:port[,host:port]")
    parser.add_argument("--prefix", default="streamflow.", help="of the topics (%(default)s)")
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what else Kafka's client needs, as librdkafka names it",
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="JSON lines of acknowledged inputs: topic, partition, offset, id, starts, takes, ...",
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="JSON lines of the outside: key")
    parser.add_argument(
        "--ledger-operation",
        action="append",
        default=[],
        metavar="NAME",
        help="an operation whose calls the ledger sees (all)",
    )
    parser.add_argument("--cli", default="", metavar="COMMAND", help="the command line to ask too, as `streamflow`")
    parser.add_argument(
        "--history", action="store_true", help="ask the command line for the history store too (with --cli)"
    )
    parser.add_argument("--api", default="", metavar="URL", help="where the API returns a history, with {run} in it")
    parser.add_argument(
        "--api-token-env", default="", metavar="NAME", help="the environment variable that holds the API's token"
    )
    parser.add_argument(
        "--late-s", type=float, default=60, help="how late a timer may be; 0: however late (%(default)s)"
    )
    parser.add_argument(
        "--window-days",
        type=float,
        default=7,
        help="how long events are remembered whose definition does not say (%(default)s)",
    )
    parser.add_argument("--running", action="store_true", help="work continues: judge only what is true at all times")
    parser.add_argument(
        "--without", action="append", default=[], choices=sorted(PROMISES), metavar="PROMISE", help="leave this one out"
    )
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="say nothing about progress")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print, and the exit code."""
    asked = _parser().parse_args(arguments)
    progress = _ProgressLog(quiet=asked.quiet)
    try:
        experiment = Experiment(
            inputs=inputs_of(asked.inputs) if asked.inputs else None,
            ledger=ledger_of(asked.ledger) if asked.ledger else None,
            operations=frozenset(asked.ledger_operation),
            late_ms=int(asked.late_s * 1000),
            window_ms=int(asked.window_days * DAY_MS),
            at_rest=not asked.running,
            cli=(*shlex.split(asked.cli), "--bootstrap", asked.bootstrap, "--prefix", asked.prefix)
            if asked.cli
            else (),
            history=asked.history,
            api=asked.api,
            api_token=os.environ[asked.api_token_env] if asked.api_token_env else "",
            without=frozenset(asked.without),
        )
        connection = dict(pair.partition("=")[::2] for pair in asked.config)
        with Broker(asked.bootstrap, asked.prefix, connection, progress.now_and_then) as broker:
            report = judge(broker, experiment, progress)
    except (KafkaException, OSError, ValueError, TypeError, KeyError) as error:
        advice = "do look at the broker, the prefix and the files"
        print(f"expected topics and files that can be read but {error}; {advice}", file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(report.as_json(), indent=2) if asked.json else report.table())  # noqa: T201
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())

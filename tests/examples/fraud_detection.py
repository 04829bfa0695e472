"""fraud-detection: payments come in, a plugin scores them, two are decided at once and two by people."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from tests.examples.world import PROJECT, World
from tests.servers.process import Process, accepts, free_port

FOLDER = PROJECT / "definitions" / "fraud-detection"
PAYMENTS = 4
_SECRET = "a secret that both sides know"
_REFERENCE = "FRAUD_PLUGIN_SECRET"


def run(world: World, stack: contextlib.ExitStack) -> None:
    """The whole of it."""
    folder = Path(world.shown(FOLDER))
    world.title("Kafka, the workers, and a plugin that is no part of Streamflow")
    world.begin(secrets={_REFERENCE: _SECRET}, plugin_secrets={"fraud": f"env:{_REFERENCE}"})
    endpoint = _plugin(world, stack)
    world.tell(f"the plugin {folder / 'plugin.py'} is at {endpoint}")
    world.title("Its operations are registered, the definition is published")
    for name in ("enrich", "score"):
        world.streamflow("operations", "register", str(folder / f"{name}.plugin.yaml"), "--endpoint", endpoint)
    world.streamflow("definitions", "publish", str(folder), "--create-topics")
    world.title("Four payments are authorised")
    world.streamflow("events", "send", "payment.authorised", "--file", str(folder / "samples" / "payments.jsonl"))
    approvals = world.until(lambda: _two(world), "two payments to wait for somebody")
    world.title("Two are decided already, two wait for somebody")
    world.streamflow("runs", "list")
    world.streamflow("runs", "approvals")
    runs = {one["key"]: one["run"] for one in approvals}
    world.streamflow(
        "runs",
        "approve",
        runs["P-3"],
        "review",
        "--by",
        "anna",
        "--group",
        "fraud-analysts",
        "--data",
        '{"note": "the customer called"}',
    )
    world.streamflow(
        "runs",
        "reject",
        runs["P-4"],
        "review",
        "--by",
        "ben",
        "--group",
        "fraud-analysts",
        "--data",
        '{"note": "nobody answers"}',
    )
    world.until(lambda: _ended(world) == PAYMENTS, "all payments to be decided")
    world.title("What came of it")
    world.streamflow("runs", "show", runs["P-3"])
    world.streamflow("events", "tail", "payment.decided", "--from-beginning", "--limit", str(PAYMENTS))
    decisions = world.lines("events", "tail", "payment.decided", "--from-beginning", "--limit", str(PAYMENTS))
    decided = sorted((json.loads(one["value"]) for one in decisions), key=lambda one: str(one["payment"]))
    file = world.wrote("decisions.jsonl", "".join(json.dumps(one) + "\n" for one in decided))
    world.tell(
        f"\nThe decisions are in the topic payment-decisions, and in {world.shown(file)}:\n{file.read_text().rstrip()}"
    )


def _plugin(world: World, stack: contextlib.ExitStack) -> str:
    """Starts the plugin; its endpoint."""
    port = free_port()
    process = Process(
        [sys.executable, str(FOLDER / "plugin.py"), "--port", str(port)],
        world.folder / "plugin.log",
        lambda: accepts(port),
    )
    process.start({_REFERENCE: _SECRET})
    stack.callback(process.stop)
    return f"http://127.0.0.1:{port}/"


def _two(world: World) -> list[dict[str, str]]:
    found: list[dict[str, str]] = world.asked("runs", "approvals")["approvals"]
    return found if len(found) == 2 else []


def _ended(world: World) -> int:
    return sum(one["status"] == "completed" for one in world.asked("runs", "list")["runs"])

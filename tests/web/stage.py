"""A `streamflow dev` with something to look at: definitions, runs that ended, wait, were refused and are parked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamflow.approvals.signing import new_private_key, public_text, read_private_key
from tests.conftest import eventually
from tests.web.built import PROJECT
from tests.web.live_model import NAME, LiveModel, live_model

SHOP = PROJECT / "definitions" / "order-fulfilment"
PAYMENTS = PROJECT / "definitions" / "fraud-detection" / "catalog.yaml"
WISH = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"
START_S = 240
PARTITIONS = 2

REFUND = """
streamflow: "1"
name: refund
version: "1"
title: Refund
input: {type: object, required: [amount], properties: {amount: {type: integer}}}
output: pay
runs: many
steps:
  - id: ask
    approval:
      text: "'Pay ' + string(trigger.amount) + ' back?'"
      who: [alice, managers]
      form: {type: object, required: [note], properties: {note: {type: string}}}
      forever: true
  - id: pay
    needs: [ask.approved]
    set: [{name: paid, expr: trigger.amount}]
"""
# Nobody answers at this port: the step is parked after its attempts.
CALLING = """
streamflow: "1"
name: calling
version: "1"
title: Calls a service that is down
input: {type: object}
runs: many
steps:
  - id: fetch
    title: Ask the service
    call:
      operation: http.request
      with:
        - {name: url, expr: "'http://127.0.0.1:9/facts'"}
        - {name: method, expr: "'GET'"}
      retry: {attempts: 2, backoff: 1s}
"""


class Stage:
    """The running `dev`: its address, and the ids of its runs by what they show."""

    def __init__(self, address: str, model: LiveModel) -> None:
        self.address = address
        self.model = model  # of conversations that do not name rules
        self.runs: dict[str, str] = {}

    def ask(self, path: str, body: Any = None) -> Any:
        """What the API answers. Raises HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/api/v1{path}", data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def start(self, definition: str, key: str, value: dict[str, Any]) -> str:
        """The id of a run that begins."""
        return str(self.ask("/runs", {"definition": definition, "key": key, "input": value, "id": key})["run"])

    def fill(self) -> None:
        """Publishes, and starts a run of each kind."""
        shop = {name: (SHOP / f"{name}.yaml").read_text() for name in ("definition", "catalog", "scenarios")}
        self.ask("/definitions/publish", shop | {"create_topics": True})
        self.ask("/definitions/publish", {"definition": REFUND})
        self.ask(
            "/definitions/publish",
            {"definition": REFUND.replace('version: "1"', 'version: "2"').replace("Pay ", "Send ")},
        )
        self.ask("/definitions/publish", {"definition": CALLING})
        self.begin_conversation()
        self.runs["asking"] = self.start("refund", "R-1", {"amount": 5})
        self.runs["done"] = self.start("refund", "R-2", {"amount": 7})
        self.runs["parked"] = self.start("calling", "C-1", {})
        self.runs["cancelled"] = self.start("calling", "C-2", {})
        eventually(lambda: self.status("asking") == "open" and self.is_asking("done"), timeout=60)
        decision = {"decision": "approved", "by": "alice", "data": {"note": "all right"}}
        self.ask(f"/runs/{self.runs['done']}/approvals/ask", decision)
        eventually(lambda: self.status("parked") == self.status("cancelled") == "parked", timeout=90)
        self.ask(f"/runs/{self.runs['cancelled']}/cancel", {"reason": "of no use"})
        wanted = {"asking": "open", "done": "completed", "parked": "open", "cancelled": "cancelled"}
        eventually(lambda: self.listed() == wanted, timeout=60)

    def begin_conversation(self) -> None:
        """A conversation that waits for a yes."""
        begun = self.ask("/conversations", {"title": "Payments to look at", "catalog": PAYMENTS.read_text()})
        self.runs["conversation"] = begun["conversation"]
        self.ask(f"/conversations/{begun['conversation']}/messages", {"text": WISH, "model": "rules"})

    def status(self, name: str) -> str:
        """How far a run is, as its transitions have it."""
        try:
            return str(self.ask(f"/runs/{self.runs[name]}")["status"])
        except urllib.error.HTTPError:
            return ""

    def is_asking(self, name: str) -> bool:
        """Whether a run waits for a person."""
        return any(one["run"] == self.runs[name] for one in self.ask("/approvals"))

    def listed(self) -> dict[str, str]:
        """The status of each run, as the history has it."""
        names = {run: name for name, run in self.runs.items()}
        rows = self.ask("/runs")["rows"]
        return {names[row["run"]]: row["status"] for row in rows if row["run"] in names}


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A `dev` in `folder`, filled."""
    log = folder / "dev.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith("STREAMFLOW_") or "CACHE" in name}
    own |= {"PYTHONPATH": str(PROJECT), "STREAMFLOW_TASKS__ALLOW_HOSTS": '["127.0.0.1:9"]'}
    own["STREAMFLOW_TOPICS__PARTITIONS"] = str(PARTITIONS)
    key = folder / "approvals.pem"
    key.write_text(new_private_key(), encoding="utf-8")
    own["STREAMFLOW_APPROVALS__SIGNING_KEY"] = f"file:{key}"
    own["STREAMFLOW_APPROVALS__TRUSTED_KEYS"] = json.dumps([public_text(read_private_key(f"file:{key}").public_key())])
    prod = folder / "prod.yaml"
    prod.write_text(
        f"environment: prod\ntopics: {{prefix: prod., partitions: 1}}\n"
        f"approvals: {{signing_key: 'file:{key}', trusted_keys: {own['STREAMFLOW_APPROVALS__TRUSTED_KEYS']}}}\n"
    )
    own["STREAMFLOW_APPROVALS__ENVIRONMENTS"] = json.dumps({"prod": str(prod)})
    command = [sys.executable, "-m", "streamflow.cli.main"]
    with log.open("wb") as written, live_model() as model:
        known = {"provider": "openai", "url": model.url, "model": "tiny-1", "form": "tools"}
        own["STREAMFLOW_MODELS__AVAILABLE"] = json.dumps({NAME: known})
        process = subprocess.Popen([*command, "dev"], cwd=folder, env=own, stdout=written, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: process.poll() is not None or is_ready(log.read_text()), timeout=START_S)
            assert process.poll() is None, log.read_text()[-4000:]
            found = re.findall(r"Open (http://\S+)/ in a browser", log.read_text())
            assert found, log.read_text()[-4000:]
            topics = [*command, "topics", "apply", "--config", str(prod)]
            subprocess.run(topics, cwd=folder, env=own, check=True, capture_output=True)
            made = Stage(found[-1], model)
            made.fill()
            yield made
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def is_ready(log: str) -> bool:
    """Whether the workers of a `dev` have everything open, by its log."""
    opened = re.findall(r"\bpartition_open\b", log)
    return "sidecar_listening" in log and len(opened) >= PARTITIONS and "versions_taken" in log

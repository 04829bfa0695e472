"""The sidecar as a process of its own, beside a real engine and a real task worker: starts, callbacks and approvals as
strangers send them."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from streamflow.cli.main import main
from streamflow.operations.callbacks import Callback, make_token
from tests.conftest import eventually
from tests.integration.lanes import LaneBench, make_lanes
from tests.proof.world import ROOT, Worker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

SECRET = "a secret of these tests"
SURVEY = """
name: survey
version: "1"
input: {type: object, required: [url], properties: {url: {type: string}}}
output: question
steps:
  - id: question
    call:
      operation: http.callback
      with: [{name: url, expr: trigger.url}, {name: json, expr: '{"q": run.key}'}, {name: within, expr: "'10m'"}]
      retry: {attempts: 2, backoff: 100ms}
"""
REFUND = """
name: refund
version: "1"
input: {type: object, required: [amount], properties: {amount: {type: integer}}}
steps:
  - id: ask
    approval: {text: "'Pay ' + string(trigger.amount) + ' back?'", who: [alice, managers], forever: true}
  - id: pay
    needs: [ask.approved]
    set: [{name: paid, expr: trigger.amount}]
"""
REPORT = """
name: report
version: "1"
input: {type: object, required: [text], properties: {text: {type: string}}}
output: stored
steps:
  - id: stored
    call:
      operation: object.put
      with: [{name: connection, expr: "'files'"}, {name: key, expr: "'reports/' + run.key + '.txt'"}, {name: text, expr: trigger.text}]
"""  # noqa: E501


@dataclass
class Asked:
    """A server that is asked to call back: what it was sent, by the key of the run."""

    url: str = ""
    callbacks: dict[str, list[str]] = field(default_factory=dict)

    def wait(self, key: str, count: int = 1) -> str:
        """The address that came last for `key`, once `count` have come."""
        eventually(lambda: len(self.callbacks.get(key, ())) >= count)
        return self.callbacks[key][-1]


@dataclass(frozen=True)
class Running:
    """What the tests speak to."""

    bench: LaneBench
    engine: Worker
    sidecar: subprocess.Popen[bytes]
    client: httpx2.Client
    asked: Asked
    files: Path

    def start(self, definition: str, key: str | None = None, **input: Any) -> tuple[str, str]:
        """Starts a run: its id and its key."""
        key = key or f"K-{uuid.uuid4().hex[:8]}"
        answer = self.client.post("/runs", json={"definition": definition, "key": key, "input": input})
        assert answer.status_code == 202, answer.text
        return answer.json()["run"], key

    def survey(self) -> tuple[str, str, str]:
        """A run that waits for a callback: its id, its key, and the address."""
        run, key = self.start("survey", url=self.asked.url)
        address = self.asked.wait(key)
        self.wait(run, lambda told: told["at"] == {"question": "waits for a callback"})
        return run, key, address

    def wait(self, run: str, condition: Callable[[Any], bool]) -> Any:
        """The run, once it is as it should be."""

        def fits() -> Any:
            told = self.client.get(f"/runs/{run}")
            return told.json() if told.status_code == 200 and condition(told.json()) else None

        return eventually(fits)


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A sidecar, an engine, a task worker, and a server that is asked to call back."""
    folder = tmp_path_factory.mktemp("sidecar")
    (folder / "files").mkdir()
    secret = folder / "callback.key"
    secret.write_text(SECRET)
    with make_lanes(bootstrap, folder) as bench, asking() as asked:
        for text in (SURVEY, REFUND, REPORT):
            bench.publish_calls(text)
        told = bench.environment() | {
            "STREAMFLOW_TASKS__CALLBACK_SECRET": f"file:{secret}",
            "STREAMFLOW_SIDECAR__PORT": "0",
        }
        with sidecar(folder, told) as (process, url):
            connections = json.dumps({"files": {"kind": "folder", "url": f"file://{folder / 'files'}"}})
            engine = bench.worker()
            worker = bench.task_worker(
                callback_url=url,
                callback_secret=f"file:{secret}",
                connections=connections,
                allow=(re.sub("^http://|/$", "", asked.url),),
            )
            bench.wait_open(engine)
            bench.wait_assigned(worker)
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=30) as client:
                yield Running(bench, engine, process, client, asked, folder / "files")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (folder / "sidecar.log").read_text()
            assert "Traceback" not in (folder / "sidecar.log").read_text()


@contextlib.contextmanager
def asking() -> Iterator[Asked]:
    """The server of Asked, while the block lasts."""
    asked = Asked()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.callbacks.setdefault(body["q"], []).append(body["callback_url"])
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def sidecar(
    folder: Path, environment: dict[str, str], *, descriptors: int | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A sidecar's process and its address, while the block lasts. It may open so many file descriptors."""
    command = [sys.executable, "-m", "streamflow.cli.main", "sidecar", "--parent", str(os.getpid())]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
    file = folder / "sidecar.log"
    with file.open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def listening() -> str:
        assert process.poll() is None, file.read_text()
        found = re.search(r'"url": "(http://[^"/]+)"', file.read_text())
        return found[1] if found else ""

    try:
        yield process, eventually(listening, timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_a_callback_ends_the_step_that_waits_for_it(running: Running) -> None:
    run, _, address = running.survey()
    answer = httpx2.post(address, json={"output": {"agreed": True}})

    assert (answer.status_code, answer.json()["applied"]) == (200, True), answer.text
    told = running.client.get(f"/runs/{run}").json()
    assert (told["status"], told["output"]) == ("completed", {"agreed": True})


def test_a_forged_callback_changes_nothing(running: Running) -> None:
    run, key, address = running.survey()
    base, _, token = address.rpartition("/")
    forged = make_token("another secret", Callback(run, key, "question", None, 1, 2**53))

    for false in (forged, token[:-2] + ("AA" if not token.endswith("AA") else "BB"), "nonsense"):
        assert code(httpx2.post(f"{base}/{false}", json={"output": 1})) == (403, "callback_forged")
    assert running.client.get(f"/runs/{run}").json()["at"] == {"question": "waits for a callback"}
    assert httpx2.post(address, json={"output": {}}).status_code == 200


def test_of_answers_at_the_same_time_one_is_taken(running: Running) -> None:
    run, _, address = running.survey()
    with ThreadPoolExecutor(5) as pool:
        answers = list(
            pool.map(lambda number: httpx2.post(address, json={"output": {"number": number}}, timeout=30), range(5))
        )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409], [
        answer.text for answer in answers
    ]
    (taken,) = (number for number, answer in enumerate(answers) if answer.status_code == 200)
    assert running.client.get(f"/runs/{run}").json()["output"] == {"number": taken}


def test_an_error_by_callback_is_tried_again_and_the_old_address_is_worth_nothing(running: Running) -> None:
    run, key, first = running.survey()
    assert httpx2.post(first, json={"error": {"code": "too_busy"}}).status_code == 200
    second = running.asked.wait(key, 2)

    assert code(httpx2.post(first, json={"output": {"late": True}}))[0] == 409
    assert httpx2.post(second, json={"output": {"late": False}}).status_code == 200
    told = running.wait(run, lambda told: told["status"] == "completed")
    assert told["steps"][0]["attempts"] == 2


def test_a_callback_while_the_engine_is_away_is_kept_for_it(running: Running) -> None:
    run, _, address = running.survey()
    running.bench.wait_saved()
    running.engine.kill()
    answer = httpx2.post(address, json={"output": {"kept": True}}, timeout=30)
    running.bench.restart(running.engine)

    assert (answer.status_code, answer.json()["applied"]) == (202, False)
    told = running.client.get(f"/runs/{run}", params={"wait": answer.json()["command"], "timeout_s": 30})
    assert told.json()["output"] == {"kept": True}, told.text
    assert code(httpx2.post(address, json={"output": {"kept": False}})) == (409, "callback_answered")


def test_starts_with_one_id_at_the_same_time_are_one_run(running: Running) -> None:
    body = {"definition": "refund", "key": "R-1", "input": {"amount": 5}, "id": uuid.uuid4().hex}
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: running.client.post("/runs", json=body).json(), range(5)))

    assert len({answer["run"] for answer in answers}) == 1
    told = running.client.get(f"/runs/{answers[0]['run']}", params={"wait": answers[0]["command"]}).json()
    assert (told["seq"], told["at"]) == (2, {"ask": "awaiting approval"})


def test_an_approval_is_listed_given_once_and_gone(running: Running) -> None:
    run, key = running.start("refund", amount=7)
    running.wait(run, lambda told: told["at"] == {"ask": "awaiting approval"})
    listed = {one["run"]: one for one in running.client.get("/approvals").json()}
    assert (listed[run]["text"], listed[run]["key"]) == ("Pay 7 back?", key)
    path = f"/runs/{run}/approvals/ask"
    with ThreadPoolExecutor(3) as pool:
        answers = list(
            pool.map(
                lambda decision: running.client.post(path, json={"decision": decision, "by": "alice"}),
                ["approved", "rejected", "approved"],
            )
        )

    # the first decision ends the run: the engine has no record of it any more, but its history tells how it ended
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409], [answer.text for answer in answers]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "run_ended",
        "approval_closed",
    }
    (taken,) = (answer.json()["decision"] for answer in answers if answer.status_code == 200)
    assert running.wait(run, lambda told: told["status"] == "completed")["steps"][0]["outcome"] == taken
    assert run not in {one["run"] for one in running.client.get("/approvals").json()}


def test_operations_are_listed_with_the_worker_that_does_them(running: Running) -> None:
    def served() -> Any:
        listed = {one["name"]: one for one in running.client.get("/operations").json()}
        return listed["http.callback"]["served_by"]

    (worker,) = eventually(served)
    assert (worker["lane"], worker["instance"], worker["present"]) == ("default", "tasks", True)


def call(running: Running, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """A command line with --json: its exit code, its answer, and what it wrote to stderr."""
    settings = running.bench.settings
    os.environ["STREAMFLOW_TOPICS__PARTITIONS"] = str(settings.topics.partitions)
    os.environ["STREAMFLOW_TASKS__CONNECTIONS"] = json.dumps(
        {"files": {"kind": "folder", "url": f"file://{running.files}"}}
    )
    capsys.readouterr()
    exit_code = main(
        [*words, "--json", "--bootstrap", settings.kafka.bootstrap_servers or "", "--prefix", settings.topics.prefix]
    )
    said = capsys.readouterr()
    return exit_code, json.loads(said.out) if said.out.strip() else None, said.err


def test_a_run_from_a_file_is_waited_for_and_what_it_stored_is_fetched(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "may.yaml").write_text(
        "definition: report\nkey: 2026-05\ninput: {text: It was a good month.}\nid: may\n"
    )
    words = ("runs", "start", str(tmp_path / "may.yaml"), "--fetch", str(tmp_path / "out"))
    exit_code, answer, err = call(running, capsys, *words)

    assert (exit_code, answer["status"]) == (0, "completed"), err
    (stored,) = answer["objects"]
    assert stored["connection"] == "files"
    assert stored["file"] == str(tmp_path / "out/reports/2026-05.txt")
    assert Path(stored["file"]).read_text() == "It was a good month."
    assert call(running, capsys, *words)[1] == answer


def test_a_run_that_waits_for_somebody_is_left_when_the_time_is_over(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "refund.json").write_text('{"definition": "refund", "key": "R-9", "input": {"amount": 3}}')
    exit_code, answer, err = call(running, capsys, "runs", "start", str(tmp_path / "refund.json"), "--timeout", "3")
    run = answer["run"]

    assert (exit_code, answer["status"]) == (4, "open")
    assert f"streamflow runs approve {run} ask --by NAME" in err
    assert run in {one["run"] for one in call(running, capsys, "runs", "approvals", "--who", "alice")[1]["approvals"]}
    assert (
        json.loads(call(running, capsys, "runs", "approve", run, "ask", "--by", "mallory")[2].splitlines()[-1])[
            "error"
        ]["code"]
        == "not_allowed"
    )
    assert call(running, capsys, "runs", "approve", run, "ask", "--by", "mallory", "--group", "managers")[0] == 0
    shown = call(running, capsys, "runs", "show", run, "--steps")[1]
    assert (shown["status"], shown["steps"][0]["decision"]["by"]) == ("completed", "mallory")
    assert (
        json.loads(call(running, capsys, "runs", "reject", run, "ask", "--by", "alice")[2].splitlines()[-1])["error"][
            "code"
        ]
        == "approval_closed"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("definition: refund\ninput: {amount: 1}\n", "key_missing"),
        ("definition: refund\nkey: k\ninput: {amount: many}\n", "schema_mismatch"),
        ("definition: refund\nkey: k\ninputs: {}\n", "start_invalid"),
        ("- refund\n", "start_invalid"),
        ("a: [", "start_invalid"),
    ],
    ids=lambda value: value if re.fullmatch("[a-z_]+", value) else "",
)
def test_a_file_that_does_not_fit_is_refused(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, expected: str
) -> None:
    (tmp_path / "start.yaml").write_text(content)
    exit_code, _, err = call(running, capsys, "runs", "start", str(tmp_path / "start.yaml"))

    assert (exit_code, json.loads(err.splitlines()[-1])["error"]["code"]) == (3, expected)

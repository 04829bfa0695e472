"""The checker asks the command line and the API, and says when they tell something else than `runs`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamflow_check.judge import judge
from streamflow_check.promises import Report
from tests.checker.made import KEY, RUN, a_world, an_experiment

LISTED = {"run": RUN, "definition": "d", "version": "1", "key": KEY, "status": "open", "seq": 7}
SCRIPT = "import json, sys; print(json.dumps(json.load(open(sys.argv[1]))[sys.argv[3]]))"


def history() -> list[dict[str, Any]]:
    return [
        {"type": record.header("ce_type").removeprefix("streamflow.")} | record.json()
        for record in a_world().topics["p.runs"][0]
    ]


def by_command_line(folder: Path, **answers: Any) -> Report:
    """The verdict when a command line gives these answers."""
    (folder / "answers.json").write_text(json.dumps({"list": {"runs": [LISTED]}, "show": history()} | answers))
    return judge(a_world(), an_experiment(cli=(sys.executable, "-c", SCRIPT, str(folder / "answers.json"))))


def test_a_command_line_that_tells_the_same_agrees(tmp_path: Path) -> None:
    report = by_command_line(tmp_path)
    assert report.ok
    assert report.findings["cli-agrees"].looked == 2


@pytest.mark.parametrize(
    "answers",
    [
        {"list": {"runs": []}},
        {"list": {"runs": [LISTED | {"seq": 6}]}},
        {"list": {"runs": [LISTED, LISTED | {"run": "0000002a-dddd"}]}},
        {"list": {}},
        {"show": history()[:-1]},
        {"show": [history()[0] | {"at_ms": 1}, *history()[1:]]},
        {"show": "nothing"},
    ],
    ids=["no run", "another seq", "one run more", "no list", "a transition less", "another time", "no history"],
)
def test_a_command_line_that_tells_otherwise_does_not_agree(tmp_path: Path, answers: dict[str, Any]) -> None:
    assert by_command_line(tmp_path, **answers).broken_promises == ["cli-agrees"]


def test_a_command_line_that_fails_does_not_agree() -> None:
    report = judge(a_world(), an_experiment(cli=(sys.executable, "-c", "raise SystemExit('no broker')")))
    assert report.broken_promises == ["cli-agrees"]
    assert "no broker" in report.findings["cli-agrees"].evidence[0]


FOUND = {"runs": [LISTED], "next": None}
COUNTED = {"points": [{"outcome": "started", "n": 1}]}
BY_NOUN = (
    "import json, sys; told = json.load(open(sys.argv[1])); "
    "print(json.dumps(told[sys.argv[3] if sys.argv[2] == 'runs' else '/'.join(sys.argv[2:4])]))"
)


def by_history(folder: Path, **answers: Any) -> Report:
    """The verdict when the history store gives these answers."""
    told = {"list": {"runs": [LISTED]}, "show": history()}
    told |= {"history/find": FOUND, "history/show": history(), "history/statistics": COUNTED}
    (folder / "answers.json").write_text(json.dumps(told | {f"history/{name}": one for name, one in answers.items()}))
    cli = (sys.executable, "-c", BY_NOUN, str(folder / "answers.json"))
    return judge(a_world(), an_experiment(cli=cli, history=True))


def test_a_history_that_tells_the_same_agrees(tmp_path: Path) -> None:
    report = by_history(tmp_path)
    assert report.ok
    assert report.findings["history-agrees"].looked == 3


@pytest.mark.parametrize(
    "answers",
    [
        {"find": FOUND | {"runs": []}},
        {"find": FOUND | {"runs": [LISTED, LISTED]}},
        {"find": FOUND | {"runs": [LISTED | {"status": "completed"}]}},
        {"find": FOUND | {"runs": [LISTED | {"parked_step": "a"}]}},
        {"find": FOUND | {"runs": [LISTED | {"seq": 6}]}},
        {"find": FOUND | {"runs": [LISTED, LISTED | {"run": "0000002a-dddd"}]}},
        {"find": {}},
        {"show": history()[:-1]},
        {"show": []},
        {"statistics": {"points": []}},
        {"statistics": {"points": [*COUNTED["points"], {"outcome": "completed", "n": 1}]}},
        {"statistics": {}},
    ],
    ids=[
        "no run",
        "a run twice",
        "another status",
        "parked",
        "another seq",
        "one run more",
        "no list",
        "a transition less",
        "no history",
        "nothing counted",
        "one end counted twice",
        "no statistics",
    ],
)
def test_a_history_that_tells_otherwise_does_not_agree(tmp_path: Path, answers: dict[str, Any]) -> None:
    assert by_history(tmp_path, **answers).broken_promises == ["history-agrees"]


class _Api(BaseHTTPRequestHandler):
    told: Any = None

    def do_GET(self) -> None:
        found = self.path == f"/runs/{RUN}/transitions"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.told).encode() if found else b"")

    def log_message(self, format: str, *args: Any) -> None:
        return None


@pytest.fixture
def api() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_api_that_tells_the_same_agrees_and_another_one_does_not(api: str) -> None:
    _Api.told = {"rows": history(), "next": None}
    assert judge(a_world(), an_experiment(api=api + "/runs/{run}/transitions")).ok
    _Api.told = {"rows": history()[1:], "next": None}
    assert judge(a_world(), an_experiment(api=api + "/runs/{run}/transitions")).broken_promises == ["api-agrees"]
    assert judge(a_world(), an_experiment(api=api + "/elsewhere/{run}")).broken_promises == ["api-agrees"]

"""Who calls the sidecar: with forged, stolen and guessed tokens of callbacks, and as a page of somebody else's in the
browser of a person who may."""

from __future__ import annotations

import base64
import json
import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi.testclient import TestClient

from streamflow.errors import OperationError
from streamflow.operations.callbacks import API_PATH, callback_key
from streamflow.settings import Settings, Tasks
from streamflow.sidecar import callbacks
from tests.attack import Attack, Seen
from tests.attack.applications import HOST, KEY, TOKEN, application, client
from tests.attack.processes import apart
from tests.unit.sidecar.test_callbacks import FORGED, token
from tests.unit.sidecar.test_guard import STRANGE_HOSTS

KNOWN_KEYS = (
    "",
    "change-" + "me",
    "changeme",
    "secret",
    "streamflow",
    "password",
    "0" * 32,
    "change-" + "me-0123456789abcdefghijklmnop",
    "null",
    "None",
    KEY[:-1],
)
WAITING = {"question": "waits for a callback"}
RACERS = 20
_ENOUGH = 20  # of what is wrong: a forged answer that is taken costs half a second
REBOUND = (
    "rebound.example",
    f"{HOST}.evil.example",
    f"evil-{HOST}",
    "evil.example:8484",
    "2130706433",
    "0x7f.1",
    "localhost.evil.example",
    "localtest.me",
    "127.0.0.1.nip.io",
)
ORIGINS = (
    "https://evil.example",
    "null",
    "",
    "file://",
    f"https://{HOST}.evil.example",
    "//x",
    f"https://evil.example/{HOST}",
)


def _started(asking: TestClient) -> str:
    answer = asking.post("/runs", json={"definition": "survey", "key": "R-1", "input": {"n": 1}})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run"])


def _altered(whole: str, drawn: random.Random) -> str:
    """A token of which one letter is another, or whose parts have changed places."""
    place = drawn.randrange(len(whole))
    other = drawn.choice([letter for letter in "ABCabc012-_." if letter != whole[place]])
    return drawn.choice(
        [whole[:place] + other + whole[place + 1 :], whole[:place], whole[:place] + other + whole[place:]]
    )


def _callbacks(seed: int) -> Seen:
    seen, codes, drawn = Seen(), Counter[str](), random.Random(seed)
    # In memory the engine has answered at once, or never will.
    callbacks._SOON_S = callbacks._ANSWER_S = 0.0
    app, log = application()
    asking = client(app)
    run = _started(asking)
    right, body = token(run, secret=KEY), {"output": {"answer": 666}}

    def tried(what: str, given: str, *wanted: str) -> None:
        answer = asking.post(f"/callbacks/{given}", json=body)
        code = str(answer.json().get("code", answer.status_code))
        codes[code] += 1
        seen.require(code in wanted, f"{what}: {answer.status_code} {code}")
        seen.require(KEY not in answer.text, f"{what}: tells the key")

    for what, made in FORGED.items():
        tried(what, made(run), "callback_forged")
    for known in KNOWN_KEYS:
        tried(f"the key {known!r}", token(run, secret=known), "callback_forged")
    payload, _, signature = right.partition(".")
    claims = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    seen.require(run.encode() in claims, "the claims are not where this attack alters them")
    for what, other in {
        "another step": claims.replace(b"question", b"questioo"),
        "a later end": claims.replace(b"1", b"9"),
        "another run": claims.replace(run.encode(), run.encode()[::-1]),
        "no claims": b"{}",
        "deep": b"[" * 3000,
    }.items():
        coded = base64.urlsafe_b64encode(other).decode().rstrip("=")
        for signed in (signature, "", signature[::-1], "A" * len(signature)):
            tried(what, f"{coded}.{signed}", "callback_forged")
    for nth in range(1000):
        if len(seen.wrong) > _ENOUGH:
            break
        altered = _altered(right, drawn)
        if altered.rstrip("=") != right:
            tried(f"altered {nth}", altered, "callback_forged", "not_found")
    tried("an ended one", token(run, secret=KEY, for_s=-1), "callback_expired")
    seen.require(asking.get(f"/runs/{run}").json()["at"] == WAITING, "the run has gone on")

    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(
            pool.map(
                lambda nth: asking.post(f"/callbacks/{right}", json={"output": {"answer": nth}}).status_code,
                range(RACERS),
            )
        )
    seen.require(answers.count(200) == 1, f"{answers.count(200)} of {RACERS} racing answers are taken: {answers}")
    seen.require(set(answers) <= {200, 409}, f"racing answers: {Counter(answers)}")
    before = asking.get(f"/runs/{run}").json()["output"]
    tried("replayed", right, "callback_answered")
    app.state.answered = callbacks.Answered()  # as a sidecar that has started since
    tried("replayed to another sidecar", right, "callback_answered", "run_ended")
    tried("replayed for another attempt", token(run, secret=KEY, attempt=2), "run_ended", "callback_answered")
    ended = _started(asking)
    asking.post(f"/runs/{ended}/cancel")
    tried("of a run that has ended", token(ended, secret=KEY), "run_ended")
    seen.require(asking.get(f"/runs/{run}").json()["output"] == before, "a replay has changed the output")
    weak = 0
    for known in KNOWN_KEYS[:-1]:
        os.environ["ATTACK_KEY"] = known
        try:
            callback_key(Settings(tasks=Tasks(callback_secret="env:ATTACK_KEY")))
        except OperationError as error:
            weak += 1
            seen.require(error.code in ("callback_key_weak", "secret_missing"), f"the key {known!r}: {error.code}")
    seen.require(weak == len(KNOWN_KEYS) - 1, f"a sidecar starts with {len(KNOWN_KEYS) - 1 - weak} known keys")
    seen.require(log.simulation.transitions() != [], "no run at all")
    seen.count("answers", codes)
    seen.figures["racing"] = f"{RACERS} at a time: {dict(Counter(answers))}"
    seen.figures["known keys"] = f"{weak} of {len(KNOWN_KEYS) - 1} do not let a sidecar start"
    return seen


def _pages(_seed: int) -> Seen:
    seen, codes = Seen(), Counter[str]()
    _asked_as_pages(seen, codes, HOST, {"Authorization": f"Bearer {TOKEN}"})
    _asked_as_pages(seen, codes, "localhost", {})
    seen.count("answers", codes)
    return seen


def _asked_as_pages(seen: Seen, codes: Counter[str], name: str, bearer: dict[str, str]) -> None:
    app, log = application(token=bool(bearer))
    asking = client(app, name)
    described: dict[str, Any] = app.openapi()
    start = json.dumps({"definition": "refund", "key": "k", "input": {"amount": 5}})
    json_headers = bearer | {"Content-Type": "application/json"}
    routes = [
        (method, path.removeprefix(API_PATH).replace("{", "").replace("}", ""))
        for path, methods in described["paths"].items()
        for method in methods
    ] + [("get", "/openapi.json"), ("get", "/nowhere")]

    def tried(method: str, path: str, headers: list[Any], *wanted: str) -> None:
        answer = asking.request(method, path, content=start.encode(), headers=[*json_headers.items(), *headers])
        said = answer.json() if answer.content else None
        code = str(said.get("code")) if isinstance(said, dict) else str(answer.status_code)
        codes[code] += 1
        seen.require(code in wanted, f"{method} {path}, {ascii(headers)[:100]}: {answer.status_code} {code}")
        allowed = [header for header in answer.headers if header.startswith("access-control-allow")]
        seen.require(not allowed, f"{method} {path}, {ascii(headers)[:100]}: {allowed}")

    for method, path in routes:
        for host in REBOUND:
            tried(method, path, [("Host", host)], "host_unknown")
        for host in STRANGE_HOSTS:
            tried(method, path, [(b"Host", host.encode("latin-1"))], "host_invalid")
        for origin in ORIGINS:
            tried(method, path, [("Host", name), ("Origin", origin)], "host_unknown")
            tried("OPTIONS", path, [("Host", name), ("Origin", origin)], "host_unknown")
        tried(method, path, [("Host", name), ("Host", "evil.example")], "host_invalid")
    started = log.simulation.transitions()
    seen.require(started == [], f"{len(started)} transitions: runs were started")
    answer = asking.post("/runs", content=start, headers=json_headers)
    seen.require(answer.status_code == 202, f"who may is refused too: {answer.status_code}")
    seen.figures["with a token" if bearer else "without a token"] = f"{len(routes)} routes"


ATTACKS = (
    Attack(
        name="forged-callbacks",
        done="forged, altered, ended, replayed and racing tokens of callbacks, and such under well-known keys",
        expected="one of the racing answers is taken, all else is refused; nothing changes",
        make=apart(_callbacks, limit_s=240, growth_bytes=64 << 20),
    ),
    Attack(
        name="foreign-pages",
        done="requests to every route as a page elsewhere makes them: rebound names, strange hosts, origins",
        expected="host_unknown or host_invalid with and without a token; no run is started, no leave for CORS",
        make=apart(_pages, limit_s=240, growth_bytes=64 << 20),
    ),
)

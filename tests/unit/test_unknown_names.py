"""Whoever names a thing that is not there is answered with the names that are meant most likely."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamflow.cli.main import main
from streamflow.cli.run_requests import require_step
from streamflow.definition.catalog import Catalog
from streamflow.definition.content import canonical, sha256_of
from streamflow.definition.syntax import parse_catalog, parse_definition
from streamflow.engine import transitions as t
from streamflow.engine.transitions import Transition
from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.unknown_names import remedy, require_definition, unknown_version
from streamflow.ops.dead_letters import Letter, unmatched
from streamflow.ops.history import Runs
from streamflow.ops.sending import event_spec
from streamflow.ops.starts import request

CATALOG = parse_catalog("events: [{name: parcel.packed, topics: [parcels]}, {name: parcel.sent, topics: [parcels]}]")
DEFINITION = """
name: parcel
version: "1"
on: [{id: packed, event: parcel.packed}]
steps:
  - {id: share, delay: {for: 1h}}
  - {id: tell, needs: [share], delay: {for: 1h}}
"""


def published(*versions: tuple[str, bool]) -> Snapshot:
    log, content = Snapshot(), canonical(parse_definition(DEFINITION), CATALOG)
    sha = sha256_of(content)
    log.read(f"definition/{sha}".encode(), content, 0)
    for event in CATALOG.events:
        log.read(f"event/{event.name}".encode(), json.dumps(event.logical()).encode(), 1)
    for number, (version, retired) in enumerate(versions or (("1", False), ("2", False)), 2):
        log.read(f"version/parcel@{version}".encode(), json.dumps({"sha": sha, "retired": retired}).encode(), number)
    return log


def refusal(act: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        act()
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("parcl", ["order", "parcel"], "Did you mean parcel?"),
        ("parcel", ["parcel-a", "parcel-b", "order"], "Did you mean parcel-b or parcel-a?"),
        ("xyz", ["parcel", "order"], "The things are: order, parcel."),
        ("xyz", [f"n{number:02}" for number in range(11)], "n08, n09, ...."),
        ("xyz", [], "There are no things."),
        ("x" * 1000, ["parcel"], "The things are: parcel."),
    ],
)
def test_the_nearest_names_or_else_the_first_are_named(name: str, names: list[str], said: str) -> None:
    assert remedy(name, names, "things").endswith(said)


def history() -> list[Transition]:
    started = t.RunStarted(trigger="packed", event=None, sha="", revision="1")  # type: ignore[arg-type]
    return [
        Transition(
            run="00000001-main-a",
            definition="parcel",
            version="1",
            key="P-1",
            seq=1,
            at_ms=0,
            cause="c",
            data=started,
            step=None,
        )
    ]


@pytest.mark.parametrize(
    ("act", "code", "said"),
    [
        (
            lambda: require_definition(published(), "parcle"),
            "unknown_definition",
            "No definition parcle was published. Did you mean parcel?",
        ),
        (
            lambda: request(published(), "parcle", key="k", data={}),
            "version_unknown",
            "No definition parcle was published. Did you mean parcel?",
        ),
        (
            lambda: request(published(), "parcel@9", key="k", data={}),
            "version_unknown",
            "The definition parcel has no version 9. The versions are: 1, 2.",
        ),
        (
            lambda: request(published(("1", True)), "parcel", key="k", data={}),
            "version_unknown",
            "No version of the definition parcel is in use, because all are retired. Publish a new one.",
        ),
        (
            lambda: event_spec(published().catalog(), "parcel.packd"),
            "event_unknown",
            "The catalog has no event parcel.packd. Did you mean parcel.packed or parcel.sent?",
        ),
        (
            lambda: event_spec(Catalog(), "parcel"),
            "event_unknown",
            "The catalog has no event parcel. There are no events.",
        ),
        (
            lambda: require_step(published(), history(), "shar"),
            "step_unknown",
            "The definition parcel@1 of the run 00000001-main-a has no step shar. Did you mean share?",
        ),
    ],
)
def test_a_name_that_is_not_there_is_refused(act: Callable[[], Any], code: str, said: str) -> None:
    assert refusal(act) == (code, said)


def test_what_is_there_is_not_refused() -> None:
    require_definition(published(), "parcel")
    require_definition(published(("1", True)), "parcel")
    require_step(published(), history(), "tell")
    require_step(published(("7", False)), history(), "no longer known")
    assert unknown_version(published(), "parcel", "10").message.endswith("Did you mean 1?")


def letter(reason: str, topic: str) -> Letter:
    return Letter(number=1, id="l", at_ms=0, key=None, facts={"reason": reason, "topic": topic})


def test_a_filter_of_dead_letters_that_fits_none_is_told() -> None:
    letters = [letter("not_json", "parcels"), letter("schema_mismatch", "weights")]
    assert list(unmatched(letters, reason="not_jsn", topic="parcel")) == [
        "No dead letter has the reason not_jsn. Did you mean not_json?",
        "No dead letter is of the topic parcel. Did you mean parcels?",
    ]
    assert list(unmatched(letters, reason="not_json", topic="weights")) == []
    assert list(unmatched([], reason="anything", topic="anywhere")) == []


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with a published definition, and nothing in its other topics."""
    log = published()
    for name in ("runs", "run_approvals", "events", "dead_letters", "runs_watch"):
        monkeypatch.setattr(f"streamflow.cli.{name}.read_log", lambda *_: log)
    monkeypatch.setattr("streamflow.cli.runs.read_runs", lambda *_, **__: Runs())
    monkeypatch.setattr("streamflow.ops.approvals.Approvals.read", lambda *_: [])
    monkeypatch.setattr("streamflow.cli.events.read_unclaimed", lambda *_, **__: iter(()))
    monkeypatch.setattr("streamflow.cli.events.read_deliveries", lambda *_: {})
    monkeypatch.setattr("streamflow.cli.dead_letters.read_dead_letters", lambda *_: [])


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("runs list --definition NAME", "unknown_definition"),
        ("runs show --key P-1 --definition NAME", "unknown_definition"),
        ("runs approvals --definition NAME", "unknown_definition"),
        ("events unclaimed --definition NAME", "unknown_definition"),
        ("events counts --definition NAME", "unknown_definition"),
        ("dead-letters replay --definition NAME --dry-run", "unknown_definition"),
        ("dead-letters drop --definition NAME --why x --dry-run", "unknown_definition"),
    ],
)
def test_every_filter_by_definition_says_that_nothing_is_called_so(
    line: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--bootstrap", "127.0.0.1:1", *line.split()]
    assert main([word.replace("NAME", "parcle") for word in words]) == 3
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"{code}: No definition parcle was published. Did you mean parcel?"
    )
    main([word.replace("NAME", "parcel") for word in words])
    assert code not in capsys.readouterr().err


@pytest.mark.usefixtures("empty")
def test_a_status_and_an_event_are_named_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--bootstrap", "127.0.0.1:1", "--status", "complete"]) == 3
    assert "No run can have the status complete. Did you mean completed?" in capsys.readouterr().err
    assert main(["events", "unclaimed", "--bootstrap", "127.0.0.1:1", "--event", "parcel.snt"]) == 3
    assert "The catalog has no event parcel.snt. Did you mean parcel.sent or parcel.packed?" in capsys.readouterr().err

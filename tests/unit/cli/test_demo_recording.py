"""The recorded conversation of the demo, held to the checks of today."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, apply
from streamflow.cli.demo_recording import endpoint, recording
from streamflow.cli.examples import example_folder
from streamflow.conversations.catalogs import catalogs_of
from streamflow.kafka.definitions import Snapshot


def test_one_change_is_refused_and_the_others_leave_no_problem() -> None:
    catalog = catalogs_of((example_folder(recording().example) / "catalog.yaml").read_text(), Snapshot()).whole
    draft, refused = Draft.new("draft"), 0
    for answer in recording().answers:
        for call in answer.calls:
            if call.name != "apply":
                continue
            found = apply(draft, call.arguments["operations"], catalog)
            assert not isinstance(found, Refusal), found
            errors = [one for one in found.new_problems if one.severity == "error"]
            refused += bool(errors)
            draft = draft if errors else found.draft

    assert refused == 1
    assert draft.content["steps"][1]["approval"]["within"] == "1h"


def asked(url: str) -> list[Any]:
    request = urllib.request.Request(f"{url}/chat/completions", data=b"{}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [line.removeprefix("data: ") for line in answer.read().decode().split("\n\n") if line]


def test_the_endpoint_gives_each_answer_once() -> None:
    first, second = recording().answers[:2]
    with endpoint([first, second]) as url:
        pieces = asked(url)
        assert pieces.pop() == "[DONE]"
        deltas = [json.loads(piece)["choices"][0]["delta"] for piece in pieces]
        assert "".join(one.get("content", "") for one in deltas) == first.text
        [called] = [call["function"] for one in deltas for call in one.get("tool_calls", ())]
        assert json.loads(called["arguments"]) == first.calls[0].arguments
        assert len(asked(url)) > 1
        with pytest.raises(urllib.error.HTTPError):
            asked(url)

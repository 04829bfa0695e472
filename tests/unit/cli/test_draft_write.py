"""`streamflow draft write` and `draft samples`: what their page says, their answers for programs, and their files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from streamflow.cli.main import main
from tests.integration.test_docs_commands import PROJECT, matches, run, steps_of

PAYMENT = "when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"
SENTENCE = "when a ticket is opened, escalate it"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_the_page_says_what_its_commands_do(folder: Path) -> None:
    for step in steps_of(PROJECT / "docs" / "drafting.md"):
        written = run(step.command, folder)
        assert matches(step.expected, written), f"{step.command}\n{written}"


def test_a_draft_as_json_says_where_each_statement_is_in_the_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PROJECT / "tests/unit/authoring/catalogs/helpdesk.yaml", folder / "catalog.yaml")

    assert main(["draft", "write", SENTENCE, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)

    assert facts["complete"]
    said = next(one for one in facts["statements"] if one["addresses"] == ["/steps/escalate"])
    assert SENTENCE[slice(*said["span"])] == "escalate it"


def test_questions_as_json_have_the_form_that_those_about_gaps_have(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draft", "write", PAYMENT, "--out", "payment", "--json"]) == 0
    drafted = json.loads(capsys.readouterr().out)
    assert main(["draft", "gaps", "payment", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["draft", "explain", "payment", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)

    assert [set(one) for one in drafted["questions"]] == [set(found["questions"][0])] * len(drafted["questions"])
    assert {frozenset(one) for one in drafted["statements"]} == {frozenset(one) for one in explained}
    assert {key for one in drafted["questions"] for key in one["gaps"]} <= {gap["key"] for gap in found["gaps"]}
    missing = [
        sorted(one["text"] for one in half if one["origin"] == "missing") for half in (drafted["statements"], explained)
    ]
    assert missing[0] == missing[1]


def test_a_folder_gets_the_definition_and_the_catalog_that_it_needs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["draft", "write", PAYMENT, "--out", "new/payment", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]

    assert written == ["new/payment/definition.yaml", "new/payment/catalog.yaml"]
    kept = (PROJECT / "definitions/fraud-detection/catalog.yaml").read_text()
    assert Path(written[1]).read_text() == kept
    assert main(["definitions", "check", "new/payment"]) == 0


def test_events_of_several_examples_come_with_a_catalog_of_them_all(folder: Path) -> None:
    sentence = "when payment.authorised comes, wait for payment.received within 1 day, fail"

    assert main(["draft", "write", sentence, "--out", "mixed"]) == 0
    assert main(["definitions", "check", "mixed"]) == 0


def test_the_catalog_that_is_there_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine").mkdir()
    kept = folder / "mine" / "catalog.yaml"
    shutil.copy(PROJECT / "tests/unit/authoring/catalogs/helpdesk.yaml", kept)
    before = kept.read_text()

    assert main(["draft", "write", SENTENCE, "--catalog", "mine/catalog.yaml", "--out", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["mine/definition.yaml"]
    assert kept.read_text() == before
    assert main(["draft", "write", PAYMENT, "--out", "mine"]) == 3
    assert "mine/definition.yaml exists already" in capsys.readouterr().err
    (folder / "mine/definition.yaml").unlink()
    assert main(["draft", "write", PAYMENT, "--out", "mine"]) == 3
    assert kept.read_text() == before
    assert not (folder / "mine/definition.yaml").exists()


def test_an_edit_is_written_when_it_is_clear(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draft", "write", PAYMENT, "--out", "payment"]) == 0
    before = Path("payment/definition.yaml").read_text()
    capsys.readouterr()

    assert main(["draft", "edit", "payment", "give the analyst 2 hours", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [one["op"] for one in facts["operations"]] == ["set_field"]
    assert facts["written"] is None
    assert Path("payment/definition.yaml").read_text() == before
    assert main(["draft", "edit", "payment", "give the analyst 2 hours", "--write"]) == 0
    assert Path("payment/definition.yaml").read_text() == before.replace("within: 30m", "within: 2h")
    capsys.readouterr()
    assert main(["draft", "edit", "payment", "after block also call debug.echo with value 'x'", "--json"]) == 0
    assert "operation: debug.echo" in json.loads(capsys.readouterr().out)["text"]
    assert main(["draft", "edit", "payment", "give the analyst more time", "--write"]) == 2
    assert "How long is the limit" in capsys.readouterr().out
    assert Path("payment/definition.yaml").read_text() == before.replace("within: 30m", "within: 2h")


def test_a_place_that_cannot_be_written_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("")

    assert main(["draft", "write", PAYMENT, "--out", "file/payment.yaml"]) not in (0, 1)
    assert "file_unwritable: file/payment.yaml cannot be written: " in capsys.readouterr().err


def test_nothing_is_written_while_words_are_not_understood(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draft", "write", "when it rains, block it", "--out", "wet"]) == 2
    assert "nothing is written" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_file_that_is_there_is_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(PROJECT / "tests/unit/authoring/catalogs/helpdesk.yaml", folder / "catalog.yaml")
    (folder / "mine.yaml").write_text("mine")

    assert main(["draft", "write", SENTENCE, "--out", "mine.yaml"]) == 3
    assert "file_exists" in capsys.readouterr().err
    assert (folder / "mine.yaml").read_text() == "mine"


def test_without_a_catalog_those_of_the_examples_are_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["draft", "write", PAYMENT]) == 0
    shown = capsys.readouterr()
    assert "event: payment.authorised" in shown.out
    assert "the examples" in shown.err

"""`streamflow demo authoring`: a conversation that was recorded, played through the sidecar, from the sentence to a
definition that handles an event."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from streamflow.approvals.signing import new_private_key, public_text, read_private_key
from streamflow.cli import definition_files
from streamflow.cli.demo_recording import RecordedTurn, Recording, endpoint, recording
from streamflow.cli.demo_stage import DemoStage, perform
from streamflow.cli.examples import example_folder
from streamflow.cli.places import CATALOG
from streamflow.cli.runs import timeline
from streamflow.errors import OperationError
from streamflow.operations.connections import client_module
from streamflow.ops.history import read_history

MODEL = "recorded"
_ANSWER_S = 60.0
_REQUEST_S = 60.0
_APPROVER, _ANALYST = "bob", "carol"
_PAYMENTS = (("P-1", 2_000), ("P-2", 70_000))  # in cents


def authoring(
    keep: Annotated[
        bool, typer.Option("--keep", help="keep running until Ctrl-C, with the page of the conversation")
    ] = False,
) -> None:
    """Shows how a definition is written in a conversation: a sentence, a question, changes that are checked and
    accepted, samples, an approval by a second person, publication, and an event that is handled.

    The answers of the language model are a recording, replayed by an endpoint on this machine. Everything else is real:
    Kafka, the sidecar, the checks, the simulator, the engine. Needs Java, and the extra `models`; starts a Kafka of its
    own in a temporary folder and removes it afterwards. The exit code is 0 if the event was handled."""
    client_module("openai", "models")
    perform(lambda stage: _AuthoringShow(stage, recording()).play(), keep=keep)


class _Api:
    """The sidecar's API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, body: Any = None, *, revision: int | None = None) -> Any:
        """What it answers: to a GET, or with a body to a POST. Raises OperationError (`demo_refused`)."""
        headers = {"Content-Type": "application/json"} | ({} if revision is None else {"If-Match": f'"{revision}"'})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data=data, headers=headers)  # noqa: S310 - our sidecar
        try:
            with urllib.request.urlopen(request, timeout=_REQUEST_S) as answer:  # noqa: S310
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")[:2000]
            raise OperationError("demo_refused", f"The sidecar refused {path}: {told}", retryable=False) from error
        except OSError as error:
            raise OperationError("demo_refused", f"The sidecar did not answer {path}: {error}.") from error


class _AuthoringShow:
    """One performance."""

    def __init__(self, stage: DemoStage, played: Recording) -> None:
        self._stage, self._recording = stage, played
        self._print = stage.console.print
        self._place = example_folder(played.example)
        self._api = _Api(stage.pages.api)
        self._id = ""
        self._seen = 0  # the number of the last entry of the conversation that was told
        self._said: list[str] = []  # parts of a text that goes on

    def play(self) -> bool:
        """The whole of it. True if the event was handled as the conversation says."""
        began = time.monotonic()
        self._stage.title("1  Kafka, workers, a sidecar, and an endpoint that answers as a language model did")
        self._start()
        self._stage.title("2 A conversation: what should happen with a payment")
        self._begin()
        for turn in self._recording.turns:
            self._converse(turn)
        self._stage.title("3  The draft, tried on samples")
        talk = self._talk()
        self._stage.lines(talk["draft"]["text"])
        scenarios = self._try(talk)
        self._stage.title("4  A second person approves exactly this content, and it is published")
        published = self._publish(talk, scenarios)
        self._stage.title("5  Two payments come")
        handled = self._handle(published["name"])
        self._farewell(handled, time.monotonic() - began)
        return handled

    def _start(self) -> None:
        catalog = definition_files.read_catalog(self._place)
        self._stage.start_kafka(topic for spec in catalog.events for topic in spec.topics)
        url = self._stage.stack.enter_context(endpoint(self._recording.answers))
        key = self._stage.folder / "approvals.pem"
        key.write_text(new_private_key(), encoding="utf-8")
        trusted = public_text(read_private_key(f"file:{key}").public_key())
        free = {"input": 0, "output": 0}
        model = {"provider": "openai", "url": url, "model": MODEL, "form": "tools", "price": free}
        self._stage.pages.is_needed = True
        self._stage.start_workers(
            STREAMFLOW_MODELS__AVAILABLE=json.dumps({MODEL: model}),
            STREAMFLOW_MODELS__DEFAULT=MODEL,
            STREAMFLOW_APPROVALS__SIGNING_KEY=f"file:{key}",
            STREAMFLOW_APPROVALS__TRUSTED_KEYS=json.dumps([trusted]),
            STREAMFLOW_APPROVALS__REQUIRED="true",
        )
        self._print(f"  The model's answers were recorded; {url} gives them again.")

    def _begin(self) -> None:
        catalog = Path(self._place / CATALOG).read_text(encoding="utf-8")
        begun = self._api.ask("/conversations", {"title": self._recording.title, "catalog": catalog})
        self._id = begun["conversation"]
        self._seen = begun["seq"]

    def _talk(self) -> Any:
        return self._api.ask(f"/conversations/{self._id}")

    def _converse(self, turn: RecordedTurn) -> None:
        """Sends what the person says, tells what the assistant does, and accepts what it proposes."""
        body = {"answer": turn.answer} if turn.answer is not None else {"text": turn.message}
        sent = self._api.ask(f"/conversations/{self._id}/messages", body)
        self._stage.until(lambda: self._follow(sent["turn"]), _ANSWER_S, "the end of the assistant's turn")
        talk = self._talk()
        if talk["proposal"] is None:
            return
        accepted = self._api.ask(f"/conversations/{self._id}/accept", {}, revision=talk["revision"])
        self._print(f"  [bold]you[/]       accept all of it: the draft is revision {accepted['revision']}")

    def _follow(self, turn: str) -> bool:
        """Tells what happened since it was last asked; whether the turn has ended. Raises OperationError
        (`demo_refused`) if it went wrong."""
        entries = self._api.ask(f"/conversations/{self._id}/events?after={self._seen}&limit=1000")["rows"]
        ended = False
        for entry in entries:
            self._tell(entry)
            self._seen = entry["seq"]
            if entry["type"] == "turn_ended" and entry["turn"] == turn:
                ended = True
                if entry["cause"] not in ("done", "waiting"):
                    told = f"The assistant's turn ended with {entry['cause']}: {entry['code']} {entry['message']}"
                    raise OperationError("demo_refused", told, retryable=False)
        return ended

    def _tell(self, entry: dict[str, Any]) -> None:
        if entry["type"] == "text":
            self._said.append(entry["text"])
            return
        if self._said:
            self._print(f"  [bold]{MODEL}[/]  {escape(''.join(self._said).strip())}")
            self._said.clear()
        match entry["type"]:
            case "message_sent":
                self._print(f"\n  [bold]you[/]       {escape(entry['text'])}")
            case "understood" if entry["turn"]:
                for one in entry["statements"]:
                    self._print(f"              {one['number']}. {escape(one['text'])} [dim]({one['origin']})[/]")
                for one in entry["questions"]:
                    choices = " / ".join(choice["text"] for choice in one["choices"])
                    self._print(f"            {escape(one['text'])} [dim]{escape(choices)}[/]")
            case "tool_called" if entry["failed"]:
                self._print(f"  [bold red]refused[/]   {escape(entry['result'])}")
            case "operations_proposed":
                self._print("  [bold]proposed[/]")
                for sentence in entry["sentences"]:
                    self._print(f"            {escape(sentence)}")

    def _try(self, talk: dict[str, Any]) -> list[dict[str, Any]]:
        """Plays samples; those that are published with the version."""
        handed = {"definition": talk["draft"]["text"], "catalog": talk["catalog"]}
        found: list[dict[str, Any]] = self._api.ask("/definitions/samples", handed | {"seed": 1})["scenarios"]
        played = self._api.ask("/definitions/simulate", handed | {"scenarios": {"scenarios": found}})
        self._print()
        for one in played["scenarios"]:
            told = "[green]as expected[/]" if one["ok"] else "[bold red]differently[/]"
            self._print(f"  {told}  {escape(one['name'])}")
        return found

    def _publish(self, talk: dict[str, Any], scenarios: list[dict[str, Any]]) -> Any:
        """Has it approved, and publishes it: what the sidecar says of the version."""
        handed = {
            "definition": talk["draft"]["text"],
            "catalog": talk["catalog"],
            "scenarios": {"scenarios": scenarios},
        }
        found = self._api.ask("/definitions/check", {name: handed[name] for name in ("definition", "catalog")})
        wanted = handed | {"hash": found["hash"]}
        approved = self._api.ask(
            "/definitions/approvals", wanted | {"authors": talk["draft"]["authors"], "by": _APPROVER}
        )["approval"]
        self._print(
            f"  {approved['name']}@{approved['version']}, sha256 {approved['sha256'][:12]}: approved by "
            f"{approved['by']}, written by {', '.join(approved['authors'])}"
        )
        done = self._api.ask("/definitions/publish", wanted)
        self._print(f"  {done['name']}@{done['version']} published. From now on, matching events start runs.")
        return done

    def _handle(self, definition: str) -> bool:
        """Sends a payment that starts a run and one that does not, decides as the analyst, and shows the run."""
        for payment, cents in _PAYMENTS:
            about = {"id": f"e-{payment}", "type": "authorised", "payment": payment, "card": "4711", "country": "FR"}
            data: dict[str, Any] = about | {"amount_cents": cents}
            self._api.ask("/events", {"event": "payment.authorised", "data": data})
            self._print(f"  a payment of {cents // 100} euros comes: {payment}")
        self._stage.until(lambda: bool(self._api.ask("/approvals")), _ANSWER_S, "an approval to be asked for")
        asked = self._api.ask("/approvals")
        run, step = asked[0]["run"], asked[0]["step"]
        self._print(f"  asked: {escape(asked[0]['text'])}\n  {_ANALYST} says yes")
        decision = {"decision": "approved", "by": _ANALYST, "groups": asked[0]["who"]}
        self._api.ask(f"/runs/{run}/approvals/{step}", decision)
        self._stage.until(lambda: self._run(run)["status"] != "open", _ANSWER_S, "the run to end")
        self._print(f"\n  [bold]$ streamflow runs show {run}[/]")
        history = read_history(self._stage.settings, run)
        self._stage.lines(timeline(history))
        decided = [one for one in history if one.address == "approve"]
        return len(asked) == 1 and asked[0]["definition"] == definition and bool(decided)

    def _run(self, run: str) -> Any:
        return self._api.ask(f"/runs/{run}")

    def _farewell(self, handled: bool, took_s: float) -> None:
        self._print()
        if not handled:
            self._print(f"  [bold red]The payment was not handled as the draft says.[/] ({took_s:.0f} s)")
            return
        self._print(
            f"  [bold green]From a sentence to a run that handled an event.[/] ({took_s:.0f} s)\n\n"
            "  Next:\n"
            "    streamflow demo authoring --keep    the same, and it stays until Ctrl-C, with the page of the "
            "conversation\n"
            "    docs/authoring-api.md               the same over HTTP\n"
            "    docs/models.md                      a language model of your own"
        )

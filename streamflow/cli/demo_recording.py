"""The recorded conversation of `streamflow demo authoring`, and the endpoint that answers as its model did."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

_FILE = Path(__file__).with_name("demo_conversation.yaml")
_PIECE = 12  # characters of a piece of a streamed answer


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedCall(_Part):
    """A call of a tool by the model."""

    name: str
    arguments: dict[str, Any]


class RecordedAnswer(_Part):
    """One answer of the model: a text, and calls of tools."""

    text: str
    calls: list[RecordedCall] = []


class RecordedTurn(_Part):
    """What the person says or chooses, and the answers of the model, one for each request of the sidecar."""

    message: str = ""
    answer: dict[str, int] | None = None
    answers: list[RecordedAnswer] = Field(min_length=1)


class Recording(_Part):
    """The conversation; `example` is whose catalog it is over."""

    title: str
    example: str
    turns: list[RecordedTurn]

    @property
    def answers(self) -> list[RecordedAnswer]:
        """All answers of the model, in order."""
        return [answer for turn in self.turns for answer in turn.answers]


def recording() -> Recording:
    """What comes with the package."""
    return Recording.model_validate(YAML(typ="safe", pure=True).load(_FILE.read_text(encoding="utf-8")))


@contextlib.contextmanager
def endpoint(answers: list[RecordedAnswer]) -> Iterator[str]:
    """The base URL of an endpoint on loopback that answers each request for a chat completion with the next of
    `answers`, streamed as OpenAI's API does, and with 500 when there are no more."""
    left = iter(answers)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            with lock:
                answer = next(left, None)
            if self.path != "/v1/chat/completions" or answer is None:
                self.send_error(500, "beyond the recording")
                return
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for piece in _pieces(answer):
                self.wfile.write(b"data: %s\n\n" % piece)
                self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the sidecar's log has its requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, name="recorded model", daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            serving.join()


def _pieces(answer: RecordedAnswer) -> Iterator[bytes]:
    """The data of the server-sent events of an answer."""
    for start in range(0, len(answer.text), _PIECE):
        yield _chunk({"content": answer.text[start : start + _PIECE]})
    for index, call in enumerate(answer.calls):
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        yield _chunk(
            {"tool_calls": [{"index": index, "id": f"call-{index}", "type": "function", "function": function}]}
        )
    yield _chunk({}, "tool_calls" if answer.calls else "stop")
    # A recording counts no tokens; the sidecar estimates where an endpoint reports none.
    yield b"[DONE]"


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "recorded",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "recorded",
        "choices": [choice],
    }
    return json.dumps(chunk).encode()

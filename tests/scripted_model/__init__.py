"""A scripted server of language models: OpenAI's Chat Completions, Anthropic's Messages and Bedrock's event stream,
with every misbehaviour on request. Tests speak to it over real connections; no client is patched.

`ScriptedModel` runs it in a test's event loop, `python -m tests.scripted_model` as a process of its own.
"""

from __future__ import annotations

from tests.scripted_model.script import Answer, Call, Trouble
from tests.scripted_model.server import Asked, ScriptedModel

__all__ = ["Answer", "Asked", "Call", "ScriptedModel", "Trouble"]

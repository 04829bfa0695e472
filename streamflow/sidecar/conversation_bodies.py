"""The bodies of requests to `/conversations`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamflow.conversations.events import Mode

IF_MATCH = "the revision that the request was made for: the `ETag` of the conversation"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewConversation(_Body):
    """A new conversation."""

    title: str = Field(default="", description="for lists; default: the title of the draft", examples=["Fraud check"])
    definition: str | dict[str, Any] | None = Field(
        default=None,
        description="a definition to start from, as YAML or JSON text, or as data; default: a draft without steps",
        examples=["streamflow: '1'\nname: refund\nversion: '1'\non: []\nsteps: []\n"],
    )
    catalog: str | dict[str, Any] | None = Field(
        default=None,
        description="its catalog; default: the published events and operations",
        examples=["events:\n  - {name: order.placed, topics: [orders]}\n"],
    )


class Answered(_Body):
    """The answer to an open question."""

    question: int | None = Field(ge=0, description="index of the question, from 0")
    choice: int | None = Field(ge=0, description="index of the choice, from 0")


class Message(_Body):
    """A person's message, or the answer that they choose."""

    text: str = Field(
        default="",
        description="in plain English",
        examples=["when a payment above 500 euros comes, ask an analyst within 30 minutes, block it if nobody answers"],
    )
    answer: Answered | None = Field(default=None, description="instead of a text")
    mode: Mode = Field(
        default="edit",
        description="`ask` explains and changes nothing, `plan` only says what it understood, `edit` proposes "
        "operations, too",
    )
    model: str | None = Field(
        default=None,
        max_length=40,
        description="a language model of `models.available`, or `rules`; default: models.default, or rules if no model "
        "is configured",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Message:
        if bool(self.text) == (self.answer is not None):
            raise ValueError("a message has either a text or an answer")
        return self


class Cancel(_Body):
    """Selects a turn."""

    turn: str | None = Field(default=None, max_length=40, description="only if this one is open; else any")


class Edit(_Body):
    """A change of the draft."""

    operations: list[dict[str, Any]] | None = Field(
        default=None,
        description="typed operations, applied in order, all of them or none",
        examples=[[{"op": "set_field", "field": "title", "value": "Fraud check"}]],
    )
    text: str | None = Field(default=None, description="the whole draft as YAML, instead of operations")

    @model_validator(mode="after")
    def _one_of_both(self) -> Edit:
        if (self.text is None) == (self.operations is None):
            raise ValueError("an edit has either operations or a text")
        return self


class Branch(_Body):
    """Where to continue."""

    revision: int = Field(ge=1, description="a revision of the conversation", examples=[1])


class Chosen(_Body):
    """The subject of a yes or a no; default: everything undecided."""

    proposal: str | None = Field(default=None, max_length=40, description="only if this one waits")
    operations: list[int] | None = Field(
        default=None, description="indexes of its operations, from 0", examples=[[0, 2]]
    )
    model: str | None = Field(
        default=None, max_length=40, description="who continues after a yes to what was understood; as for a message"
    )


class Comment(_Body):
    """A comment."""

    text: str = Field(description="the comment", examples=["Is 30 minutes enough at night?"])
    revision: int | None = Field(default=None, ge=1, description="the revision; default: the current one")
    address: str | None = Field(
        default=None, max_length=400, description="address of the subject", examples=["/steps/ask_analyst"]
    )


class Renaming(_Body):
    """Another title."""

    title: str = Field(description="the title", examples=["Fraud check"])


class Share(_Body):
    """Validity of a link."""

    days: int = Field(default=7, ge=1, le=30, description="days until it ends")

"""The section `models` of the settings: the language models, their limits and their budgets."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamflow.settings.section import SecretRef, Section

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Prices(Section):
    """Prices of a million tokens, in `models.currency`; known when input and output are set. 0 for a model of your
    own."""

    input: float | None = Field(default=None, ge=0, description="of a million input tokens")
    output: float | None = Field(default=None, ge=0, description="of a million output tokens")
    cached_input: float | None = Field(
        default=None, ge=0, description="of a million input tokens read from the provider's cache; unset: as input"
    )
    cache_write: float | None = Field(
        default=None, ge=0, description="of a million input tokens written to the provider's cache; unset: as input"
    )


class LanguageModelSettings(Section):
    """A language model. Only the settings name its endpoint: neither a conversation nor a definition can choose one."""

    provider: Literal["openai", "anthropic", "bedrock"] = Field(
        description="its API: any endpoint with OpenAI's Chat Completions, Anthropic's Messages, or "
        "Amazon Bedrock for models of Anthropic"
    )
    model: str = Field(min_length=1, max_length=200, description="the model's name at the provider")
    url: str | None = Field(
        default=None, description="base URL of the endpoint; unset: the provider's own, for bedrock that of the region"
    )
    region: str | None = Field(
        default=None, pattern=r"^[a-z0-9-]{1,40}$", description="bedrock: the region, such as eu-central-1"
    )
    key: SecretRef | None = Field(
        default=None, description="reference to the API key (bedrock: an API key of Bedrock): env:NAME or file:/path"
    )
    form: Literal["strict_tools", "json_schema", "tools", "plain"] | None = Field(
        default=None, description="how the model receives its tools; unset: the best form that a probe finds"
    )
    max_output_tokens: int = Field(default=4096, ge=16, le=200_000, description="maximum tokens of one answer")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="temperature; unset: the provider's default"
    )
    price: Prices = Prices()

    @model_validator(mode="after")
    def _bedrock_has_region_and_key(self) -> Self:
        if self.provider == "bedrock" and (self.region is None or self.key is None):
            raise ValueError("a model of bedrock needs a region and a key")
        return self


class BudgetSettings(Section):
    """A budget; unset: no limit."""

    tokens: int | None = Field(default=None, ge=1, description="tokens, input and output")
    money: float | None = Field(default=None, gt=0, description="money, in models.currency")


class Budgets(Section):
    """Budgets by scope."""

    turn: BudgetSettings = BudgetSettings(tokens=60_000)
    conversation: BudgetSettings = BudgetSettings(tokens=600_000)
    person: BudgetSettings = BudgetSettings(tokens=2_000_000)
    day: BudgetSettings = BudgetSettings()


class Models(Section):
    """Language models for authoring. None is needed: without one, everything but the assistant works."""

    available: dict[ModelName, LanguageModelSettings] = Field(
        default_factory=dict, description="language models by name"
    )
    default: ModelName | None = Field(
        default=None, description="name of the model that is used by default; unset: the only one in available"
    )
    system: str | None = Field(
        default=None, max_length=20_000, description="text that is added to the instructions of every conversation"
    )
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="currency of prices and budgets")
    connect_s: float = Field(default=10.0, gt=0, description="seconds to establish a connection")
    first_token_s: float = Field(
        default=60.0, gt=0, description="seconds from a request to the first part of the answer, thinking included"
    )
    between_tokens_s: float = Field(
        default=30.0, gt=0, description="seconds between two parts of an answer; keep-alives do not count"
    )
    whole_s: float = Field(default=120.0, gt=0, description="seconds for an answer, all attempts included")
    attempts: int = Field(
        default=3,
        ge=1,
        le=10,
        description="maximum number of requests for one answer; once a part of it has arrived, it is not retried",
    )
    answer_chars: int = Field(
        default=400_000, ge=1000, description="maximum characters of one answer, text and arguments"
    )
    calls: int = Field(default=32, ge=1, le=1000, description="maximum number of tool calls in one answer")
    budgets: Budgets = Budgets()

    @model_validator(mode="after")
    def _default_is_there(self) -> Self:
        if self.default is not None and self.default not in self.available:
            raise ValueError(f"default names {self.default}, which is not among models.available")
        return self

    @model_validator(mode="after")
    def _money_needs_prices(self) -> Self:
        scopes = [name for name in Budgets.model_fields if getattr(self.budgets, name).money is not None]
        unpriced = [name for name, one in self.available.items() if one.price.input is None or one.price.output is None]
        if scopes and unpriced:
            raise ValueError(f"budgets.{scopes[0]}.money needs the prices (input and output) of {', '.join(unpriced)}")
        return self

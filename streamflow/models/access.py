"""Language models out of the settings: which one, its endpoint, its capabilities, its limits, prices and budgets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from types import TracebackType
from typing import Self

from streamflow.core.metrics import Metrics
from streamflow.errors import Rejected
from streamflow.models.capabilities import Capabilities, CapabilityFile, Form, probe
from streamflow.models.endpoint import Endpoint
from streamflow.models.language_model import LanguageModel
from streamflow.models.meter import Account, Budget, Charge, Meter, Price, Scope
from streamflow.models.metered import MeteredModel
from streamflow.models.protocol import Limits
from streamflow.operations.connections import client_module
from streamflow.operations.egress import Resolve, system_addresses
from streamflow.settings import Settings
from streamflow.settings.models import LanguageModelSettings

_EXTRA = "models"
_PROBE_S = 60.0


class ModelAccess:
    """The language models of an installation. Belongs to one event loop; makes clients when they are first needed.
    `metrics` counts what metered models take."""

    def __init__(
        self, settings: Settings, *, resolve: Resolve = system_addresses, metrics: Metrics | None = None
    ) -> None:
        self._settings, self._resolve, self._metrics = settings, resolve, metrics
        self._endpoints: dict[str, Endpoint] = {}
        self._models: dict[str, LanguageModel] = {}
        self._found: dict[str, Capabilities] = {}
        self._probing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def name(self, wanted: str | None = None) -> str:
        """The name of the model that is meant: `wanted`, else the default, else the only one.

        Raises Rejected: `model_missing` if none is configured, `model_unknown` if `wanted` is not among them,
        `model_not_chosen` if there are several and no default."""
        models = self._settings.models
        known = ", ".join(sorted(models.available))
        if not models.available:
            text = "No language model is configured. Set models.available (docs/models.md), or work without one."
            raise Rejected("model_missing", text)
        if wanted is not None:
            if wanted not in models.available:
                raise Rejected("model_unknown", f"There is no language model {wanted[:100]}. Name one of {known}.")
            return wanted
        if models.default is not None:
            return models.default
        if len(models.available) > 1:
            raise Rejected(
                "model_not_chosen", f"There are several language models: {known}. Name one, or set a default."
            )
        return next(iter(models.available))

    def model(self, wanted: str | None = None) -> LanguageModel:
        """The language model `wanted` (see `name`). Raises Rejected as `name`, and OperationError: `extra_missing`,
        `url_refused`."""
        name = self.name(wanted)
        if name not in self._models:

            async def form() -> Form:
                chosen = self.configured(name).form
                return Form(chosen) if chosen is not None else (await self.capabilities(name)).form

            self._models[name] = LanguageModel(self._endpoint(name), form=form, place=self.place(name))
        return self._models[name]

    def metered(
        self,
        wanted: str | None,
        meter: Meter,
        account: Account,
        charged: Callable[[Charge], None] = lambda charge: None,
    ) -> MeteredModel:
        """As `model`, paid by `account` from the budgets of `meter`; `charged` is called with each charge."""
        name = self.name(wanted)
        return MeteredModel(
            self.model(name),
            meter,
            account,
            name=name,
            price=self.price(name),
            charged=charged,
            metrics=self._metrics,
        )

    async def capabilities(self, wanted: str | None = None, *, again: bool = False) -> Capabilities:
        """What the model is capable of, as the first probe found it; `again` probes once more. Raises as `model`, and
        OperationError as `Model.stream`."""
        name = self.name(wanted)
        kept = self.file(name)
        if not again and name in self._found:
            return self._found[name]
        async with self._probing[name]:  # a model that does not answer holds up no other
            if not again:
                found = self._found.get(name) or kept.read()
                if found is not None:
                    self._found[name] = found
                    return found
            endpoint = self._endpoint(name)
            found = await probe(endpoint, connect_s=self._settings.models.connect_s, timeout_s=_PROBE_S)
            self._found[name] = found
            kept.write(found)
            return found

    def configured(self, name: str) -> LanguageModelSettings:
        """The settings of the model `name`, which is known."""
        return self._settings.models.available[name]

    def place(self, name: str) -> str:
        """The model's endpoint as messages name it."""
        return f"the model {name} at {self.url(name)}"

    def url(self, name: str) -> str:
        """The base URL of the model's endpoint."""
        one = self.configured(name)
        if one.url is not None:
            return one.url
        return {
            "openai": "https://api.openai.com/v1",
            "anthropic": "https://api.anthropic.com",
            "bedrock": f"https://bedrock-runtime.{one.region}.amazonaws.com",
        }[one.provider]

    def limits(self, name: str) -> Limits:
        """What one answer of the model may take."""
        models, one = self._settings.models, self.configured(name)
        return Limits(
            max_output_tokens=one.max_output_tokens,
            temperature=one.temperature,
            connect_s=models.connect_s,
            first_token_s=models.first_token_s,
            between_tokens_s=models.between_tokens_s,
            whole_s=models.whole_s,
            attempts=models.attempts,
            answer_chars=models.answer_chars,
            calls=models.calls,
        )

    def price(self, name: str) -> Price | None:
        """The model's prices, or None where they are not configured."""
        price = self.configured(name).price
        if price.input is None or price.output is None:
            return None
        cached = price.input if price.cached_input is None else price.cached_input
        write = price.input if price.cache_write is None else price.cache_write
        return Price(
            input=Decimal(str(price.input)),
            output=Decimal(str(price.output)),
            cached_input=Decimal(str(cached)),
            cache_write=Decimal(str(write)),
        )

    def meter(self) -> Meter:
        """A meter with the budgets of the settings, on which nothing is spent."""
        budgets = self._settings.models.budgets
        return Meter(
            {
                scope: Budget(one.tokens, None if one.money is None else Decimal(str(one.money)))
                for scope in Scope
                if (one := getattr(budgets, scope.value))
            },
            currency=self._settings.models.currency,
        )

    def file(self, name: str) -> CapabilityFile:
        """Where what probes of the model found is kept."""
        one = self.configured(name)
        return CapabilityFile(
            self._settings.state_dir, provider=one.provider, url=self.url(name), model=one.model, key=one.key
        )

    async def close(self) -> None:
        """Closes connections."""
        endpoints, self._endpoints = self._endpoints, {}
        self._models.clear()
        for endpoint in endpoints.values():
            await endpoint.close()

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            self._endpoints[name] = self._made(name)
        return self._endpoints[name]

    def _made(self, name: str) -> Endpoint:
        one = self.configured(name)
        transport = client_module("streamflow.models.transport", _EXTRA)
        url = transport.endpoint_url(self.url(name), f"models.available.{name}.url")
        common = {"url": url, "model": one.model, "key": one.key, "place": self.place(name), "resolve": self._resolve}
        if one.provider == "openai":
            made: Endpoint = client_module("streamflow.models.openai_compatible", _EXTRA).OpenAICompatible(**common)
            return made
        region = one.region if one.provider == "bedrock" else None
        native: Endpoint = client_module("streamflow.models.anthropic_native", _EXTRA).AnthropicNative(
            **common, region=region
        )
        return native

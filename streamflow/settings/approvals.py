"""The section `approvals`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from streamflow.settings.kafka import Kafka
from streamflow.settings.section import SecretRef, Section

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]


class Environment(Section):
    """Where versions may be promoted to; the path of a settings file alone stands for `{settings: path}`."""

    settings: Path = Field(description="settings file of the environment: its name, topics, approvals")
    kafka: Kafka | None = Field(
        default=None,
        description="how to connect to that environment's cluster when promoting, instead of `kafka` of its settings "
        "file; default: `kafka` of that file, or this Kafka if the file names no broker",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_path(cls, value: Any) -> Any:
        return {"settings": value} if isinstance(value, str | Path) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "format": "path"}, whole]}


class Approvals(Section):
    """Signed approvals of definitions."""

    required: bool = Field(
        default=False,
        description="whether only versions with a valid approval are published, started and loaded by workers; the "
        "same for every process of an environment",
    )
    four_eyes: bool = Field(
        default=True,
        description="whether the person who approves must be neither an author nor the person who publishes or "
        "promotes",
    )
    trusted_keys: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]] = Field(
        default_factory=list,
        description="Ed25519 public keys in base64, whose approvals are accepted; several while keys are rotated",
    )
    signing_key: SecretRef | None = Field(
        default=None,
        description="reference to the Ed25519 private key (PEM, PKCS #8) that signs approvals; only processes in which "
        "people approve need it: env:NAME or file:/path",
    )
    environments: dict[EnvironmentName, Environment] = Field(
        default_factory=dict,
        description="environments that versions may be promoted to, by name: the settings file of each, and `kafka` "
        "for one with a cluster of its own",
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.required and not self.trusted_keys:
            raise ValueError("required needs trusted_keys: without one nothing could be loaded. Name a public key.")
        return self

"""The section `approvals`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from streamflow.settings.section import SecretRef, Section

EnvironmentName = Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]


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
    environments: dict[EnvironmentName, Path] = Field(
        default_factory=dict,
        description="settings files of the environments that versions may be promoted to, by name",
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.required and not self.trusted_keys:
            raise ValueError("required needs trusted_keys: without one nothing could be loaded. Name a public key.")
        return self

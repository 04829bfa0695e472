"""The section `access`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from streamflow.settings.section import SecretRef, Section


class OpenIdConnect(Section):
    """The OpenID Connect provider that people log in with."""

    issuer: str = Field(
        pattern=r"^https?://[^\s?#]+$",
        description="the provider's issuer URL, as in its configuration; https, unless it is on this machine",
    )
    client_id: str = Field(min_length=1, description="client id of this installation at the provider")
    client_secret: SecretRef | None = Field(
        default=None, description="reference to the client's secret; unset: a public client, protected by PKCE alone"
    )
    scopes: list[str] = Field(default=["openid", "profile"], description="scopes to request")
    name_claim: str = Field(
        default="preferred_username", description="claim of the ID token that names a new user, when they first log in"
    )
    groups_claim: str = Field(default="groups", description="claim of the ID token that lists the person's groups")
    create_users: bool = Field(
        default=True,
        description="whether unknown people become users when they log in; they have only the rights of their groups",
    )
    ca: Path | None = Field(
        default=None, description="PEM file of the certificate authorities that signed the provider's certificate"
    )


class Access(Section):
    """Access control: sessions and rate limits. Users, keys and grants are in the topic `access`."""

    signing_key: SecretRef | None = Field(
        default=None,
        description="reference to the key that signs the tokens of sessions, a random text of at least 32 characters, "
        "the same for all sidecars; unset: there are no sessions, only API keys and the sidecar's token",
    )
    signing_keys_before: list[SecretRef] = Field(
        default_factory=list, description="references to earlier signing keys, whose tokens are still accepted"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+$",
        description="address under which browsers reach the sidecar, such as https://flow.example.org; with https, "
        "session cookies are sent over TLS only",
    )
    token_minutes: int = Field(default=15, ge=1, le=60, description="minutes that an access token is valid")
    session_hours: int = Field(default=720, ge=1, description="hours after which a session ends in any case")
    session_idle_hours: int = Field(default=72, ge=1, description="hours after which an unused session ends")
    refresh_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=60,
        description="seconds in which a rotated refresh token is accepted once more, as its answer may be lost",
    )
    requests_per_minute: int = Field(
        default=6000, ge=1, description="requests of one user or API key in a minute; others get 429"
    )
    changes_per_minute: int = Field(
        default=120,
        ge=1,
        description="changes of users, grants, keys and views by one user in a minute; others get 429",
    )
    attempts_per_minute: int = Field(
        default=10, ge=1, description="failed log-ins of one user name, and of one address, in a minute; others get 429"
    )
    redis: SecretRef | None = Field(
        default=None,
        description="reference to the URL of a Redis in which all sidecars count requests together; unset: each "
        "process counts on its own",
    )
    oidc: OpenIdConnect | None = Field(default=None, description="OpenID Connect; unset: passwords and API keys only")

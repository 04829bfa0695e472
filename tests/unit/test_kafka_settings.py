"""Connection settings that do not fit together are refused when they are read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streamflow.errors import OperationError
from streamflow.kafka.embedded.broker import open_broker
from streamflow.settings import Kafka, Settings

SCRAM: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "flow",
    "sasl_password": "env:SECRET",
}
OAUTH: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://login.example.org/token",
    "oauth_client_id": "flow",
    "oauth_client_secret": "env:SECRET",
}
MUTUAL: dict[str, Any] = {"security_protocol": "SSL", "ssl_certificate": "/tls.crt", "ssl_key": "file:/tls.key"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        SCRAM,
        OAUTH,
        MUTUAL,
        SCRAM | MUTUAL | {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "oauth_token": "file:/token"},
        OAUTH | {"oauth_token_url": "http://127.0.0.1:8080/token"},
    ],
)
def test_what_belongs_together_is_taken(values: dict[str, Any]) -> None:
    Kafka(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"security_protocol": "SASL_SSL"}, "needs sasl_mechanism"),
        (SCRAM | {"sasl_password": None}, "needs sasl_password"),
        (SCRAM | {"security_protocol": "SSL"}, "sasl_mechanism, sasl_username, sasl_password would not be used"),
        ({"sasl_username": "flow"}, "sasl_username would not be used"),
        (SCRAM | {"oauth_client_id": "flow"}, "oauth_client_id would not be used"),
        (OAUTH | {"oauth_client_secret": None}, "needs oauth_client_secret"),
        (OAUTH | {"sasl_password": "env:SECRET"}, "sasl_password would not be used"),
        (OAUTH | {"oauth_token": "file:/token"}, "would not be used"),
        (OAUTH | {"oauth_token_url": "http://login.example.org/token"}, "oauth_token_url"),
        (MUTUAL | {"ssl_key": None}, "needs ssl_key"),
        (MUTUAL | {"ssl_certificate": None}, "needs ssl_certificate"),
        (MUTUAL | {"ssl_key": "-----BEGIN PRIVATE KEY-----"}, "ssl_key"),
        ({"ssl_ca": "/ca.crt"}, "ssl_ca would not be used"),
        (SCRAM | {"security_protocol": "SASL_PLAINTEXT", "ssl_ca": "/ca.crt"}, "ssl_ca would not be used"),
    ],
)
def test_a_setting_that_is_missing_or_would_not_be_used_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Kafka(**values)

    assert said in str(caught.value)


def test_a_kafka_of_its_own_is_not_started_for_settings_of_a_secured_one() -> None:
    settings = Settings(kafka=Kafka(**SCRAM))

    with pytest.raises(OperationError) as caught, open_broker(settings):
        pass

    assert caught.value.code == "broker_unset"
    assert "SASL_SSL" in caught.value.message

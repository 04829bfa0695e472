"""Why a broker does not let a client in, told from the errors of both clients."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaError, KafkaException

from streamflow.errors import OperationError
from streamflow.kafka.refusals import client_refusal, code_of, missing_right, refusal
from streamflow.settings import Kafka

SCRAM = Kafka(
    security_protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="flow",
    sasl_password="env:SECRET",
    ssl_ca=Path("/ca.crt"),
)


def unverified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def wrapped(cause: BaseException) -> aiokafka_errors.KafkaConnectionError:
    error = aiokafka_errors.KafkaConnectionError("Connection at k:1 closed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (unverified(10, "certificate has expired"), "tls_certificate_expired"),
        (unverified(9, "certificate is not yet valid"), "tls_certificate_expired"),
        (unverified(20, "unable to get local issuer certificate"), "tls_authority_unknown"),
        (unverified(19, "self-signed certificate in certificate chain"), "tls_authority_unknown"),
        (unverified(62, "Hostname mismatch"), "tls_host_differs"),
        (unverified(64, "IP address mismatch"), "tls_host_differs"),
        (tls("SSLV3_ALERT_BAD_CERTIFICATE"), "tls_certificate_refused"),
        (tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "tls_certificate_refused"),
        (wrapped(tls("SSLV3_ALERT_CERTIFICATE_UNKNOWN")), "tls_certificate_refused"),
        (tls("WRONG_VERSION_NUMBER"), "tls_not_spoken"),
        (tls("NO_PROTOCOLS_AVAILABLE"), "tls_failed"),
        (socket.gaierror(-2, "Name or service not known"), "broker_host_unknown"),
        (aiokafka_errors.SaslAuthenticationFailed("Authentication failed"), "sasl_refused"),
        (aiokafka_errors.UnsupportedSaslMechanismError("no SCRAM"), "sasl_mechanism_refused"),
        (OperationError("oauth_refused", "The server said no. Check it."), "oauth_refused"),
    ],
)
def test_a_refusal_has_a_code_and_says_what_to_do(error: Exception, code: str) -> None:
    found = refusal(error, SCRAM, "k:9093")

    assert found is not None
    assert found.code == code
    assert found.message.count(". ") >= 1
    assert "SECRET" not in found.message


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
        aiokafka_errors.KafkaConnectionError("Unable to bootstrap"),
        wrapped(ConnectionResetError(104, "reset")),
    ],
)
def test_a_broker_that_is_away_refuses_nobody(error: Exception) -> None:
    assert refusal(error, SCRAM, "k:9093") is None
    assert code_of(error) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "WRITE on topic orders"),
        (KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)), "READ on group flow"),
        (KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED), "WRITE on transactional id flow-1"),
        (aiokafka_errors.TopicAuthorizationFailedError({"orders"}), "WRITE on topic orders"),
        (aiokafka_errors.GroupAuthorizationFailedError("flow"), "READ on group flow"),
        (aiokafka_errors.TransactionalIdAuthorizationFailed("flow-1"), "WRITE on transactional id flow-1"),
    ],
)
def test_a_missing_right_is_named_with_its_resource(error: object, expected: str) -> None:
    found = missing_right(
        error, topic=("WRITE", "orders"), group=("READ", "flow"), transactional_id=("WRITE", "flow-1")
    )

    assert found is not None
    assert found.code == "right_missing"
    assert expected in found.message
    assert not found.retryable


@pytest.mark.parametrize("error", [KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), None, OSError(5, "io")])
def test_another_error_is_no_missing_right(error: object) -> None:
    assert missing_right(error, topic=("READ", "orders")) is None


def test_an_error_within_another_keeps_its_code() -> None:
    denied = aiokafka_errors.TopicAuthorizationFailedError({"orders"})

    assert code_of(wrapped(denied)) == "right_missing"
    assert code_of(OperationError("lane_cut", "It was cut. It is opened again.")) == "lane_cut"


def test_what_librdkafka_tells_of_a_connection_has_a_code() -> None:
    assert client_refusal(KafkaError(KafkaError._AUTHENTICATION)) == "sasl_refused"
    assert client_refusal(KafkaError(KafkaError._SSL)) == "tls_failed"
    assert client_refusal(KafkaError(KafkaError._TRANSPORT)) is None

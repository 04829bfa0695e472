"""Why a broker and this client do not come together, as errors with a code and a remedy: certificates, log-ins, rights.

aiokafka's exceptions and librdkafka's errors are distinguished here, and nowhere else. What is merely away (a
connection that is refused, a timeout) is no refusal.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence

from aiokafka import errors as aiokafka_errors
from confluent_kafka import KafkaError

from streamflow.errors import OperationError, StreamflowError
from streamflow.settings import Kafka

# OpenSSL's verdicts on a chain (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
# what OpenSSL says when the other end does not speak TLS
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING"})

_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}
_LOGIN = (aiokafka_errors.SaslAuthenticationFailed, aiokafka_errors.AuthenticationFailedError)


def refusal(error: BaseException, kafka: Kafka, place: str) -> OperationError | None:
    """What kept a connection to `place` (host:port) from being made; None if the broker is only away."""
    for cause in _causes(error):
        if isinstance(cause, OperationError):
            return cause
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, kafka, place)
        if isinstance(cause, socket.gaierror):
            return _refusal(
                "broker_host_unknown",
                f"The host of the broker {place} has no address ({cause.strerror}). Correct kafka.bootstrap_servers, "
                "or the address that the broker advertises.",
            )
        if isinstance(cause, _LOGIN):
            return _refusal(
                "sasl_refused",
                f"The broker {place} refused the log-in of {_who(kafka)} ({_said(cause)}). Correct {_fields(kafka)}, "
                "or add the user to Kafka.",
            )
        if isinstance(cause, aiokafka_errors.UnsupportedSaslMechanismError | aiokafka_errors.IllegalSaslStateError):
            return _refusal(
                "sasl_mechanism_refused",
                f"The broker {place} does not accept the log-in by {kafka.sasl_mechanism} ({_said(cause)}). Correct "
                "kafka.sasl_mechanism, or name another listener.",
            )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _tls(error: ssl.SSLError, kafka: Kafka, place: str) -> OperationError:
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
            return _refusal(
                "tls_certificate_expired",
                f"The certificate of the broker {place} is not valid now ({said}). Renew it, and check the clocks.",
            )
        if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
            return _refusal(
                "tls_host_differs",
                f"The certificate of the broker {place} is for another host ({said}). Name the broker as its "
                "certificate does, or have it issued for this name.",
            )
        where = f"the file {kafka.ssl_ca} of kafka.ssl_ca" if kafka.ssl_ca else "the system"
        return _refusal(
            "tls_authority_unknown",
            f"No certificate authority in {where} has signed the certificate of the broker {place} ({said}). Set "
            "kafka.ssl_ca to a file with the certificate of its authority.",
        )
    reason = error.reason or str(error)
    if "ALERT" in reason:
        alert = reason.partition("ALERT_")[2].lower().replace("_", " ")
        ours = "" if kafka.ssl_certificate else " This client shows none: set kafka.ssl_certificate and kafka.ssl_key."
        return _refusal(
            "tls_certificate_refused",
            f"The broker {place} refused this client's certificate ({alert}). Provide one "
            f"that its authorities have signed and that has not expired.{ours}",
        )
    if reason in _NO_TLS:
        return tls_not_spoken(kafka, place)
    return _refusal(
        "tls_failed",
        f"TLS with the broker {place} failed ({reason.lower().replace('_', ' ')}). Check its listener and its versions "
        "of TLS.",
    )


def tls_not_spoken(kafka: Kafka, place: str) -> OperationError:
    """We speak TLS, and the broker does not."""
    return _refusal(
        "tls_not_spoken",
        f"The broker {place} does not use TLS. Correct kafka.security_protocol ({kafka.security_protocol} now), or "
        "name another listener.",
    )


def sasl_expected(kafka: Kafka, place: str) -> OperationError:
    """The broker ended the connection although it is there: it wants another protocol."""
    if kafka.security_protocol.startswith("SASL_"):
        text = f"The broker {place} ended the connection during the log-in. Check its log and kafka.sasl_mechanism."
        return _refusal("sasl_refused", text)
    return _refusal(
        "sasl_expected",
        f"The broker {place} ended the connection of a client that does not authenticate. Set kafka.security_protocol "
        "to the protocol of its listener, and kafka.sasl_mechanism with user and password.",
    )


def tls_expected(kafka: Kafka, place: str) -> OperationError:
    """The broker speaks TLS, and we do not."""
    wanted = "SASL_SSL" if kafka.security_protocol == "SASL_PLAINTEXT" else "SSL or SASL_SSL"
    return _refusal(
        "tls_expected",
        f"The broker {place} uses TLS. Set kafka.security_protocol to {wanted} ({kafka.security_protocol} now).",
    )


def missing_right(error: object, **wanted: tuple[str, str]) -> OperationError | None:
    """That the broker denies us a right, if that is what `error` says: a KafkaError of librdkafka, an exception that
    carries one, or one of aiokafka. `wanted` is what was asked for by kind of resource, as an operation and a name:
    `topic=("WRITE", "orders")`, `group`, `transactional_id`, `cluster`."""
    kind = denied_kind(error)
    if kind is None:
        return None
    operation, name = wanted.get(kind.replace(" ", "_"), ("an operation", ""))
    return right_missing([f"{operation} on {kind} {name}".rstrip()])


def right_missing(lacking: Sequence[str], role: str | None = None) -> OperationError:
    """That this user lacks rights, such as `WRITE on topic orders`."""
    only = f" --role {role}" if role is not None else ""
    return OperationError(
        "right_missing",
        f"The broker denies this user {'; '.join(lacking)}. Grant it: `streamflow topics plan --acls{only}` shows all "
        f"that {'the role' if role else 'each role'} needs.",
        retryable=False,
    )


def code_of(error: BaseException) -> str | None:
    """The stable code of what has interrupted a client, where there is one: its own, or `right_missing`."""
    for cause in _causes(error):
        if isinstance(cause, StreamflowError):
            return cause.code
        if denied_kind(cause) is not None:
            return "right_missing"
    return None


def denied_kind(error: object) -> str | None:
    """The kind of resource that an error denies the right to: `topic`, `group`, `cluster` or `transactional id`."""
    if isinstance(error, KafkaError):
        return _DENIED.get(error.code())
    if isinstance(error, aiokafka_errors.BrokerResponseError):
        return _DENIED.get(error.errno)
    cause = error.args[0] if isinstance(error, Exception) and error.args else None
    return _DENIED.get(cause.code()) if isinstance(cause, KafkaError) else None


def client_refusal(error: KafkaError) -> str | None:
    """The code of what librdkafka reports about a connection; None for a broker that is only away. It does not
    distinguish certificates."""
    if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001
        return "sasl_refused"
    if error.code() == KafkaError._SSL:  # noqa: SLF001
        return "tls_failed"
    return None


def _who(kafka: Kafka) -> str:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return f"the client {kafka.oauth_client_id}" if kafka.oauth_client_id else f"the token in {kafka.oauth_token}"
    return f"the user {kafka.sasl_username}"


def _fields(kafka: Kafka) -> str:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return "the settings kafka.oauth_*"
    return "kafka.sasl_username and kafka.sasl_password"


def _said(error: BaseException) -> str:
    """The broker's own words; without aiokafka's number and name of the error."""
    first = error.args[0] if error.args else None
    return first.rstrip(".") if isinstance(first, str) and first else type(error).__name__


def _refusal(code: str, text: str) -> OperationError:
    return OperationError(code, text, retryable=False)


def away_at_start(error: Exception) -> OperationError:
    """What is reported when the broker goes away while a worker starts: its supervisor starts it again."""
    return OperationError(
        "broker_unreachable",
        f"expected the broker to answer while the worker starts but {error}. Check the broker and start the worker "
        "again.",
    )

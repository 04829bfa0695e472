"""A Kafka with TLS, log-ins and an authorizer that denies what nobody has allowed: one listener for each way in, and
one for each mistake.

`PLAINTEXT` is for tests that prepare something: who comes there is a super user. The authorizer writes every decision
to the broker's log, which `Decisions` reads.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import parse_qs

from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from joserfc import jwt
from joserfc.jwk import RSAKey

from streamflow.kafka.embedded.broker import EmbeddedBroker
from streamflow.kafka.embedded.jars import distribution
from streamflow.kafka.embedded.node import free_ports, keep_ports
from tests.servers.certificates import Authority

WAYS = ("scram", "mtls", "oauth", "expired", "stranger", "elsewhere")
_PROTOCOLS = {"scram": "SASL_SSL", "oauth": "SASL_SSL"}
_LOGIN = "org.apache.kafka.common.security.{} required"
_CLIENT_SECRET = "a secret of the token server's"
_ISSUER = "https://tokens.example"


class SecuredKafka:
    """`address(way)` is where each listener is; `open` that of super users. `authority` issues certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "certificates")
        self.token_server = TokenServer()
        self._addresses: dict[str, str] = {}
        self.broker: EmbeddedBroker

    @property
    def open(self) -> str:
        return self.broker.bootstrap_servers

    def address(self, way: str) -> str:
        return self._addresses[way]

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.open, "log_level": 0})

    def add_user(self, name: str, password: str) -> None:
        """A user of SCRAM, known to the broker when this returns."""
        wanted = UserScramCredentialUpsertion(
            name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
        )
        for future in self.admin.alter_user_scram_credentials([wanted]).values():
            future.result(10)

    def decisions(self, *, whole: bool = False) -> Decisions:
        """What the authorizer decides from now on, or has decided since the broker was made."""
        return Decisions(self.broker.log_file, whole=whole)

    @contextmanager
    def running(self) -> Iterator[SecuredKafka]:
        folder, authority = self.folder, self.authority
        stranger = Authority(folder / "stranger", "Unknown authority")
        keys = {way: authority.issue("broker").with_suffix(".pem") for way in ("scram", "mtls", "oauth")}
        keys["expired"] = authority.issue("expired", life=timedelta(days=-1)).with_suffix(".pem")
        keys["elsewhere"] = authority.issue("elsewhere", hosts=("kafka.example.org",)).with_suffix(".pem")
        keys["stranger"] = stranger.issue("stranger").with_suffix(".pem")
        plain = free_ports()
        data = folder / "broker"
        data.mkdir(parents=True, exist_ok=True)
        keep_ports(data / "ports.json", plain)
        self._addresses = {way: f"127.0.0.1:{port}" for way, port in zip(WAYS, _ports(len(WAYS)), strict=True)}
        listeners = ",".join(
            [f"PLAINTEXT://127.0.0.1:{plain.client}", *(f"{way.upper()}://{at}" for way, at in self._addresses.items())]
        )
        protocols = ",".join(f"{way.upper()}:{_PROTOCOLS.get(way, 'SSL')}" for way in WAYS)
        config = {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{plain.controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": f"CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,{protocols}",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "sasl.oauthbearer.jwks.endpoint.url": self.token_server.jwks(folder / "jwks.json"),
            "sasl.oauthbearer.expected.audience": "kafka",
            "sasl.oauthbearer.expected.issuer": _ISSUER,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": _LOGIN.format("scram.ScramLoginModule") + ";",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.sasl.jaas.config": _LOGIN.format("oauthbearer.OAuthBearerLoginModule")
            + ";",
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.mtls.ssl.truststore.type": "PEM",
            "listener.name.mtls.ssl.truststore.location": str(authority.certificate),
        }
        for way in WAYS:
            config[f"listener.name.{way}.ssl.keystore.type"] = "PEM"
            config[f"listener.name.{way}.ssl.keystore.location"] = str(keys[way])
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file://{folder / 'jwks.json'}"
        logging = folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        with ExitStack() as held:
            held.enter_context(self.token_server.running())
            held.enter_context(mock.patch.dict(os.environ, {"JDK_JAVA_OPTIONS": allowed}))
            held.enter_context(_logging_by(logging))
            self.broker = held.enter_context(EmbeddedBroker(data, config=config))
            yield self


_LOGGING = """status=ERROR
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c: %m%n
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
logger.authorizer.name=kafka.authorizer.logger
logger.authorizer.level=DEBUG
"""


@contextmanager
def _logging_by(file: Path) -> Iterator[None]:
    kafka = distribution()

    class Logged:
        def __init__(self, kafka: Any) -> None:
            self._kafka = kafka

        logging = str(file)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._kafka, name)

    with mock.patch("streamflow.kafka.embedded.broker.distribution", return_value=Logged(kafka)):
        yield


def _ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


class Decision(NamedTuple):
    """One decision of the authorizer about a principal."""

    user: str
    allowed: bool
    operation: str  # as an ACL names it
    resource: str  # `Topic:LITERAL:name`


_DECISION = re.compile(
    r"(?:INFO|DEBUG) kafka.authorizer.logger: Principal = User:(?P<user>\S+) is (?P<verdict>Allowed|Denied) "
    r"operation = (?P<operation>\w+) from host = \S+ on resource = (?P<resource>\S+) for request = \w+ "
    r"with resourceRefCount = \d+"
)


class Decisions:
    """What the authorizer has written since this was made, or in the `whole` log."""

    def __init__(self, log: Path, *, whole: bool = False) -> None:
        self._log = log
        self._begin = 0 if whole else log.stat().st_size

    def so_far(self) -> list[Decision]:
        with self._log.open("rb") as file:
            file.seek(self._begin)
            text = file.read().decode(errors="replace")
        return [
            Decision(one["user"], one["verdict"] == "Allowed", one["operation"], one["resource"])
            for one in _DECISION.finditer(text)
        ]


class TokenServer:
    """A server of OAuth tokens: each client gets one under its own name, if it knows the secret."""

    secret = _CLIENT_SECRET

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(2048, parameters={"kid": "one", "use": "sig", "alg": "RS256"})
        self.url = ""
        self.asked = 0

    def jwks(self, path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}))
        return f"file://{path}"

    def token(self, subject: str, life_s: int = 600, audience: str = "kafka") -> str:
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": audience,
            "sub": subject,
            "scope": "kafka",
            "iat": now,
            "exp": now + life_s,
        }
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key)

    @contextmanager
    def running(self) -> Iterator[None]:
        source = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                source.asked += 1
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                user, _, secret = base64.b64decode(self.headers["Authorization"].split()[1]).decode().partition(":")
                good = secret == source.secret.replace(" ", "+").replace("'", "%27") and form["grant_type"] == [
                    "client_credentials"
                ]
                said = {"access_token": source.token(user), "expires_in": 600} if good else {"error": "invalid_client"}
                body = json.dumps(said).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

"""A schema registry in memory that speaks Confluent's API over real HTTP on loopback. What it answers is held against a
real registry by tests/contract/test_schema_registry.py.

It can be away (connections are refused), refuse, or be slow; it counts what it is asked."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import avro.compatibility
import avro.schema

from tests.servers.process import free_port

_LEVELS = ("NONE", "BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE")


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class MemoryRegistry:
    """The registry; `url` is its API."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self._tls = tls
        self.asked: list[str] = []  # method and path of every request
        self.status = 0  # of every answer, if it is set
        self.answer: bytes | None = None  # instead of every answer, if it is set
        self.credentials: str | None = None  # `user:password`, or a token, that every request must carry
        self._schemas: dict[int, dict[str, Any]] = {}
        self._subjects: dict[str, dict[int, int]] = {}  # id by version
        self._levels: dict[str, str] = {"": "BACKWARD"}
        self._server: ThreadingHTTPServer | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Answers from now on."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = registry._answered(self.command, self.path, body, self.headers.get("authorization"))
                self.send_response(status)
                self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hung up, which some tests are about."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="registry", daemon=True).start()

    def stop(self) -> None:
        """Connections are refused from now on; what is registered stays."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def register(self, subject: str, schema: str, type: str = "AVRO", references: Any = ()) -> int:
        """Registers a schema by hand; its id."""
        body = {"schema": schema, "schemaType": type, "references": list(references)}
        return int(self._register(subject, body)["id"])

    # -- the API

    def _answered(self, method: str, path: str, body: Any, authorization: str | None) -> tuple[int, bytes]:
        self.asked.append(f"{method} {path}")
        if self.answer is not None:
            return self.status or 200, self.answer
        try:
            if self.status:
                raise Refused(self.status, self.status, "as it was told")
            if self.credentials is not None:
                basic = base64.b64encode(self.credentials.encode()).decode()
                if authorization not in (f"Basic {basic}", f"Bearer {self.credentials}"):
                    raise Refused(401, 40101, "Unauthorized")
            with self._lock:
                return 200, json.dumps(self._call(method, path, body)).encode()
        except Refused as refused:
            return refused.status, json.dumps({"error_code": refused.code, "message": refused.message}).encode()

    def _call(self, method: str, path: str, body: Any) -> Any:
        parts = urlsplit(path)
        for verb, pattern, answer in self._routes():
            if verb == method and (found := re.fullmatch(pattern, parts.path)):
                return answer(*map(unquote, found.groups()), body=body)
        raise Refused(404, 404, "HTTP 404 Not Found")

    def _routes(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        name = "([^/]+)"
        return (
            ("GET", "/schemas/types", lambda **_: ["AVRO", "JSON", "PROTOBUF"]),
            ("GET", f"/schemas/ids/{name}", self._by_id),
            ("GET", "/subjects", lambda **_: list(self._subjects)),
            ("GET", f"/subjects/{name}/versions", lambda subject, **_: list(self._versions(subject))),
            ("GET", f"/subjects/{name}/versions/{name}", self._version),
            ("POST", f"/subjects/{name}/versions", lambda subject, body, **_: self._register(subject, body)),
            ("POST", f"/compatibility/subjects/{name}/versions/{name}", self._compatible),
            ("PUT", "/config", lambda body, **_: self._configure("", body)),
            ("GET", "/config", lambda **_: {"compatibilityLevel": self._levels[""]}),
            ("PUT", f"/config/{name}", lambda subject, body, **_: self._configure(subject, body)),
        )

    def _by_id(self, number: str, **_: Any) -> Any:
        found = self._schemas.get(int(number))
        if found is None:
            raise Refused(404, 40403, "Schema not found")
        return _shown(found)

    def _versions(self, subject: str) -> dict[int, int]:
        if subject not in self._subjects:
            raise Refused(404, 40401, f"Subject '{subject}' not found.")
        return self._subjects[subject]

    def _version(self, subject: str, version: str, **_: Any) -> Any:
        versions = self._versions(subject)
        number = max(versions) if version == "latest" else int(version)
        if number not in versions:
            raise Refused(404, 40402, f"Version {number} not found.")
        schema_id = versions[number]
        return {"subject": subject, "version": number, "id": schema_id, **_shown(self._schemas[schema_id])}

    def _register(self, subject: str, body: Any) -> Any:
        kept = {"schema": body["schema"], "schemaType": body.get("schemaType") or "AVRO"}
        kept["references"] = body.get("references") or []
        schema_id = next((number for number, schema in self._schemas.items() if schema == kept), None)
        versions = self._subjects.setdefault(subject, {})
        if schema_id is not None and schema_id in versions.values():
            return {"id": schema_id}
        level = self._levels.get(subject, self._levels[""])
        against = list(versions.values())[0 if level.endswith("TRANSITIVE") else -1 :]
        if not all(_fits(level, kept, self._schemas[before]) for before in against):
            raise Refused(409, 409, "Schema being registered is incompatible with an earlier schema")
        schema_id = schema_id or len(self._schemas) + 1
        self._schemas[schema_id] = kept
        versions[max(versions, default=0) + 1] = schema_id
        return {"id": schema_id}

    def _compatible(self, subject: str, version: str, body: Any, **_: Any) -> Any:
        level = self._levels.get(subject, self._levels[""])
        kept = {"schema": body["schema"], "schemaType": body.get("schemaType") or "AVRO"}
        return {"is_compatible": _fits(level, kept, self._schemas[self._version(subject, version)["id"]])}

    def _configure(self, subject: str, body: Any) -> Any:
        if body["compatibility"] not in _LEVELS:
            raise Refused(422, 42203, "Invalid compatibility level")
        self._levels[subject] = body["compatibility"]
        return body


def _shown(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as it is answered: its type only where it is not Avro."""
    return {name: value for name, value in schema.items() if value and (name, value) != ("schemaType", "AVRO")}


def _fits(level: str, new: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether the level allows `new` after `old`. Avro alone is compared."""
    if new["schemaType"] != old["schemaType"]:
        return level == "NONE"
    if level == "NONE" or new["schemaType"] != "AVRO":
        return True
    ok = True
    if "FORWARD" not in level:
        ok = _reads(new["schema"], old["schema"])
    if "BACKWARD" not in level:
        ok = ok and _reads(old["schema"], new["schema"])
    return ok


def _reads(reader: str, writer: str) -> bool:
    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    return bool(result.compatibility is avro.compatibility.SchemaCompatibilityType.compatible)


@contextmanager
def memory_registry(tls: ssl.SSLContext | None = None) -> Iterator[MemoryRegistry]:
    """A registry that runs until the block ends."""
    registry = MemoryRegistry(tls)
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()

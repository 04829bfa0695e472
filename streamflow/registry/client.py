"""What Streamflow asks a schema registry, by Confluent's client. Every call blocks; none is tried twice here."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from streamflow.errors import OperationError
from streamflow.registry.registered import SCHEMA_TYPES, RegisteredSchema
from streamflow.secrets import resolve_secret
from streamflow.settings import Registry as Settings

T = TypeVar("T")

_MOST_REFERENCES = 200
_NO_SCHEMA, _NO_SUBJECT, _NO_VERSION = 40403, 40401, 40402  # error codes of the API
_REFUSED = (401, 403)  # HTTP
_NOT_FOUND, _CONFLICT = 404, 409


def registry_client(settings: Settings) -> Registry:
    """A client of the registry that is set. Raises OperationError: `registry_unset`; `extra_missing`; and as
    `Registry`."""
    if settings.url is None:
        raise OperationError(
            "registry_unset", "No schema registry is set. Set registry.url in the settings.", retryable=False
        )
    return Registry(settings)


class Registry:
    """One registry. Raises OperationError: `extra_missing`, `secret_missing`, `registry_unusable` for TLS files that
    cannot be used.

    Each method raises OperationError: `registry_unavailable` when it is away, or answers what is no answer of a
    registry; `registry_refused` for credentials that it does not take. Both may be over the next time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._client = self._connected()

    def schema(self, schema_id: int) -> RegisteredSchema:
        """The schema with this id. Raises OperationError (`schema_unknown`, `schema_unusable`) when there is none, or
        one of a type that we do not know."""

        def ask(client: Any) -> RegisteredSchema:
            return _registered(client, client.get_schema(schema_id), schema_id)

        return self._ask(ask, f"the schema {schema_id}")

    def subjects(self) -> list[str]:
        """All subjects, in alphabetical order."""
        return sorted(self._ask(lambda client: list(client.get_subjects()), "the subjects"))

    def version(self, subject: str, version: int | None = None) -> RegisteredSchema:
        """The schema of this subject in this version; None: the latest. Raises OperationError (`subject_unknown`,
        `schema_unusable`)."""

        def ask(client: Any) -> RegisteredSchema:
            found = client.get_version(subject, "latest" if version is None else version)
            return _registered(client, found.schema, found.schema_id, subject=subject, version=found.version)

        return self._ask(ask, f"the subject {subject}")

    def is_compatible(self, subject: str, version: int, with_version: int) -> bool:
        """Whether the registry holds `version` of a subject to be compatible with `with_version` of it, at the level
        that is set for the subject."""

        def ask(client: Any) -> bool:
            schema = client.get_version(subject, version).schema
            client.clear_caches()
            return bool(client.test_compatibility(subject, schema, with_version))

        return self._ask(ask, f"the subject {subject}")

    def register(self, subject: str, text: str) -> int:
        """The id of the Avro schema `text` under this subject, which becomes its latest version unless the subject has
        it. Raises OperationError (`schema_incompatible`) when the registry refuses it beside the earlier versions."""

        def ask(client: Any) -> int:
            from confluent_kafka.schema_registry import Schema
            from confluent_kafka.schema_registry.error import SchemaRegistryError

            try:
                return int(client.register_schema(subject, Schema(text, "AVRO")))
            except SchemaRegistryError as error:
                if error.http_status_code != _CONFLICT:
                    raise
                raise OperationError(
                    "schema_incompatible",
                    f"The schema registry does not accept the schema of this release as the next version of {subject}. "
                    "Lower the compatibility level of the subject, or delete what others registered there.",
                ) from error

        return self._ask(ask, f"the subject {subject}")

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            self._client.close()

    def _ask(self, question: Callable[[Any], T], what: str) -> T:
        """The answer to `question`. A client that was refused is replaced: its secrets may have changed."""
        import httpx2
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        with self._lock:
            client = self._client
            try:
                client.clear_caches()
                return question(client)
            except SchemaRegistryError as error:
                if error.http_status_code in _REFUSED:
                    self._client = self._connected()
                    client.close()
                raise _answered(error, self._settings.url or "", what) from error
            except httpx2.HTTPError as error:
                raise _away(self._settings.url or "", what, str(error) or type(error).__name__) from error
            except (ValueError, TypeError, KeyError, AttributeError) as error:  # no answer of a registry
                raise _away(self._settings.url or "", what, "its answer is not that of a registry") from error

    def _connected(self) -> Any:
        settings = self._settings
        try:
            module = importlib.import_module("confluent_kafka.schema_registry")
            importlib.import_module("fastavro")
        except ImportError as error:
            raise OperationError(
                "extra_missing",
                f"registry.url is set, but {error.name} cannot be imported. Install the "
                "wheel with the extra schemas, as README.md shows under extras.",
                retryable=False,
            ) from error
        options: dict[str, Any] = {"url": settings.url, "timeout": settings.timeout_s, "max.retries": 0}
        if settings.username is not None and settings.password is not None:
            options["basic.auth.user.info"] = f"{settings.username}:{resolve_secret(settings.password)}"
        if settings.token is not None:
            options |= {
                "bearer.auth.credentials.source": "STATIC_TOKEN",
                "bearer.auth.token": resolve_secret(settings.token),
                "bearer.auth.logical.cluster": settings.cluster,
            }
        if settings.ssl_ca is not None:
            options["ssl.ca.location"] = str(settings.ssl_ca)
        with _key_file(settings) as key:
            if key is not None:
                options |= {"ssl.certificate.location": str(settings.ssl_certificate), "ssl.key.location": key}
                # without a password OpenSSL would ask for one at the terminal
                secret = settings.ssl_key_password
                options["ssl.key.password"] = resolve_secret(secret) if secret is not None else ""
            try:
                return module.SchemaRegistryClient(options)
            except (OSError, ValueError) as error:
                why = (getattr(error, "strerror", None) or type(error).__name__).splitlines()[0]
                raise OperationError(
                    "registry_unusable",
                    f"The certificates or keys of the section registry cannot be used ({why}). Provide them in PEM, "
                    "readable by this user.",
                    retryable=False,
                ) from error


@contextlib.contextmanager
def _key_file(settings: Settings) -> Iterator[str | None]:
    """The file of the private key, while the client reads it; None without mutual TLS."""
    if settings.ssl_key is None:
        yield None
    elif settings.ssl_key.startswith("file:"):
        yield settings.ssl_key.removeprefix("file:")
    else:
        with tempfile.NamedTemporaryFile(mode="w", suffix=".pem") as file:  # readable by this user alone
            file.write(resolve_secret(settings.ssl_key))
            file.flush()
            yield file.name


def _registered(client: Any, found: Any, schema_id: int, *, subject: str = "", version: int = 0) -> RegisteredSchema:
    if found.schema_type not in SCHEMA_TYPES:
        raise OperationError(
            "schema_unusable",
            f"The schema {schema_id} has the type {str(found.schema_type)[:40]!r}. Use Avro, JSON Schema or Protobuf.",
            retryable=False,
        )
    if not isinstance(found.schema_str, str):
        raise ValueError("a schema without a text")
    references: dict[str, str] = {}
    _resolve(client, found, references, set(), schema_id)
    return RegisteredSchema(
        id=schema_id,
        type=found.schema_type,
        text=found.schema_str,
        references=references,
        subject=subject,
        version=version,
    )


def _resolve(client: Any, schema: Any, found: dict[str, str], seen: set[tuple[str, int]], schema_id: int) -> None:
    """Adds the schemas that `schema` builds on to `found`, each after those that it builds on itself."""
    for reference in schema.references or ():
        place = (reference.subject, reference.version)
        if reference.name in found or place in seen:
            continue
        seen.add(place)
        if len(seen) > _MOST_REFERENCES:
            raise OperationError(
                "schema_unusable",
                f"The schema {schema_id} builds on more than {_MOST_REFERENCES} others. Use fewer.",
                retryable=False,
            )
        part = client.get_version(reference.subject, reference.version, deleted=True).schema
        _resolve(client, part, found, seen, schema_id)
        found[reference.name] = part.schema_str


def _answered(error: Any, url: str, what: str) -> OperationError:
    if error.http_status_code == _NOT_FOUND and error.error_code == _NO_SCHEMA:
        return OperationError(
            "schema_unknown",
            f"The schema registry does not have {what}. Register it there, or correct the sender's registry.",
            retryable=False,
        )
    if error.http_status_code == _NOT_FOUND and error.error_code in (_NO_SUBJECT, _NO_VERSION):
        return OperationError(
            "subject_unknown",
            f"The schema registry does not have {what}, or not in this version. See `streamflow catalog subjects`.",
            retryable=False,
        )
    if error.http_status_code in _REFUSED:
        return OperationError(
            "registry_refused",
            f"The schema registry {url} refused to say {what} (HTTP {error.http_status_code}). Correct the user, "
            "password or token of the section registry, or its rights there.",
        )
    return _away(url, what, f"HTTP {error.http_status_code}")


def _away(url: str, what: str, why: str) -> OperationError:
    return OperationError(
        "registry_unavailable",
        f"The schema registry {url} does not say {what} ({why[:200]}). Start it, or correct registry.url.",
    )

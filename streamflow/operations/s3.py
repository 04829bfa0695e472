"""A bucket of an S3 server, by obstore. Its client tries nothing again: that is the step's `retry`."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from streamflow.errors import OperationError, with_remedy
from streamflow.operations.bucket import Body, Found, bucket_missing, key_refused, object_missing, object_too_large
from streamflow.operations.connections import client_module, invalid
from streamflow.settings import Connection

if TYPE_CHECKING:
    from obstore.store import S3Store

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_TIMEOUT = dt.timedelta(seconds=60)  # of one request; the attempt's own limit is usually shorter
_CONNECT = dt.timedelta(seconds=5)

# What is asked of an existing object: its mark of the content, and who wrote it (for people). In the object's own
# metadata.
_SHA256 = "streamflow-sha256"
_IDEMPOTENCY_KEY = "streamflow-idempotency-key"

# The server's words for it: ours, whether another attempt may help, and what to do.
_CODES: dict[str, tuple[str, bool, str]] = {
    "InvalidAccessKeyId": ("credentials_refused", False, "correct the connection's user"),
    "XAdminUserNotFound": ("credentials_refused", False, "correct the connection's user"),
    "SignatureDoesNotMatch": ("credentials_refused", False, "correct the connection's password"),
    "ExpiredToken": ("credentials_refused", False, "renew it"),
    "InvalidToken": ("credentials_refused", False, "correct it"),
    "RequestTimeTooSkewed": ("credentials_refused", False, "set the worker's clock"),
    "AuthorizationHeaderMalformed": ("connection_invalid", False, "set its option region to the bucket's"),
    "PermanentRedirect": ("connection_invalid", False, "set its url or option region to the bucket's"),
    "AccessDenied": ("access_denied", False, "grant the connection's user what is missing"),
    "KeyTooLongError": ("key_refused", False, "choose a shorter key"),
    "KeyTooLong": ("key_refused", False, "choose a shorter key"),
    "XMinioInvalidObjectName": ("key_refused", False, "choose another key"),
    "ObjectParentIsFile": ("key_refused", False, "choose another key"),
    "ExistingObjectIsDirectory": ("key_refused", False, "choose another key"),
    "EntityTooLarge": ("object_too_large", False, "make it smaller"),
    "ConditionalRequestConflict": ("store_conflict", True, "try again"),
    "OperationAborted": ("store_conflict", True, "try again"),
    "SlowDown": ("store_unavailable", True, "try again later"),
    "RequestTimeout": ("store_unavailable", True, "try again"),
}


class S3Bucket:
    """One bucket of the server at the connection's url, with its user as access key and its password as secret key."""

    def __init__(self, name: str, connection: Connection, password: str | None, bucket: str) -> None:
        client_module("obstore", "objects")
        from obstore.store import S3Store

        hosted = connection.options.get("virtual_hosted", "false")
        if hosted not in ("true", "false"):
            raise invalid(name, "true or false as its option virtual_hosted", f"it is {hosted!r}")
        if not connection.url.startswith(("http://", "https://")):
            raise invalid(name, "a url that begins with http:// or https://", "it begins otherwise")
        credentials: dict[str, Any] = {"access_key_id": connection.user or "", "secret_access_key": password or ""}
        if connection.user is None:
            credentials = {"skip_signature": True}
        self._connection = name
        self._bucket = bucket
        self._url = connection.url.rstrip("/")
        self._store: S3Store = S3Store(
            bucket,
            endpoint=self._url,
            region=connection.options.get("region", "us-east-1"),
            virtual_hosted_style_request=hosted == "true",
            client_options={"allow_http": True, "timeout": _TIMEOUT, "connect_timeout": _CONNECT},
            retry_config={"max_retries": 0, "retry_timeout": _TIMEOUT},
            **credentials,
        )

    async def create(self, key: str, body: Body) -> str | None:
        """Writes the object if there is none under `key`: its etag, or None if there is one."""
        return await self._put(key, body, new=True)

    async def replace(self, key: str, body: Body) -> str:
        """Writes the object, whatever is there: its etag."""
        etag = await self._put(key, body, new=False)
        assert etag is not None
        return etag

    async def find(self, key: str) -> Found | None:
        """What is under `key`, or None."""
        import obstore

        try:
            return _found(await obstore.get_async(self._store, key, options={"head": True}))
        except FileNotFoundError:
            return None  # an answer to HEAD has no body that would tell a missing bucket
        except Exception as error:
            raise self._error(error, key) from error

    async def read(self, key: str, most: int) -> tuple[bytes, Found]:
        """The content under `key`. Raises OperationError."""
        import obstore

        try:
            got = await obstore.get_async(self._store, key)
            found = _found(got)
            if found.size > most:
                raise object_too_large(key, found.size, most)
            return bytes(await got.bytes_async()), found
        except OperationError:
            raise
        except Exception as error:
            raise self._error(error, key) from error

    def url(self, key: str) -> str:
        """The object's address at the server, bucket first."""
        return f"{self._url}/{self._bucket}/{quote(key)}"

    async def close(self) -> None:
        """The client closes its connections when they have been idle for a while."""

    async def _put(self, key: str, body: Body, *, new: bool) -> str | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        attributes = {"Content-Type": body.content_type, _SHA256: body.sha256, _IDEMPOTENCY_KEY: body.idempotency_key}
        try:
            put = await obstore.put_async(
                self._store,
                key,
                body.content,
                mode="create" if new else "overwrite",
                attributes=attributes,
                use_multipart=False,
            )
        except AlreadyExistsError as error:
            if _code(error) in ("PreconditionFailed", ""):
                return None
            raise self._error(error, key) from error
        except Exception as error:
            raise self._error(error, key) from error
        return put["e_tag"] or ""

    def _error(self, error: Exception, key: str) -> OperationError:
        """`error` of obstore as ours. It knows the server's answer by its text only."""
        code, status = _code(error), int(found[1]) if (found := _STATUS.search(str(error))) else 0
        if code == "NoSuchBucket":
            return bucket_missing(self._bucket, self._connection)
        if code in _CODES:
            ours, retryable, remedy = _CODES[code]
            return self._refusal(ours, f"it said {code}", remedy, retryable=retryable)
        if isinstance(error, FileNotFoundError):
            return object_missing(key)
        if isinstance(error, ValueError):
            return key_refused(key, "the client refuses it")
        said = code or (f"it answered {status}" if status else "it did not answer")
        if status in (401, 403):
            return self._refusal(
                "access_denied", said, "check the connection's user, password and rights", retryable=False
            )
        if 300 <= status < 400 or "redirect without LOCATION" in str(error):
            return self._refusal(
                "connection_invalid",
                "it sent us elsewhere",
                "set the connection's url or option region to the bucket's",
                retryable=False,
            )
        if 400 <= status < 500 and status not in (408, 409, 425, 429):
            return self._refusal("store_refused", said, "look the code up in the store's manual", retryable=False)
        if status == 501:
            return self._refusal(
                "store_refused", said, "use a store that knows conditional writes (If-None-Match)", retryable=False
            )
        return self._refusal("store_unavailable", said, "try again when it is well", retryable=True)

    def _refusal(self, code: str, said: str, remedy: str, *, retryable: bool) -> OperationError:
        message = with_remedy(f"expected the object store {self._connection} to do this but {said}", remedy)
        return OperationError(code, message, retryable=retryable, connection=self._connection)


def _code(error: Exception) -> str:
    return found[1] if (found := _CODE.search(str(error))) else ""


def _found(got: Any) -> Found:
    attributes = got.attributes
    return Found(
        got.meta["size"],
        got.meta["e_tag"] or "",
        attributes.get(_SHA256),
        attributes.get("Content-Type", "application/octet-stream"),
    )

"""Secrets are references in settings and records, and are resolved where they are used. A message names the reference,
never the value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from streamflow.errors import OperationError

REFERENCE = r"(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)"


def resolve_secret(reference: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret that `env:NAME` or `file:/path` refers to; a file's last line end is dropped.

    Raises OperationError (`secret_missing`) if it is not there, or if `reference` is none; what is no reference may be
    a secret and is not repeated."""
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        if place not in environ:
            expected = f"expected a secret in the environment variable {place}"
            raise OperationError("secret_missing", f"{expected} but it is not set; do set it", retryable=False)
        return environ[place]
    if kind == "file" and place:
        try:
            return Path(place).read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise OperationError(
                "secret_missing", f"expected a secret in the file {place} but {said}; do provide it", retryable=False
            ) from error
    text = (
        "expected a reference to a secret, env:NAME or file:/path, but found something else; do name where the "
        "secret is"
    )
    raise OperationError("secret_missing", text, retryable=False)

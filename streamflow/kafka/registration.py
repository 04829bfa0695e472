"""When the registration of a plugin is written, and when it would take the name of another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamflow.errors import Rejected


def is_registration_new(
    name: str, known: Mapping[str, Any] | None, registration: Mapping[str, Any], *, replace: bool
) -> bool:
    """Whether a registration is to be written; False: the same is `known`. Raises Rejected (`operation_registered`)
    if another one is known and not to be replaced."""
    if known is not None and known != registration and not replace:
        raise Rejected(
            "operation_registered",
            f"Another plugin is registered as {name}: its contract or its address differs. Choose another name, or "
            "replace it: `operations register --replace`, or `POST /api/v1/operations?replace=true`.",
        )
    return known != registration

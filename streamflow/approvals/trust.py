"""Which approvals a process accepts: those of its environment, signed by a key that its settings name. Nothing
that is read from Kafka decides about that."""

from __future__ import annotations

from collections.abc import Iterable

from streamflow.approvals.approval import Approval, Refusal
from streamflow.approvals.signing import is_signed, key_id, public_key
from streamflow.settings import Settings

_MOST_KNOWN = 10_000


class Trust:
    """Accepts approvals for `environment` by the keys `trusted`, given as in the settings.

    Raises OperationError (`approval_key_invalid`)."""

    def __init__(self, environment: str, trusted: Iterable[str]) -> None:
        self._environment = environment
        self._keys = {key_id(key): key for key in map(public_key, trusted)}
        self._verified: dict[Approval, bool] = {}

    def refusal(self, approval: Approval | None, *, name: str, version: str, sha256: str) -> Refusal | None:
        """Why `approval` is none of the content with `sha256` as `name@version` here; None if it is one. A signature is
        verified once."""
        if approval is None:
            return "approval_missing"
        wanted = (name, version, sha256, self._environment)
        if (approval.name, approval.version, approval.sha256, approval.environment) != wanted:
            return "approval_mismatch"
        return None if self._is_signed(approval) else "approval_invalid"

    def _is_signed(self, approval: Approval) -> bool:
        found = self._verified.get(approval)
        if found is None:
            key = self._keys.get(approval.key)
            found = key is not None and is_signed(approval, key)
            if len(self._verified) >= _MOST_KNOWN:
                self._verified.clear()
            self._verified[approval] = found
        return found


def trust_of(settings: Settings) -> Trust:
    """What these settings accept. Raises OperationError (`approval_key_invalid`)."""
    return Trust(settings.environment, settings.approvals.trusted_keys)

"""Whether a process counts approved versions only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamflow.settings import Settings

if TYPE_CHECKING:
    from streamflow.approvals.trust import Trust


def required_trust(settings: Settings) -> Trust | None:
    """What these settings accept where they require approvals; else None: everything that is published counts.

    Raises OperationError (`approval_key_invalid`)."""
    if not settings.approvals.required:
        return None
    from streamflow.approvals.trust import trust_of  # with cryptography: only for those who need it

    return trust_of(settings)

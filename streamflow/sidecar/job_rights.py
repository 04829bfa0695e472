"""Whether who asked for a job still has the rights that it needs, when a run of it has its turn."""

from __future__ import annotations

from collections.abc import Callable

from streamflow.access.accounting import Access
from streamflow.access.keys import require_enabled
from streamflow.access.rights import Right
from streamflow.errors import Rejected
from streamflow.ops.jobs import Job, Target

Require = Callable[[Job, Target], None]
"""Raises Rejected (`right_missing`) unless the owner of the job has its rights for the run now, and OperationError when
that is not known."""


def owner_rights(access: Access) -> Require:
    """Asks what the directory says now. Jobs of the sidecar's token, and of people of this machine, have no owner in
    it: they continue."""

    def require(job: Job, target: Target) -> None:
        if not job.user:
            return
        directory = access.directory
        try:
            owner = require_enabled(directory.user(job.user))
        except Rejected as error:
            raise Rejected(
                "right_missing",
                f"{job.who}, who started this job, is disabled or was removed. Start a job for the remaining runs.",
                right=Right.OPERATE_RUNS.value,
            ) from error
        principal = directory.principal(owner, groups=job.groups, via="job")
        for right in (Right.START_JOBS, Right.OPERATE_RUNS):
            for definition in (target.definition,) if target.definition else job.definitions:
                principal.require(right, definition)

    return require

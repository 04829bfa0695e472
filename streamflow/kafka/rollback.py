"""Moving the starts of a definition back to a version that was published before."""

from __future__ import annotations

from dataclasses import dataclass

from streamflow.errors import Rejected
from streamflow.kafka.definitions import Snapshot
from streamflow.kafka.log_writing import Records, encoded, write
from streamflow.kafka.unknown_names import unknown_version
from streamflow.settings import Settings


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The result of a rollback: `version` starts use now, and `before` until now. `already`: it was so before."""

    name: str
    version: str
    before: str | None
    already: bool


def roll_back(settings: Settings, *, name: str, version: str | None = None) -> RolledBack:
    """Has the starts of `name` use `version` again, or else the one that was published last before the one that they
    use; runs continue with what they began with. Nothing is retired, so it may be moved forward in the same way.

    Raises Rejected (`version_unknown`, `version_retired`, `definition_unapproved`, `nothing_before`) or
    OperationError."""
    done: list[RolledBack] = []

    def records(log: Snapshot) -> Records:
        target, before = target_of(log, name, version)
        done[:] = [RolledBack(name, target, before, already=target == before)]
        if target == before:
            return {}
        return {f"name/{name}": encoded({"version": target, "sha": log.versions[name, target].sha})}

    write(settings, records)
    return done[0]


def target_of(log: Snapshot, name: str, version: str | None) -> tuple[str, str | None]:
    """The version that starts are to use, and the one that they use. Raises Rejected (see `roll_back`)."""
    pointer = log.names.get(name)
    before = pointer.version if pointer is not None else None
    target = version if version is not None else log.newest(name, before=before)
    if target is None or (name, target) not in log.versions:
        if version is None and log.newest(name) is not None:
            raise Rejected(
                "nothing_before",
                f"No version of {name} was published before {before or 'this'}, or all of them are retired. Name the "
                "version that new runs should use.",
            )
        raise unknown_version(log, name, version or "")
    if log.versions[name, target].retired:
        raise Rejected(
            "version_retired",
            f"expected a version that is in use but {name}@{target} is retired. Choose another one.",
        )
    if (refusal := log.refusal(name, target)) is not None:
        raise Rejected(
            "definition_unapproved",
            f"{name}@{target} has no valid approval ({refusal}), and one is required here. Choose an approved one.",
        )
    return target, before

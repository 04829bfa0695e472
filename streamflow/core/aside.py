"""What cannot be decided: records that are no commands, and errors of a decision. Which errors are about the partition,
and why a command is put aside for the others."""

from __future__ import annotations

from streamflow.core.reading import source_of
from streamflow.engine.commands import Command, DefinitionRef, Deliver
from streamflow.engine.decide import undecidable
from streamflow.engine.outcome import Decision, UnapprovedContent, UnusableContent
from streamflow.engine.state import PartitionState
from streamflow.errors import EngineFault, OperationError
from streamflow.wire.codec import DecodeError
from streamflow.wire.decoding import Record


def aside_verdict(error: Exception, command: Command | None, offset: int, failed_at: int | None) -> tuple[str, str]:
    """Reason and message for putting the command at `offset` aside, which could not be decided because of `error`.
    Raises MemoryError for a lack of memory, unless the command at `failed_at` has failed for it before."""
    # a delivery is known by its source record, so only the event itself can come again
    again = "send the event again" if isinstance(command, Deliver) else "replay this record"
    if is_out_of_memory(error):
        if failed_at != offset:
            raise MemoryError(f"no memory to decide command {offset}") from error
        reason, cause = "out_of_memory", "needs more memory than this worker has"
        remedy = f"Send smaller data, or correct the definition's expressions, and {again}."
    elif isinstance(error, UnusableContent):
        reason, cause = "version_unreadable", f"needs a published content that cannot be used ({error})"
        remedy = f"Publish a new version, and {again}."
    elif isinstance(error, UnapprovedContent):
        reason, cause = "definition_unapproved", f"needs a published content without a valid approval ({error})"
        remedy = f"Approve it, publish it with its approval, and {again}."
    else:
        reason, cause = "decision_failed", f"made the engine fail with {type(error).__name__}"
        remedy = f"Report this, and {again} with a version that corrects it."
    return reason, f"Deciding this command {cause}. {remedy}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a lack of memory, also as C++ libraries report it."""
    return isinstance(error, MemoryError) or "bad_alloc" in str(error)


def stops_partition(error: Exception) -> bool:
    """Whether `error` is about the partition, its disk or its broker, and not about one command."""
    return isinstance(error, EngineFault | OperationError) and not isinstance(error, DecodeError)


def undecidable_record(
    own: PartitionState, record: Record, reason: str, message: str, command: Command | None = None
) -> Decision:
    """The decision on a record on which nothing can be decided; `command` is what is in it, if it could be read."""
    source = source_of(record.headers)
    return undecidable(own, record.timestamp_ms, record.offset, reason, message, command, source)


def unpublished_start(own: PartitionState, record: Record, command: Command, start: DefinitionRef) -> Decision:
    """The decision on a start that names an offset which `definitions` does not have. Its writer cannot have read
    there what it starts."""
    message = (
        f"The start names offset {start.log_offset} of `definitions`, which the topic does not have. Send the event or "
        "the request again."
    )
    return undecidable_record(own, record, "unknown_definition", message, command)

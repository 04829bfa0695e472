"""What is said of a framed value that is not what its schema says."""

from __future__ import annotations

from streamflow.wire.codec import DecodeError
from streamflow.wire.json_text import MAX_DEPTH


def misread(schema_id: int, why: str) -> DecodeError:
    """A value that the schema `schema_id` cannot be read with (`schema_decode_failed`)."""
    return DecodeError(
        "schema_decode_failed",
        f"The value is not what its schema {schema_id} says ({why}). Send it with a serializer of the registry, and "
        "the schema that it was written with.",
    )


def too_deep(parts: str) -> DecodeError:
    """A value of which `parts`, such as records, are nested too deep (`too_deep`)."""
    return DecodeError("too_deep", f"The value is more than {MAX_DEPTH} lists and {parts} deep. Send flatter data.")

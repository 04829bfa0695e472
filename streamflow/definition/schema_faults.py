"""Where a value does not fit its JSON Schema, in words: several places at once, so that a sender corrects them at
once."""

from __future__ import annotations

from itertools import islice
from typing import Any

from jsonschema_rs import ValidationErrorKind

from streamflow.definition.json_kinds import json_kind
from streamflow.definition.json_pointer import pointer

MASK = "the value"  # what stands for a value in the messages of a masked validator
MOST_FAULTS = 5
_MOST_READ = 200  # of the faults of one value, which may have millions
_FAULT_CHARS = 300  # of one fault: names of fields may be of any length


def schema_faults(validator: Any, value: Any) -> str:
    """The first `MOST_FAULTS` faults of `value`, in the order of their places, and how many more there are; without a
    full stop, empty when it fits. `validator` is one of `validation.compiled`; if it is masked, the text holds no value
    of the data but names of its fields.

    Raises ValueError, TypeError or RecursionError for a value that the validator's own types cannot hold."""
    if validator.is_valid(value):
        return ""
    errors = list(islice(validator.iter_errors(value), _MOST_READ))
    faults = sorted({(pointer(error.instance_path), _words(error)) for error in errors})
    told = [(f"{place}: {words}" if place else words)[:_FAULT_CHARS] for place, words in faults[:MOST_FAULTS]]
    more = len(faults) - len(told)
    if more:
        told.append(f"and {more} more" if len(errors) < _MOST_READ else "and many more")
    return "; ".join(told)


def _words(error: Any) -> str:
    words = str(error.message)[:_FAULT_CHARS]
    if isinstance(error.kind, ValidationErrorKind.Type) and words.startswith(MASK):
        words += f" but {json_kind(error.instance)}"
    return words

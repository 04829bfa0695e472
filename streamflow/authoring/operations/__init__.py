"""Typed operations on drafts, one module for each kind: what people, programs and language models change a draft by."""

from streamflow.authoring.operations.operation import Operation
from streamflow.authoring.operations.registry import OPERATIONS, apply_tool, read_operations, tools
from streamflow.authoring.operations.revision import Refusal, Revision, apply

__all__ = ["OPERATIONS", "Operation", "Refusal", "Revision", "apply", "apply_tool", "read_operations", "tools"]

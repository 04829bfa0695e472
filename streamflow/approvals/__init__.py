"""Signed approvals of definitions: what they say, how they are signed, and which of them a process accepts."""

"""Confirmation of actions that affect many things or cannot be undone."""

from __future__ import annotations

import sys

import typer

from streamflow.errors import Rejected


def confirm(question: str, *, yes: bool) -> None:
    """Goes on if the person agrees, or has with `--yes`.

    Raises Rejected: `not_confirmed`, or `confirmation_missing` where nobody can be asked."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Rejected("confirmation_missing", f"{question} There is no terminal to ask at. Confirm with --yes.")
    if not typer.confirm(question, err=True):
        raise Rejected("not_confirmed", "Nothing was done.")

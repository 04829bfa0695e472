"""`streamflow definitions functions`: the functions of expressions, for the terminal and as docs/functions.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.definition.functions import FUNCTIONS
from streamflow.errors import Rejected

_HEAD = """# Functions of expressions

Generated from `streamflow/definition/functions.py` by `streamflow definitions functions --markdown`. Do not edit.

`list`, `text`, `object`, `timestamp`, `duration`, `decimal` and `optional_value` stand for the value before the point.
[expressions.md](expressions.md) has an example of each, and the operators.
"""


def functions(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="only functions whose name contains this")] = None,
    as_page: Annotated[bool, typer.Option("--markdown", help="as Markdown, as in docs/functions.md")] = False,
) -> None:
    """Lists the functions that expressions may call, with the result of each."""
    if as_page:
        output.say(markdown().rstrip("\n"))
        return
    found = {
        title: [function for function in group if name is None or name.lower() in function.name.lower()]
        for title, group in FUNCTIONS.items()
    }
    if not any(found.values()):
        raise Rejected("function_unknown", f"No function has {name!r} in its name. Leave the name out to see all.")
    if session_of(ctx).json:
        output.say_json([{"group": title, **asdict(function)} for title, group in found.items() for function in group])
        return
    for title, group in found.items():
        if group:
            rows = [(form, function.gives) for function in group for form in function.forms]
            output.say(output.table((title.upper(), "GIVES"), rows, "") + "\n")


def add_to(app: typer.Typer) -> None:
    """The verb of this module, as a command of `app`."""
    app.command("functions", epilog=examples("definitions functions", "definitions functions sum"))(functions)


def markdown() -> str:
    """The page docs/functions.md."""
    lines = [_HEAD]
    for title, group in FUNCTIONS.items():
        lines += [f"## {title}", "", "| written | gives |", "|---|---|"]
        lines += [f"| {', '.join(f'`{form}`' for form in function.forms)} | {function.gives} |" for function in group]
        lines.append("")
    return "\n".join(lines)

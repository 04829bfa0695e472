"""`streamflow settings`: the tree of settings, current values and reference."""

from __future__ import annotations

import typer

from streamflow.cli.redaction import without_passwords
from streamflow.cli.session import session_of
from streamflow.cli.settings_docs import entries, markdown

app = typer.Typer(
    add_completion=False, help="Settings: reference and current values.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def show(ctx: typer.Context) -> None:
    """Shows every setting with its value. Secrets are shown as references; passwords in addresses are hidden."""
    session = session_of(ctx)
    values = session.known.model_dump(mode="json")
    lines = []
    shown = without_passwords(values)
    for entry in entries():
        value = shown
        for part in entry.path:
            value = value[part]
        lines.append(f"{'.'.join(entry.path)}: {value}")
    session.show(shown, "\n".join(lines))


@app.command()
def docs(ctx: typer.Context) -> None:
    """Shows the reference of all settings, as in docs/settings.md."""
    documented = [
        {"name": ".".join(entry.path), "variable": entry.variable, "default": entry.default, "what": entry.what}
        for entry in entries()
    ]
    session_of(ctx).show(documented, markdown().rstrip("\n"))

"""`streamflow dead-letters`: what could not be read, placed or done, and why."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import session_of
from streamflow.errors import Rejected
from streamflow.kafka.topics import DEAD_LETTERS
from streamflow.ops.dead_letters import described, facts_of, original_headers, read_dead_letters
from streamflow.wire.unreadable import Unreadable

app = typer.Typer(help="What could not be read, placed or done, and why.", no_args_is_help=True, rich_markup_mode=None)

_SHOWN_BYTES = 4000


@app.command("list", epilog=examples("dead-letters list", "dead-letters list --reason schema_mismatch"))
def list_(
    ctx: typer.Context,
    reason: Annotated[str | None, typer.Option(help="only those with this reason")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest")] = 50,
    ids_only: Annotated[bool, typer.Option("--ids", help="only their numbers, one a line")] = False,
) -> None:
    """Lists dead letters, the newest first, and counts all by reason."""
    session, unreadable = session_of(ctx), Unreadable(DEAD_LETTERS)
    with output.reading("reading dead letters") as progress:
        letters = [
            letter
            for letter in read_dead_letters(session.settings, progress, unreadable)
            if reason in (None, facts_of(letter).get("reason"))
        ]
    shown = list(reversed(letters[-limit:]))
    if ids_only and not session.json:
        for letter in shown:
            output.say(str(letter.offset))
        return
    counts = dict(Counter(facts_of(letter).get("reason", "") for letter in letters).most_common())
    rows = []
    for letter in shown:
        facts = facts_of(letter)
        place = f"{facts.get('topic')}/{facts.get('partition')}/{facts.get('offset')}"
        rows.append(
            (
                str(letter.offset),
                output.local_time(letter.timestamp_ms),
                facts.get("reason", ""),
                place,
                facts.get("message", ""),
            )
        )
    text = output.table(("letter>", "when", "reason", "place", "message"), rows, "there are no dead letters")
    if letters:
        text += f"\n\n{len(letters)} dead letters: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    if skipped := unreadable.summary():
        text += f"\n\n{skipped}"
    answer = {"dead_letters": [described(letter) for letter in shown], "counts": counts, "total": len(letters)}
    session.show(answer | {"unreadable": unreadable.count}, text)


@app.command(epilog=examples("dead-letters show 17"))
def show(
    ctx: typer.Context,
    letter: Annotated[int, typer.Argument(metavar="LETTER", help="its number in `dead-letters list`")],
) -> None:
    """Shows a dead letter: reason, place, message, and the record as it came."""
    session = session_of(ctx)
    found = next((each for each in read_dead_letters(session.settings) if each.offset == letter), None)
    if found is None:
        raise Rejected(
            "letter_unknown",
            f"expected a dead letter of number {letter} but there is none; `streamflow dead-letters list` shows them",
        )
    key = None if found.key is None else found.key.decode("utf-8", "backslashreplace")
    value = None if found.value is None else found.value.decode("utf-8", "backslashreplace")
    headers = original_headers(found)
    lines = [
        f"{name:<12}  {text}"
        for name, text in ({"when": output.local_time(found.timestamp_ms)} | facts_of(found)).items()
    ]
    lines += ["", f"{'key':<12}  {key}"] + [f"{'header':<12}  {name}: {text}" for name, text in headers.items()]
    shown = (
        value
        if value is None or len(value) <= _SHOWN_BYTES
        else value[:_SHOWN_BYTES] + f" ... ({len(found.value or b'')} bytes)"
    )
    lines += [f"{'value':<12}  {shown}"]
    session.show(described(found) | {"record": {"key": key, "value": value, "headers": headers}}, "\n".join(lines))

"""`streamflow dead-letters`: records that could not be used."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import typer

from streamflow.cli import output
from streamflow.cli.confirmation import confirm
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_CALLER, Session, session_of
from streamflow.definition.duration import parse_ms
from streamflow.errors import Rejected, StreamflowError
from streamflow.kafka.publication import read_log
from streamflow.kafka.topics import DEAD_LETTERS
from streamflow.kafka.unknown_names import require_definition
from streamflow.ops.dead_letters import Letter, original_headers, read_dead_letters, record_of, select, unmatched
from streamflow.ops.replay import Prepared, Replay, replay_result, send_again
from streamflow.ops.settlements import settle
from streamflow.wire.dead_letter import facts_of
from streamflow.wire.event_time import epoch_ms
from streamflow.wire.settlement import Settlement
from streamflow.wire.unreadable import Unreadable

app = typer.Typer(
    add_completion=False,
    help="Records that could not be used: list, replay or drop them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_SHOWN_BYTES = 4000

Letters = Annotated[list[int] | None, typer.Argument(metavar="[LETTER]...", help="numbers in `dead-letters list`")]
Reason = Annotated[str | None, typer.Option(help="only those with this reason")]
Topic = Annotated[str | None, typer.Option(help="only dead letters of records from or to this topic")]
ForDefinition = Annotated[str | None, typer.Option("--definition", help="only those for this definition")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="only since then: 2h, 7d, or an RFC 3339 time with its offset")
]
AtMost = Annotated[int | None, typer.Option("--limit", min=1, help="maximum number, oldest first")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="only show what would be done")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


@app.command("list", epilog=examples("dead-letters list", "dead-letters list --reason schema_mismatch"))
def list_(
    ctx: typer.Context,
    reason: Reason = None,
    topic: Topic = None,
    status: Annotated[
        Literal["open", "replayed", "dropped", "all"], typer.Option(help="only those with this status")
    ] = "open",
    limit: Annotated[int, typer.Option(min=1, help="maximum number, newest first")] = 50,
    ids_only: Annotated[bool, typer.Option("--ids", help="print only the numbers, one a line")] = False,
) -> None:
    """Lists dead letters, newest first, and counts them by reason and status."""
    session, unreadable = session_of(ctx), Unreadable(DEAD_LETTERS)
    read = _read(session, unreadable)
    found = [letter for letter in read if reason in (None, letter.reason) and topic in (None, letter.topic)]
    for line in unmatched(read, reason=reason, topic=topic):
        output.warn(line)
    letters = [letter for letter in found if status in ("all", letter.state)]
    shown = list(reversed(letters[-limit:]))
    if ids_only and not session.json:
        for letter in shown:
            output.say(str(letter.number))
        return
    counts = dict(Counter(letter.reason for letter in letters).most_common())
    states = dict(Counter(letter.state for letter in found).most_common())
    rows = [
        (
            str(letter.number),
            output.local_time(letter.at_ms),
            letter.state,
            letter.reason,
            letter.place,
            letter.facts.get("message", ""),
        )
        for letter in shown
    ]
    text = output.table(
        ("letter>", "when", "status", "reason", "place", "message"),
        rows,
        f"no dead letter is {status}" if found else "no dead letter matches" if read else "there are no dead letters",
    )
    if letters:
        text += f"\n\n{len(letters)} dead letters: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    if len(states) > 1 or (found and not letters):
        text += "\n" + ", ".join(f"{count} {name}" for name, count in states.items())
    if skipped := unreadable.summary():
        text += f"\n\n{skipped}"
    session.show(
        {
            "dead_letters": [letter.described() for letter in shown],
            "counts": counts,
            "statuses": states,
            "total": len(letters),
            "unreadable": unreadable.count,
        },
        text,
    )


@app.command(epilog=examples("dead-letters show 17"))
def show(
    ctx: typer.Context,
    letter: Annotated[int, typer.Argument(metavar="LETTER", help="its number in `dead-letters list`")],
) -> None:
    """Shows a dead letter: reason, place, message, status, and the original record."""
    session = session_of(ctx)
    known = next(iter(select(_read(session), [letter])))
    found = record_of(session.installation, letter)
    if found is None:
        raise Rejected("letter_unknown", f"The dead letter {letter} is no longer kept.")
    key = None if found.key is None else found.key.decode("utf-8", "backslashreplace")
    value = None if found.value is None else found.value.decode("utf-8", "backslashreplace")
    headers = original_headers(found)
    facts = {"when": output.local_time(found.timestamp_ms), "status": known.state}
    if known.settlement is not None and known.settlement.why:
        facts["why"] = known.settlement.why
    lines = [f"{name:<16}  {text}" for name, text in (facts | facts_of(found)).items()]
    lines += ["", f"{'key':<16}  {key}"] + [f"{'header':<16}  {name}: {text}" for name, text in headers.items()]
    shown = (
        value
        if value is None or len(value) <= _SHOWN_BYTES
        else value[:_SHOWN_BYTES] + f" ... ({len(found.value or b'')} bytes)"
    )
    lines += [f"{'value':<16}  {shown}"]
    session.show(known.described() | {"record": {"key": key, "value": value, "headers": headers}}, "\n".join(lines))


@app.command(
    epilog=examples(
        "dead-letters replay 17 18",
        "dead-letters replay --reason schema_mismatch --topic orders --dry-run",
        "dead-letters replay --since 2h --limit 100 --yes",
    )
)
def replay(
    ctx: typer.Context,
    letters: Letters = None,
    reason: Reason = None,
    topic: Topic = None,
    definition: ForDefinition = None,
    since: Since = None,
    limit: AtMost = None,
    why: Annotated[str, typer.Option("--why", "--reason-text", help="reason, kept with the dead letters")] = "",
    as_new: Annotated[
        bool,
        typer.Option("--as-new", help="also events that are not recognised as duplicates: without an id, or too old"),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="also named dead letters that were replayed or dropped before")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Replays the records of dead letters with their original identity: an event to its source topic, a command or a
    task to the topic where it was refused, an emitted event to its topic."""
    session = session_of(ctx)
    chosen = _selected(session, letters, reason, topic, definition, since, limit)
    made = Replay(
        session.installation,
        lambda: read_log(session.installation),
        now_ms=time.time_ns() // 1_000_000,
        as_new=as_new,
        again=again,
    )
    if not dry_run and not letters and chosen:
        confirm(f"Send {_summary(chosen)} again?", yes=yes)
    problems: list[Prepared] = []
    ready: list[Prepared] = []
    settled: list[Settlement] = []
    failed: StreamflowError | None = None
    with output.reading("sending dead letters again") as progress:

        def prepared() -> Iterator[Prepared]:
            for number, one in enumerate(made.prepare_all(chosen), 1):
                progress(number, len(chosen))
                (ready if one.problem is None else problems).append(one._replace(record=None))
                yield one

        try:
            if dry_run:
                for _ in prepared():
                    pass
            else:
                settled.extend(send_again(session.installation, prepared(), why))
        except StreamflowError as error:
            failed = error
    _show_replay(session, ready, problems, settled, dry_run=dry_run)
    if failed is not None:
        raise failed
    if letters and problems:
        raise typer.Exit(EXIT_CALLER)


def _show_replay(
    session: Session,
    ready: Sequence[Prepared],
    problems: Sequence[Prepared],
    settled: Sequence[Settlement],
    *,
    dry_run: bool,
) -> None:
    found = replay_result(ready, problems, settled, dry_run=dry_run)
    lines = []
    for one, facts in zip([*ready, *problems], found["letters"], strict=True):
        named = f"{one.letter.number:>6}  {one.letter.reason}"
        if facts["status"] == "refused":
            lines.append(f"{named}: not sent ({facts['code']}). {facts['message']}")
        elif facts["status"] != "not_sent":
            lines.append(f"{named} -> {facts['to']}")
    count = len(ready) if dry_run else len(settled)
    lines.append(f"{count} {'would be sent' if dry_run else 'sent'} again, {len(problems)} cannot be")
    session.show(found, "\n".join(lines))


@app.command(
    epilog=examples(
        'dead-letters drop 17 --why "a test of the partner"',
        'dead-letters drop --reason not_json --topic orders --why "noise" --dry-run',
    )
)
def drop(
    ctx: typer.Context,
    letters: Letters = None,
    why: Annotated[str, typer.Option("--why", "--reason-text", help="reason, kept with the dead letters")] = "",
    reason: Reason = None,
    topic: Topic = None,
    definition: ForDefinition = None,
    since: Since = None,
    limit: AtMost = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Marks dead letters as dropped, with a reason. Their records are kept as long as before."""
    session = session_of(ctx)
    if not why.strip():
        raise Rejected("reason_missing", "Dropping dead letters needs a reason. Give it with --why.")
    chosen = [
        letter
        for letter in _selected(session, letters, reason, topic, definition, since, limit)
        if letter.state == "open"
    ]
    if not dry_run and not letters and chosen:
        confirm(f"Drop {_summary(chosen)}?", yes=yes)
    settled: list[Settlement] = []
    if not dry_run:
        with output.reading("dropping dead letters") as progress:
            ends = [Settlement(letter=letter.id, state="dropped", why=why) for letter in chosen]
            for one in settle(session.installation, ends):
                settled.append(one)
                progress(len(settled), len(ends))
    dropped = {one.letter for one in settled}
    lines = [f"{letter.number:>6}  {letter.reason} of {letter.place}" for letter in chosen]
    lines.append(f"{len(chosen)} would be dropped" if dry_run else f"{len(settled)} dropped")
    session.show(
        {
            "letters": [
                {"letter": one.number, "status": "dropped" if one.id in dropped else one.state} for one in chosen
            ],
            "dropped": len(settled),
            "dry_run": dry_run,
        },
        "\n".join(lines),
    )


def _selected(
    session: Session,
    letters: list[int] | None,
    reason: str | None,
    topic: str | None,
    definition: str | None,
    since: str | None,
    limit: int | None,
) -> list[Letter]:
    """The letters that the options of a command name. Raises Rejected."""
    read = _read(session)
    chosen = select(
        read,
        letters or (),
        reason=reason,
        topic=topic,
        definition=definition,
        since_ms=_since_ms(since),
        limit=limit,
    )
    if not letters:
        for line in unmatched(read, reason=reason, topic=topic):
            output.warn(line)
    if not chosen and definition is not None:
        require_definition(read_log(session.installation), definition)
    return chosen


def _read(session: Session, unreadable: Unreadable | None = None) -> list[Letter]:
    with output.reading("reading dead letters") as progress:
        return read_dead_letters(session.installation, progress, unreadable)


def _summary(letters: Sequence[Letter]) -> str:
    counts = Counter((letter.reason, letter.topic) for letter in letters).most_common(5)
    named = ", ".join(f"{count} {reason} of {topic or 'no topic'}" for (reason, topic), count in counts)
    return f"{len(letters)} dead letters ({named}{', ...' if len(counts) == 5 else ''})"


def _since_ms(text: str | None) -> int | None:
    """The time of `--since`. Raises Rejected (`bad_time`)."""
    if text is None:
        return None
    try:
        return time.time_ns() // 1_000_000 - parse_ms(text)
    except ValueError:
        pass
    try:
        return epoch_ms(text)
    except StreamflowError as error:
        raise Rejected(
            "bad_time", f"--since is {text!r}, which is not a time. Write 2h, 7d, or 2026-05-01T09:00:00Z."
        ) from error

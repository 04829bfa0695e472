"""`streamflow eval`: how well an author writes and edits definitions, over the cases that come with Streamflow."""

from __future__ import annotations

import asyncio
import fnmatch
import getpass
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli import output
from streamflow.cli.output import examples
from streamflow.cli.session import EXIT_AUTHOR, Session, session_of
from streamflow.errors import OperationError, Rejected

if TYPE_CHECKING:
    from streamflow.evaluation.author import Task
    from streamflow.evaluation.case import Case
    from streamflow.evaluation.report import Comparison, Report, Result
    from streamflow.models.meter import Charge
    from streamflow.models.protocol import Model

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_COLUMNS = {
    "schema_valid": "shape",
    "type_clean": "types",
    "grounded": "grounded",
    "node_f1": "nodes",
    "graph_f1": "ways",
    "behaviour": "behaviour",
    "untouched": "untouched",
    "question": "questions",
}


@app.command(
    "eval",
    epilog=examples(
        "eval --rules",
        "eval --model local --out local.json",
        "eval --model local --case 'payments/*' --baseline local.json",
        "eval --replay local.json --each",
    ),
)
def evaluate(
    ctx: typer.Context,
    rules: Annotated[bool, typer.Option("--rules", help="the rules of `draft write`; the default")] = False,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="a language model of models.available")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="score the answers of an earlier result again")
    ] = None,
    case: Annotated[
        str | None,
        typer.Option("--case", metavar="PATTERN", help="only cases whose name contains or matches this (* and ?)"),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="show each answer with its faults")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="an earlier result; exit code 2 if this one is worse"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="file to write the result to")] = None,
) -> None:
    """Scores an author over cases: requests for new definitions, edits over three rounds, and requests that need a
    question. Needs no broker; docs/evaluation.md explains the scores."""
    from streamflow.evaluation.report import compare, read_report, write_report

    session = session_of(ctx)
    if sum((rules, model is not None, replay is not None)) > 1:
        raise Rejected("author_ambiguous", "Several authors are named. Give one of --rules, --model and --replay.")
    before = None if baseline is None else read_report(baseline)
    recorded = None if replay is None else read_report(replay)
    found = _cases(case)
    total = sum(len(one.rounds) for one in found)
    if out is not None:
        _open(out)
    with output.reading("evaluating", "answers") as progress:
        so_far: list[Report] = []

        def done(report: Report) -> None:
            so_far[:] = [report]
            progress(len(report.results), total)

        try:
            report = asyncio.run(_evaluated(session, found, model, recorded, done))
        finally:
            if out is not None and so_far:  # also what there is when it is interrupted
                write_report(out, so_far[0])
    comparison = None if before is None else compare(before, report)
    session.show(_facts(report, comparison), _text(report, comparison, each=each))
    if out is not None and not session.json:
        output.note(f"written: {out}")
    if comparison is not None and comparison.regressions:
        raise typer.Exit(EXIT_AUTHOR)


def _open(file: Path) -> None:
    """Finds out before anything is paid for whether the result can be written."""
    try:
        file.open("a").close()
    except OSError as error:
        text = f"The file {file} cannot be written: {error.strerror}. Choose another."
        raise OperationError("file_unwritable", text, retryable=False) from error


def _cases(pattern: str | None) -> Sequence[Case]:
    from streamflow.evaluation.case import cases

    wanted = "*" if pattern is None else pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    found = cases(lambda name: fnmatch.fnmatchcase(name, wanted))
    if not found:
        raise Rejected("case_unknown", f"There is no case {pattern}. See the names with `streamflow eval --each`.")
    return found


async def _evaluated(
    session: Session, cases: Sequence[Case], model: str | None, recorded: Report | None, done: Callable[[Report], None]
) -> Report:
    from streamflow.evaluation.authors.replayed import Replayed
    from streamflow.evaluation.authors.rules import Rules
    from streamflow.evaluation.evaluation import evaluate as evaluated

    if recorded is not None:
        return await evaluated(Replayed(recorded), cases, currency=recorded.currency, done=done)
    if model is None:
        return await evaluated(Rules(), cases, done=done)
    return await _by_model(session, cases, model, done)


async def _by_model(session: Session, cases: Sequence[Case], wanted: str, done: Callable[[Report], None]) -> Report:
    from streamflow.evaluation.authors.language_model import Modelled
    from streamflow.evaluation.evaluation import evaluate as evaluated
    from streamflow.models.access import ModelAccess
    from streamflow.models.meter import Account

    settings = session.given
    day = datetime.now(UTC).date().isoformat()
    async with ModelAccess(settings) as models:
        name, meter = models.name(wanted), models.meter()

        def opened(task: Task, charged: Callable[[Charge], None]) -> Model:
            account = Account(turn=str(task.round), conversation=task.case, person=getpass.getuser(), day=day)
            return models.metered(name, meter, account, charged)

        author = Modelled(name, opened, models.limits(name), instructions=settings.models.system or "")
        return await evaluated(author, cases, currency=settings.models.currency, done=done)


def _groups(report: Report) -> dict[str, list[Result]]:
    """The results by what was asked for."""
    asked = [one for one in report.results if _needs_question(one)]
    others = [one for one in report.results if not _needs_question(one)]
    return {
        "new definitions": [one for one in others if not one.edit],
        "edits": [one for one in others if one.edit],
        "to be asked": asked,
        "all": report.results,
    }


def _needs_question(result: Result) -> bool:
    from streamflow.evaluation.scoring import Asked

    return result.asked in (Asked.RIGHT, Asked.OTHER, Asked.MISSED)


def _facts(report: Report, comparison: Comparison | None) -> dict[str, Any]:
    import msgspec

    from streamflow.evaluation.report import summary

    found: dict[str, Any] = {
        **msgspec.to_builtins(report),
        "summary": {name: summary(results).facts() for name, results in _groups(report).items()},
    }
    if comparison is not None:
        found["comparison"] = {
            "regressions": [asdict(one) for one in comparison.regressions],
            "improvements": [asdict(one) for one in comparison.improvements],
            "compared": comparison.compared,
            "missing": comparison.missing,
            "new": comparison.new,
        }
    return found


def _text(report: Report, comparison: Comparison | None, *, each: bool) -> str:
    from streamflow.evaluation.report import summary

    parts = [_table_of_each(report.results)] if each else []
    rows = []
    for name, results in _groups(report).items():
        if results:
            one = summary(results)
            shown = [_shown(one.scores[score]) for score in _COLUMNS]
            rows.append((name, str(one.answers), str(one.solved), *shown))
    columns = ("", "answers>", "solved>", *(f"{name}>" for name in _COLUMNS.values()))
    parts.append(f"by {report.author}\n\n{output.table(columns, rows, '')}")
    whole = summary(report.results)
    cost = "" if whole.cost is None else f", {whole.cost:f} {report.currency}"
    parts.append(
        f"questions: precision {_shown(whole.precision)}, recall {_shown(whole.recall)}\n"
        f"took {whole.seconds:.1f} s, {whole.tokens} tokens{cost}"
    )
    if comparison is not None:
        parts.append(_comparison_text(comparison))
    return "\n\n".join(parts)


def _table_of_each(results: Sequence[Result]) -> str:
    lines = []
    for one in results:
        lost = [f"{name} {_shown(value)}" for name, value in one.scores.items() if value not in (None, 1.0)]
        lines.append(f"{'solved' if one.solved else 'no    '}  {one.place}{'  ' if lost else ''}{', '.join(lost)}")
        lines += [f"        {line}" for fault in one.faults for line in fault.splitlines()]
        lines += [f"        asked: {line}" for question in one.questions for line in question.splitlines()]
    return "\n".join(lines)


def _comparison_text(comparison: Comparison) -> str:
    worse, better = comparison.regressions, comparison.improvements
    lines = [
        f"since the baseline: {len(worse)} regressions, {len(better)} improvements in {comparison.compared} answers"
    ]
    lines += [f"{comparison.missing} answers of the baseline are not compared"] if comparison.missing else []
    lines += [f"{comparison.new} answers are not in the baseline"] if comparison.new else []
    for one in (*worse, *better):
        what = "worse " if one.worse else "better"
        lines.append(f"  {what}  {one.place}  {one.score} {one.before:.2f} -> {one.now:.2f}")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

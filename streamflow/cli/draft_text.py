"""What the verbs of `streamflow draft` show and write: statements, questions, files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streamflow.cli import output
from streamflow.definition.yaml_text import YAML
from streamflow.errors import Rejected

if TYPE_CHECKING:
    from streamflow.authoring.question import Choice, Question
    from streamflow.authoring.statements import Statement


DraftFile = Annotated[
    Path, typer.Argument(metavar="FILE|FOLDER", help="a definition, or a folder with definition.yaml")
]
CatalogFile = Annotated[
    Path | None,
    typer.Option("--catalog", metavar="FILE|FOLDER", help="its catalog; default: catalog.yaml beside it"),
]


def statement_lines(found: Iterable[Statement]) -> list[str]:
    """A line for each statement: its number, its origin, its text."""
    return [f"{f'{one.number}.':<3} {one.origin:<8} {one.text}" for one in found]


def questions_lines(questions: Sequence[Question], blocking: str, others: str) -> list[str]:
    """Questions with their choices, under the headings `blocking` for those to answer first, and `others`."""
    lines: list[str] = []
    first = sum(question.blocks for question in questions)
    for number, question in enumerate(questions, 1):
        if number == 1 and first:
            lines += ["", blocking]
        elif number == first + 1:
            lines += ["", others]
        lines += question_lines(number, question)
    return lines


def question_lines(number: int, question: Question) -> list[str]:
    """A question and its choices."""
    choices = zip("abcdefgh", question.choices, strict=False)
    return [f"{number}. {question.text}", *(f"   {letter}) {_choice_text(choice)}" for letter, choice in choices)]


def _choice_text(choice: Choice) -> str:
    if choice.sentence is not None:
        return f"{choice.text}: {choice.sentence}"
    does = ", ".join(dict.fromkeys(one.op for one in choice.operations))
    return choice.text + (f" [{does}]" if does else "")


def yaml_of(value: Any) -> str:
    """Plain data as YAML, laid out as in definitions."""
    writer = YAML(typ="rt", pure=True)
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.width = 1000
    target = io.StringIO()
    writer.dump(value, target)
    return target.getvalue()


def refuse_existing(file: Path) -> None:
    """Raises Rejected `file_exists` if there is something at `file`."""
    if file.exists():
        raise Rejected("file_exists", f"{file} exists already. Choose another name, or remove it.")


def write_new(file: Path, text: str) -> None:
    """Writes a file that is not there yet, with its folder. Raises Rejected `file_exists`, or OperationError."""
    refuse_existing(file)
    output.write_file(file, text)

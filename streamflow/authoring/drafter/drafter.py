"""From a text in English to a draft, over what a catalog has.

The grammar is small: `when <event> [condition]`, then things to be done, with `if`, `otherwise`, `unless`, limits and
`then` between them. Whatever is not in it, or not in the catalog, becomes a question; nothing is invented. The same
text and catalog give the same draft.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from streamflow.authoring.draft import Draft
from streamflow.authoring.drafter.building import Builder
from streamflow.authoring.drafter.clauses import Clause, clauses_of
from streamflow.authoring.drafter.comparisons import unread
from streamflow.authoring.drafter.conditions import read_condition
from streamflow.authoring.drafter.drafted import Drafted
from streamflow.authoring.drafter.fields import Field, fields_of
from streamflow.authoring.drafter.notes import CHOICES, Notes, no_field
from streamflow.authoring.drafter.numerals import ask_about_numbers, with_numbers
from streamflow.authoring.drafter.outcomes import is_negated
from streamflow.authoring.drafter.reading import Reader
from streamflow.authoring.drafter.remainder import denies, losses
from streamflow.authoring.drafter.start import PEOPLE, Parts, Start, parts_of_start, starts
from streamflow.authoring.drafter.stems import content, stem
from streamflow.authoring.drafter.tokens import Token, span_of, tokens_of
from streamflow.authoring.drafter.vocabulary import Vocabulary
from streamflow.authoring.gaps import gaps
from streamflow.authoring.question import MOST, Choice, Question
from streamflow.definition.catalog import Catalog, EventSpec
from streamflow.definition.check import check
from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_definition, to_yaml

LONGEST = 4000  # characters of a text: what a description of a definition may have
_JUDGED = 1000  # characters of a text whose choices are each drafted, to leave out those that answer nothing
_TRIED = 6  # events that may start it, each drafted to the end
_SCHEDULE = re.compile(
    r"\b(every|each)\s+(\w+\s+)?(mon|tues|wednes|thurs|fri|satur|sun)?(day|night|morning|evening|hour|week|month|minute)s?\b"
    r"|\b(daily|hourly|weekly|monthly|nightly)\b|\bat (midnight|noon)\b",
    re.I,
)


def draft(sentence: str, catalog: Catalog) -> Drafted:
    """The draft of `sentence` over `catalog`, with what was understood and what has to be asked. Never fails."""
    found = _draft(sentence, catalog)
    if found.complete or len(sentence) > _JUDGED:
        return found
    return replace(found, questions=tuple(_with_useful(one, found, catalog) for one in found.questions))


def _with_useful(question: Question, found: Drafted, catalog: Catalog) -> Question:
    """The question with the choices that answer it. Where all is read and asked, they lead to no new question but to
    one about a value."""
    asked = frozenset(one.text for one in found.questions if one.blocks)
    whole = bool(found.statements) and len(found.questions) < MOST

    def is_useful(choice: Choice) -> bool:
        if choice.sentence is None:
            return True
        left = [one for one in _draft(choice.sentence, catalog).questions if one.blocks]
        new = any(one.text not in asked and one.kind != "value" for one in left)
        return not (whole and new) and all(one.text != question.text for one in left)

    return replace(question, choices=tuple(filter(is_useful, question.choices))) if question.blocks else question


def _draft(sentence: str, catalog: Catalog) -> Drafted:
    """The same, with all choices that the forms of questions offer."""
    notes = Notes(sentence)
    if len(sentence) > LONGEST:
        text = f"A text of at most {LONGEST} characters can be drafted, and this one has {len(sentence)}."
        notes = Notes(sentence[:LONGEST])
        notes.ask("not_understood", f"{text} What is the process, in short?", (0, LONGEST))
        return _without_text(sentence, notes)
    strange = next((at for at, letter in enumerate(sentence) if not (letter.isprintable() or letter.isspace())), None)
    if strange is not None:
        notes.ask("not_understood", "A character here cannot be shown. What is meant?", (strange, strange + 1))
        return _without_text(sentence, notes)
    tokens = with_numbers(tokens_of(sentence))
    if ask_about_numbers(notes, tokens):
        return _without_text(sentence, notes)
    vocabulary = Vocabulary.of(catalog)
    clauses = clauses_of(tokens, vocabulary)
    place = _start_of(clauses)
    if place is None:
        _ask_for_start(notes, sentence, clauses)
        return _without_text(sentence, notes)
    others = [*clauses[:place], *clauses[place + 1 :]]
    around = frozenset(stem(token.lower) for clause in others for token in content(clause.tokens))
    parts = parts_of_start(clauses[place].tokens)
    found = starts(parts.event, vocabulary, around)
    usable = [one for one in found if not one.unread and not one.condition.unclear]
    if not usable:
        _ask_about_start(notes, parts, found, vocabulary)
        return _without_text(sentence, notes)
    tried = [_drafted(one, parts, others, sentence, catalog, vocabulary, around) for one in usable[:_TRIED]]
    return _best(usable[:_TRIED], tried, parts)


def _best(found: Sequence[Start], tried: Sequence[Drafted], parts: Parts) -> Drafted:
    """Of the events that may start it the one with which all else can be drafted; a question where several can."""
    scores = sorted({one.score for one in found}, reverse=True)
    for score in scores:
        complete = [
            (one, result) for one, result in zip(found, tried, strict=True) if one.score == score and result.complete
        ]
        if len(complete) == 1:
            return complete[0][1]
        if complete:
            sentence = complete[0][1].sentence
            words = content(parts.event)[:1] or parts.event
            notes = Notes(sentence)
            choices = [notes.instead(words, one.entry.name) for one, _ in complete]
            said = notes.said(parts.event)
            question = Question(
                kind="ambiguous",
                text=f"Several events may be meant by `{said}`. Which one starts the process?",
                phrase=said,
                span=span_of(parts.event),
                choices=tuple(choices)[:CHOICES],
            )
            return replace(complete[0][1], questions=(question, *complete[0][1].questions)[:MOST])
    return tried[0]


def _drafted(
    start: Start,
    parts: Parts,
    clauses: list[Clause],
    sentence: str,
    catalog: Catalog,
    vocabulary: Vocabulary,
    around: frozenset[str],
) -> Drafted:
    """The draft of a process that `start` starts."""
    notes = Notes(sentence)
    entry, spec = start.entry, start.entry.spec
    assert isinstance(spec, EventSpec)
    where, shown = [start.condition.expr] if start.condition.expr else [], [a.field for a in start.condition.atoms]
    fields = fields_of("event", spec.schema_, entry.stems)
    for other in parts.others:
        found = read_condition(other, fields)
        if found.atoms and not unread(found, entry.stems) and not found.unclear:
            where.append(f"({found.expr})" if " || " in found.expr else found.expr)
            shown += [atom.field for atom in found.atoms]
        else:
            notes.ask("unknown", no_field(notes.said(other), f"`{entry.name}`"), other)
    reader = Reader(notes, vocabulary, entry, frozenset())
    if where and _decides(clauses) and parts.absence is None:
        reader.conditional([piece for piece in (parts.event, *parts.others) if read_condition(piece, fields).atoms])
        where = []
    if parts.absence is not None:
        reader.absent(parts.absence)
    reader.read(clauses)
    condition = " && ".join(where)
    said = parts.absence.said if parts.absence is not None and not parts.event else parts.event
    begins = f"A run starts with `{entry.name}`" + (f" where {condition}." if condition else ".")
    trigger: dict[str, Any] = {"id": _plain(entry.name.split(".")[-1], "_"), "event": entry.name}
    notes.state("said", begins, [f"/on/{trigger['id']}"], span_of(said))
    builder = Builder(
        notes, entry, [_of_trigger(one) for one in {one.name: one for one in shown}.values()], notes.said(parts.event)
    )
    builder.build(reader.root)
    if not builder.steps:
        if not notes.blocking:
            notes.ask("not_understood", "What should be done then?", span_of(parts.event))
        return _without_text(sentence, notes)
    value = {
        "name": _plain(f"{entry.name}-{builder.steps[0]['id']}", "-")[:100].rstrip("-"),
        "version": "1",
        "description": " ".join(sentence.split()),
        "on": [trigger | ({"where": condition} if condition else {})],
        "steps": builder.steps,
    }
    definition = _checked(value, catalog, notes)
    order = [step["id"] for step in builder.steps]
    left = gaps(Draft.parse(definition), catalog) if definition is not None else ()
    return Drafted(
        sentence=sentence,
        text=definition,
        statements=notes.statements(order, left),
        questions=notes.questions(left),
    )


def _decides(clauses: list[Clause]) -> bool:
    """Whether the conditions of the start are those of an `otherwise`."""
    conditional = (clause.kind for clause in clauses if clause.kind in ("if", "unless", "when", "else"))
    return next(conditional, None) == "else"


def _checked(value: dict[str, Any], catalog: Catalog, notes: Notes) -> str | None:
    """The definition as YAML; None, with a question, if the check finds an error in it."""
    text = to_yaml(Definition.model_validate(value))
    errors = [one for one in check(parse_definition(text), catalog) if one.severity == "error"]
    for one in errors[:1]:
        notes.ask("not_understood", f"This sentence cannot be drafted: {one.message}", (0, len(notes.sentence)))
    return None if errors else text


def _without_text(sentence: str, notes: Notes) -> Drafted:
    return Drafted(sentence=sentence, text=None, statements=notes.statements(), questions=notes.questions())


def _start_of(clauses: list[Clause]) -> int | None:
    """Which clause says what starts the process."""
    if clauses and clauses[0].kind in ("when", "if"):
        return 0
    return next((place for place, clause in enumerate(clauses) if clause.kind == "when"), None)


def _ask_for_start(notes: Notes, sentence: str, clauses: list[Clause]) -> None:
    scheduled = _SCHEDULE.search(sentence)
    if scheduled is not None:
        text = f"`{scheduled[0]}` is a time, and a process starts with an event. Which event starts it?"
        notes.ask("unknown", text, scheduled.span())
        return
    tokens = clauses[0].tokens if clauses else []
    text = "What starts the process? Say it as `when <event>, ...`."
    notes.ask("not_understood", text, span_of(tokens))


def _ask_about_start(notes: Notes, parts: Parts, found: Sequence[Start], vocabulary: Vocabulary) -> None:
    """No event of the catalog is what the phrase says."""
    tokens = parts.event
    nearest = next((one for one in found), None)
    if nearest is not None and nearest.condition.unclear:
        for one in nearest.condition.unclear:
            said = notes.said(one.tokens)
            choices = [notes.instead(one.tokens, text) for text in one.instead]
            notes.ask("ambiguous", f"What is meant by `{said}`: {one.why}?", one.tokens, choices)
        return
    if is_negated(tokens):
        text = f"A process starts when something happens, and `{notes.said(tokens)}` does not. "
        notes.ask("unknown", f"{text}Say it as `when <event> and not <event> within 1 hour, ...`.", tokens)
        return
    said = notes.said(tokens)
    if nearest is not None:
        left = _stretch(tokens, nearest.unread)
        text = f"`{nearest.entry.name}` may start it, but what is meant by `{notes.said(left)}`?"
        names = [one.entry.name for one in found if one.unread == nearest.unread]
        if any(token.is_in(PEOPLE) for token in tokens):
            # a deed, which may be any of them
            names += [entry.name for entry in (*vocabulary.near_events(tokens), *vocabulary.events)]
        dropped = [one for one in losses(tokens) if any(token not in left for token in one)]
        dropped += [left] if not any(all(token in one for token in left) for one in dropped) else []
        without = " and ".join(f"`{notes.said(one)}`" for one in dropped)
        choices = [
            notes.instead(tokens, f"{name} comes", f"{name}, without {without}") for name in dict.fromkeys(names)
        ]
        choices = [] if denies(tokens) else choices
        notes.ask("unknown", text, left, choices)
        return
    lost = " and ".join(f"`{notes.said(one)}`" for one in losses(tokens))
    choices = [
        notes.instead(tokens, f"{name} comes", f"{name}, without {lost}" if lost else name)
        for name in dict.fromkeys(one.name for one in (*vocabulary.near_events(tokens), *vocabulary.events))
        if not denies(tokens)
    ]
    notes.ask("unknown", f"The catalog has no event for `{said}`. Which one starts the process?", tokens, choices)


def _stretch(tokens: list[Token], part: Sequence[Token]) -> list[Token]:
    """All tokens from the first to the last of `part`."""
    places = [place for place, token in enumerate(tokens) if token in part]
    return tokens[places[0] : places[-1] + 1] if places else tokens


def _of_trigger(one: Field) -> Field:
    return replace(one, root="trigger")


def _plain(text: str, joint: str) -> str:
    found = re.sub(r"[^a-z0-9]+", joint, text.lower()).strip(joint)
    return found if found and found[0].isalpha() else f"event{joint}{found}"

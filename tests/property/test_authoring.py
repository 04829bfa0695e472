"""Whatever is done to a draft, by people, programs or a language model out of its mind: it is changed as a whole or not
at all, and steps that nothing touched keep their bytes."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.authoring.draft import Draft
from streamflow.authoring.operations import Refusal, Revision, apply
from streamflow.authoring.rewriting import Rewriting, same
from streamflow.definition.syntax import load_text
from tests.conftest import examples
from tests.property.edits import JSON, ROUND, TEXTS, operation
from tests.unit.authoring.examples import CATALOG, TEXT

PROJECT = Path(__file__).parents[2]
EXAMPLES = examples(60)


def by_id(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for step in draft.content["steps"]:
        found.setdefault(step["id"], step)
    return found


def held(before: Draft, revision: Revision) -> None:
    """The laws of one revision."""
    after = revision.draft
    assert same(load_text(after.text), after.content)
    assert Draft.parse(after.text).spans == after.spans
    old, new = by_id(before), by_id(after)
    for id_, step in old.items():
        if id_ in new and same(step, new[id_]):
            assert after.step_text(id_) == before.step_text(id_)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(ROUND, min_size=1, max_size=6))
def test_an_edit_is_whole_or_is_not_there(rounds: list[list[Any]]) -> None:
    draft = Draft.parse(TEXT)
    known = None
    for operations in rounds:
        text, given_ = draft.text, copy.deepcopy(operations)
        found = apply(draft, operations, CATALOG, known=known)
        assert draft.text == text
        assert draft.content == load_text(text)
        assert operations == given_
        if isinstance(found, Refusal):
            assert found.code.startswith("edit_"), found
            assert found.message
        else:
            held(draft, found)
            draft, known = found.draft, found.problems


@settings(max_examples=EXAMPLES, deadline=None)
@given(JSON)
def test_nonsense_is_refused(value: Any) -> None:
    assert isinstance(apply(Draft.parse(TEXT), value, CATALOG), Refusal)


X = {"text": "'x'"}
SOME_TEXT = TEXTS.filter(len)
SIMPLE = st.one_of(
    operation("set_field", step=st.just("paid"), field=st.just("wait.within"), value=st.sampled_from(("1h", "2d"))),
    operation("set_field", step=st.just("release"), field=st.just("title"), value=SOME_TEXT),
    operation(
        "replace_step",
        step=st.just("note"),
        with_=st.fixed_dictionaries({"id": st.just("note"), "print": st.fixed_dictionaries({"text": SOME_TEXT})}),
    ),
    operation("move_branch", step=st.just("note"), to=st.sampled_from(("paid.timeout", "charge.failure"))),
    operation("add_step", step=st.just({"id": "fresh", "needs": ["paid"], "print": X})),
    operation("remove_step", step=st.just("fresh")),
)


@settings(max_examples=6, deadline=None)
@given(st.lists(SIMPLE, min_size=8, max_size=16))
def test_untouched_steps_keep_their_bytes_over_many_rounds(edits: list[dict[str, Any]]) -> None:
    first = draft = Draft.parse(TEXT)
    touched: set[str] = set()
    known = None
    for edit in edits:
        found = apply(draft, [edit], CATALOG, known=known)
        if isinstance(found, Refusal):
            continue
        step = edit["step"] if isinstance(edit["step"], str) else edit["step"]["id"]
        touched.add(step)
        assert set(found.difference.colours) <= {step}
        for id_ in set(by_id(draft)) - {step}:
            assert found.draft.step_text(id_) == draft.step_text(id_)
        draft, known = found.draft, found.problems
    for id_ in set(by_id(first)) - touched:
        assert draft.step_text(id_) == first.step_text(id_)


@cache
def texts() -> list[str]:
    """Definitions as people write them, and as programs do."""
    written = [path.read_text() for path in sorted(PROJECT.glob("definitions/*/definition.yaml"))]
    page = (PROJECT / "docs" / "definitions.md").read_text()
    written += [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "\nsteps:" in block]
    values = [load_text(text) for text in written[:4]]
    written = [text for text in written if len(text) < 2500]
    return [*written, *(json.dumps(value) for value in values), *(json.dumps(value, indent=1) for value in values)]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every group and list in `value`, with each of its keys."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


FRESH: tuple[Any, ...] = (
    "a",
    "a: b, [c]",
    7,
    1.5,
    True,
    None,
    "two\nlines\n",
    " x ",
    "😀\x85",
    [],
    {},
    {"k": [1, "#"]},
    [{"id": "n"}],
)


def disturb(content: dict[str, Any], chance: random.Random) -> None:
    """One change at a random place: of a value, a field, an item, or the order of a list."""
    holder, key = chance.choice(list(places(content)))
    fresh: Any = chance.choice(FRESH)
    what = chance.randrange(5)
    if what == 0:
        holder[key] = fresh
    elif what == 1:
        del holder[key]
    elif isinstance(holder, list):
        if what == 2:
            holder.insert(chance.randrange(len(holder) + 1), fresh)
        else:
            holder.insert(chance.randrange(len(holder)), holder.pop(key))
    else:
        holder[f"new{chance.randrange(9)}"] = fresh


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_any_change_of_the_content_is_written_into_the_text(which: int, chance: random.Random) -> None:
    draft = Draft.parse(texts()[which % len(texts())])
    editing = draft.editing()
    for _ in range(chance.randrange(1, 4)):
        if editing.content:
            disturb(editing.content, chance)
    written = editing.text()

    assert read(written, editing) or read(editing.text(whole_items=True), editing)


def read(text: str, editing: Rewriting) -> bool:
    try:
        return same(load_text(text) or {}, editing.content)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the text is not the one that was wanted
        return False

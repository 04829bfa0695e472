"""Edits of a draft as people, programs and a language model out of its mind would send them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

IDS = ("paid", "charge", "release", "note", "placed", "fresh", "other", "x", "gone")
NEEDS = ("paid", "paid.captured", "paid.timeout", "charge", "charge.failure", "release", "fresh", "gone", "paid.gone")
EVENTS = ("order.placed", "payment.captured", "order.released", "payment.invented", "Order.Placed")
OPERATIONS = ("card.charge", "card.refund", "card.invented", "exfiltrate.secrets")
TEXTS = st.one_of(
    st.sampled_from(
        ("24h", "true", "null", "~", "- x", "a: b", "'", "# no", "<script>", "%%{init}%%", "on", "1.0", "")
    ),
    st.text(max_size=12),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(-2, 2, allow_nan=False), TEXTS)
KEYS = st.sampled_from(("id", "name", "op", "step", "x"))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def works() -> st.SearchStrategy[dict[str, Any]]:
    """What a step does, in its right shape or not."""
    events, operations = st.sampled_from(EVENTS), st.sampled_from(OPERATIONS)
    return st.one_of(
        st.builds(lambda name: {"call": {"operation": name}}, operations),
        st.builds(lambda name: {"emit": {"event": name}}, events),
        st.builds(lambda name: {"wait": {"events": [{"id": "came", "event": name}], "within": "1h"}}, events),
        st.builds(lambda name: {"run": {"definition": name, "version": "1"}}, st.sampled_from(("parcel", "invented"))),
        st.builds(lambda name: {"call": {"operation": "card.charge"}, "undo": {"operation": name}}, operations),
        st.builds(lambda text: {"print": {"text": text}}, TEXTS),
        st.builds(lambda value: {"print": value}, JSON),
    )


def steps() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda id_, needs, work: {"id": id_, **({"needs": needs} if needs else {}), **work},
        st.sampled_from(IDS),
        st.lists(st.sampled_from(NEEDS), max_size=2, unique=True),
        works(),
    )


FIELDS = st.sampled_from(
    (
        *("wait.within", "wait.events.captured.event", "wait.events.captured.where", "wait.events.came.event", "title"),
        *("call.operation", "emit.event", "emit.data.id.expr", "needs", "if", "undo.operation", "run.definition"),
        *("wait", "call", "print.text", "id", "choose", "nothing", "call.with.a.expr", "", ".", "a..b", "each.items"),
        *("runs", "name", "version", "input", "input.properties.x", "output", "steps", "on", "window", "streamflow"),
    )
)
VALUES = st.one_of(JSON, st.sampled_from((*EVENTS, *OPERATIONS)), works(), st.lists(st.sampled_from(NEEDS), max_size=2))
IDENTIFIERS = st.sampled_from(IDS)
SOME_NEED = st.sampled_from((None, *NEEDS))


def operation(op: str, optional: dict[str, Any] | None = None, **fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    required: dict[str, Any] = {"op": st.just(op)}
    required |= {name.removesuffix("_"): field for name, field in fields.items()}
    return st.fixed_dictionaries(required, optional=optional or {})


FITTING = st.one_of(
    st.tuples(st.just("call.operation"), st.sampled_from(OPERATIONS)),
    st.tuples(st.just("call.lane"), st.sampled_from(("default", "mainframe"))),
    st.tuples(st.sampled_from(("emit.event", "wait.events.captured.event")), st.sampled_from(EVENTS)),
    st.tuples(st.just("undo"), st.builds(lambda name: {"operation": name}, st.sampled_from(OPERATIONS))),
    st.tuples(st.just("needs"), st.lists(st.sampled_from(NEEDS), max_size=2, unique=True)),
    st.tuples(st.sampled_from(("title", "if", "print.text", "call.with.a.expr")), TEXTS.filter(len)),
)
PLAUSIBLE = st.one_of(
    operation("add_step", {"after": IDENTIFIERS}, step=steps()),
    operation("insert_between", step=steps(), after=SOME_NEED, before=st.none() | IDENTIFIERS),
    operation("remove_step", step=IDENTIFIERS, orphans=st.sampled_from(("remove", "refuse"))),
    operation("set_field", step=st.none() | IDENTIFIERS, field=FIELDS, value=VALUES),
    operation("rename", what=st.sampled_from((*IDS, *NEEDS)), to=IDENTIFIERS),
    operation("move_branch", step=IDENTIFIERS, from_=SOME_NEED, to=SOME_NEED),
    operation("set_trigger", trigger=st.fixed_dictionaries({"id": IDENTIFIERS, "event": st.sampled_from(EVENTS)})),
    steps().map(lambda step: {"op": "replace_step", "step": step["id"], "with": step}),
    st.builds(
        lambda id_, pair: {"op": "set_field", "step": id_, "field": pair[0], "value": pair[1]},
        st.sampled_from(("paid", "charge", "release", "note")),
        FITTING,
    ),
)
HOSTILE = st.one_of(
    PLAUSIBLE,
    JSON,
    st.builds(
        lambda name, rest: {"op": name, **(rest if isinstance(rest, dict) else {"step": rest})},
        st.sampled_from(("publish", "run_shell", "add_step", "rename", "set_field")),
        JSON,
    ),
)

ROUND = (
    st.lists(PLAUSIBLE, min_size=1, max_size=1)
    | st.lists(PLAUSIBLE, min_size=1, max_size=3)
    | st.lists(HOSTILE, min_size=1, max_size=3)
)

"""Records to deliveries: for which definition and key, what each would start, how long it is kept, and what fails
beside it."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import ids
from streamflow.definition.catalog import Catalog
from streamflow.definition.compile import compile_plan
from streamflow.definition.model import Definition
from streamflow.engine.commands import DefinitionRef, Deliver, Event, Origin
from streamflow.engine.match import Matched, Matcher, Published, Source
from streamflow.engine.trace import Trace

TRACE = Trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
SOURCE = Source("T", 2, 7, 5, TRACE, correlation_id="ours")


def spec(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "topics": ["orders"], **fields}


def published(
    name: str = "loan",
    version: str = "1",
    *,
    on: tuple[dict[str, Any], ...] = ({"id": "t", "event": "submitted"},),
    waits: tuple[str, ...] = ("accepted",),
    specs: tuple[dict[str, Any], ...] = (spec("submitted"), spec("accepted")),
    newest: bool = True,
    at: int = 3,
    within: str | None = None,
    keep: str | None = None,
    take: str = "one",
    window: str | None = None,
    published_ms: int = 0,
) -> Published:
    limit: dict[str, Any] = {"within": within} if within else {"forever": True}
    limit |= {"take": take} | ({"keep": keep} if keep else {})
    steps = [
        {"id": f"w{place}", "wait": {"events": [{"id": "ok", "event": event}], **limit}}
        for place, event in enumerate(waits)
    ]
    definition = Definition.model_validate(
        {
            "name": name,
            "version": version,
            "on": list(on),
            "window": window,
            "steps": steps or [{"id": "p", "print": {"text": "'x'"}}],
        },
    )
    catalog = Catalog.model_validate({"events": list(specs)})
    plan = compile_plan(definition, catalog, f"sha-{name}-{version}")
    return Published(
        plan=plan,
        specs={found.name: found for found in catalog.events},
        at=at,
        newest=newest,
        published_ms=published_ms,
    )


def match(matcher: Matcher, name: str, key: str | None = "k", data: Any = None, id_: str = "e-1") -> Matched:
    event = Event(name=name, id=id_, time_ms=1, data={} if data is None else data)
    return matcher.match([(index, event, key) for index, spec in enumerate(matcher.specs) if spec.name == name], SOURCE)


def summary(matched: Matched) -> list[tuple[str, str, str]]:
    return [
        ("deliver" if command.start is None else "start", command.definition, command.key)
        for command in matched.commands
    ]


def test_a_delivery_that_satisfies_a_trigger_names_the_content_and_its_origin() -> None:
    matched = match(Matcher([published()]), "submitted")
    tag = ids.tag("deliver", "loan", "submitted", "k")
    assert matched.commands == [
        Deliver(
            id=f"T/2/7/{tag}",
            definition="loan",
            key="k",
            event=Event(name="submitted", id="e-1", time_ms=1, data={}),
            origin=Origin(topic_id="T", partition=2, offset=7, committed=5),
            start=DefinitionRef("sha-loan-1", 3),
            trigger="t",
            trace=TRACE,
            correlation_id="ours",
        )
    ]
    assert not matched.failures


def test_an_event_is_delivered_under_the_catalogs_key() -> None:
    (command,) = match(Matcher([published()]), "accepted").commands
    assert (command.definition, command.key, command.start, command.trigger) == ("loan", "k", None, "")


def test_a_record_that_starts_and_is_waited_for_is_one_delivery() -> None:
    (command,) = match(Matcher([published(waits=("submitted",), keep="1h")]), "submitted").commands
    assert (command.start, command.keep_ms) == (DefinitionRef("sha-loan-1", 3), 3_600_000)


def test_a_trigger_with_a_key_of_its_own_makes_a_second_delivery() -> None:
    on = ({"id": "t", "event": "submitted", "key": "event.customer"},)
    matched = match(Matcher([published(on=on, waits=("submitted",))]), "submitted", data={"customer": "c"})
    assert summary(matched) == [("deliver", "loan", "k"), ("start", "loan", "c")]


def test_an_event_is_kept_as_long_as_the_most_patient_wait_of_each_lane_says() -> None:
    old = published(version="1", newest=False, keep="2h")
    new = published(version="2", waits=("accepted", "accepted"), keep="1h", take="every")
    (command,) = match(Matcher([old, new]), "accepted").commands
    assert (command.keep_ms, command.copies_ms) == (7_200_000, 3_600_000)


@pytest.mark.parametrize(
    ("windows", "window_ms"),
    [((None, None), 0), (("2h", None), 0), ((None, "2h"), 7_200_000), (("30d", "2h"), 7_200_000)],
)
def test_an_event_is_remembered_as_the_newest_version_says(
    windows: tuple[str | None, str | None], window_ms: int
) -> None:
    old = published(version="1", newest=False, at=2, window=windows[0])
    new = published(version="2", at=3, window=windows[1])
    (waited,) = match(Matcher([old, new]), "accepted").commands
    (started,) = match(Matcher([old, new]), "submitted").commands
    assert (waited.window_ms, started.window_ms) == (window_ms, window_ms)


def test_an_event_that_nobody_wants_gives_nothing() -> None:
    matcher = Matcher([published()])
    assert match(matcher, "declined") == Matched([], [])
    assert [one.name for one in matcher.specs] == ["submitted", "accepted"]


def test_only_the_newest_version_starts_runs_but_every_served_version_waits() -> None:
    old = published(
        version="1",
        newest=False,
        at=3,
        waits=("accepted", "paid"),
        specs=(spec("submitted"), spec("accepted"), spec("paid")),
    )
    new = published(version="2", newest=True, at=9)
    matcher = Matcher([old, new])
    started = match(matcher, "submitted").commands
    assert [command.start for command in started] == [DefinitionRef("sha-loan-2", 9)]
    assert summary(match(matcher, "accepted")) == [("deliver", "loan", "k")]
    assert summary(match(matcher, "paid")) == [("deliver", "loan", "k")]


def test_two_versions_that_read_an_event_differently_are_each_offered_it_as_they_read_it() -> None:
    old = published(version="1", newest=False, specs=(spec("submitted"), spec("accepted", key={"path": "old"})))
    new = published(version="2", specs=(spec("submitted"), spec("accepted", key={"path": "new"})))
    matcher = Matcher([old, new])
    places = [index for index, one in enumerate(matcher.specs) if one.name == "accepted"]
    assert len(places) == 2
    event = Event(name="accepted", id="e-1", time_ms=1, data={})
    both = matcher.match([(places[0], event, "a"), (places[1], event, "b")], SOURCE)
    assert summary(both) == [("deliver", "loan", "a"), ("deliver", "loan", "b")]
    same = matcher.match([(places[0], event, "a"), (places[1], event, "a")], SOURCE)
    assert summary(same) == [("deliver", "loan", "a")]


def test_the_same_event_in_many_catalogs_is_read_once() -> None:
    assert len(Matcher([published("a"), published("b"), published("c")]).specs) == 2


def test_the_first_trigger_that_fits_starts_the_run_and_only_that_one() -> None:
    on = (
        {"id": "large", "event": "submitted", "where": "event.amount > 100"},
        {"id": "any", "event": "submitted", "where": "event.amount > 0"},
        {"id": "rest", "event": "submitted", "where": "event.amount > -10"},
    )
    matcher = Matcher([published(on=on)])
    for amount, trigger in ((200, "large"), (50, "any"), (-5, "rest")):
        (command,) = match(matcher, "submitted", data={"amount": amount}).commands
        assert command.trigger == trigger
    assert match(matcher, "submitted", data={"amount": -50}) == Matched([], [])


def test_a_trigger_with_a_key_of_its_own_needs_none_from_the_catalog() -> None:
    matcher = Matcher([published(on=({"id": "t", "event": "submitted", "key": "event.customer"},))])
    assert summary(match(matcher, "submitted", key=None, data={"customer": 17})) == [("start", "loan", "17")]


def test_a_missing_key_is_one_failure_for_the_event() -> None:
    matcher = Matcher([published("a"), published("b", waits=("submitted",))])
    matched = match(matcher, "submitted", key=None)
    assert not matched.commands
    assert "the record's key" in matched.failures[0].message
    assert [(failure.code, failure.event, failure.definition) for failure in matched.failures] == [
        ("missing_key", "submitted", "")
    ]


def test_an_expression_that_fails_takes_its_definition_and_no_other() -> None:
    on = ({"id": "t", "event": "submitted", "where": "event.amount > 100"},)
    matcher = Matcher(
        [
            published("a", on=on),
            published("b"),
            published("c", on=({"id": "t", "event": "submitted", "key": "event.customer"},)),
        ]
    )
    matched = match(matcher, "submitted", data={"amount": "a secret"})
    assert summary(matched) == [("start", "b", "k")]
    found = {(failure.code, failure.definition, failure.version, failure.trigger) for failure in matched.failures}
    assert found == {("expression_failed", "a", "1", "t"), ("expression_failed", "c", "1", "t")}
    assert not any("secret" in failure.message for failure in matched.failures)
    said = sorted(failure.message for failure in matched.failures)
    assert said[0].startswith("The `key` of trigger t of c@1 failed with missing_field: a field, key or index")
    assert said[1].startswith("The `where` of trigger t of a@1 failed with no_overload: an operator or function")


def test_a_key_expression_that_gives_no_text_is_a_missing_key() -> None:
    matcher = Matcher([published(on=({"id": "t", "event": "submitted", "key": "event.customer"},))])
    values: tuple[Any, ...] = (1.5, True, "", [], {})
    for value in values:
        (failure,) = match(matcher, "submitted", data={"customer": value}).failures
        assert (failure.code, failure.trigger) == ("missing_key", "t")
        assert "the `key` of trigger t of loan@1" in failure.message


def test_the_conditions_of_waits_are_left_to_the_engine() -> None:
    live = published()
    assert "accepted" in live.plan.waits
    assert summary(match(Matcher([live]), "accepted", data={"anything": 1})) == [("deliver", "loan", "k")]


def test_ids_are_the_same_whenever_a_record_is_matched_again() -> None:
    first, second = (match(Matcher([published()]), "submitted") for _ in range(2))
    assert first == second


def test_a_matcher_knows_its_topics_those_with_a_clock_and_since_when() -> None:
    old = published(
        version="1",
        newest=False,
        within="1d",
        published_ms=10,
        specs=(spec("submitted"), {"name": "accepted", "topics": ["a", "b"]}),
    )
    new = published(version="2", published_ms=20, waits=(), specs=({"name": "submitted", "topics": ["c"]},))
    matcher = Matcher([old, new])
    assert matcher.topics() == {"a", "b", "c"}
    assert matcher.limited_topics() == {"a", "b"}
    assert (matcher.published_ms("a"), matcher.published_ms("c"), matcher.published_ms("orders")) == (10, 20, None)

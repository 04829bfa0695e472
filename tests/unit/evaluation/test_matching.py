"""How alike two definitions are, whatever the ids of their steps and ways are."""

from __future__ import annotations

import pytest

from streamflow.definition.model import Definition
from streamflow.definition.syntax import parse_definition
from streamflow.evaluation.matching import counterparts, edges, graph_f1, names, node_f1

TEXT = """
name: one
version: "1"
on: [{id: came, event: order.placed}]
steps:
  - id: size
    choose: [{id: large, if: trigger.count > 5}, {id: small}]
  - id: money
    needs: [size.large]
    wait: {within: 1d, events: [{id: paid, event: payment.received}]}
  - id: ship
    needs: [money.paid, size.small]
    join: any
    call: {operation: shop.ship, with: []}
    undo: {operation: shop.fetch, with: []}
  - {id: lost, needs: [money.timeout], emit: {event: order.lost, data: []}}
"""


def _read(*replaced: tuple[str, str]) -> Definition:
    text = TEXT
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return parse_definition(text)


@pytest.mark.parametrize(
    ("replaced", "node", "graph"),
    [
        ([], 1.0, 1.0),
        ([("money", "cash"), ("paid", "yes"), ("large", "big"), ("small", "other"), ("came", "start")], 1.0, 1.0),
        ([("shop.ship", "shop.send")], 0.8, 0.6),
        ([("within: 1d", "within: 2d")], 1.0, 1.0),
        ([("money.timeout", "money.paid")], 1.0, 0.8),
        ([("size.large", "size.small")], 1.0, 0.8),
        ([("    needs: [size.large]\n", "")], 1.0, 0.8),
    ],
)
def test_nodes_and_ways(replaced: list[tuple[str, str]], node: float, graph: float) -> None:
    given = _read(*replaced)
    assert node_f1(_read(), given) == pytest.approx(node)
    assert graph_f1(_read(), given) == pytest.approx(graph)
    assert node_f1(given, _read()) == pytest.approx(node)


def test_a_missing_and_an_invented_step_cost_precision_and_recall() -> None:
    without = _read(("  - {id: lost, needs: [money.timeout], emit: {event: order.lost, data: []}}\n", ""))
    assert node_f1(_read(), without) == pytest.approx(8 / 9)  # four of five nodes, and none that was not meant
    assert graph_f1(_read(), without) == pytest.approx(8 / 9)


def test_the_counterpart_of_a_step_is_the_same_id_or_else_what_does_the_same() -> None:
    given = _read(("id: money", "id: cash"), ("money.", "cash."), ("order.lost", "order.found"))
    assert counterparts(_read(), given) == {"size": "size", "money": "cash", "ship": "ship"}


def test_names_are_those_of_triggers_waits_emits_calls_and_undos() -> None:
    assert set(names(_read())) == {
        ("event", "order.placed"),
        ("event", "payment.received"),
        ("event", "order.lost"),
        ("operation", "shop.ship"),
        ("operation", "shop.fetch"),
    }


def test_ways_are_told_by_what_they_are_for() -> None:
    assert {outcome for _, outcome, _ in edges(_read())} == {"", "if", "otherwise", "payment.received", "timeout"}

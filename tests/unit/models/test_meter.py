"""Budgets hold in every scope, also for answers at the same time, and sums are exact."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamflow.errors import Rejected
from streamflow.models.meter import Account, Budget, Charge, Meter, Price, Scope
from streamflow.models.protocol import Usage

ANN = Account(turn="t1", conversation="c1", person="ann", day="2026-03-01")
PRICE = Price(input=Decimal(3), output=Decimal(15), cached_input=Decimal("0.3"), cache_write=Decimal("3.75"))


def charge(account: Account, tokens_in: int, tokens_out: int, price: Price | None = PRICE) -> Charge:
    usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
    return Charge(account=account, model="m", usage=usage, money=None if price is None else price.of(usage))


def meter(**budgets: Budget) -> Meter:
    return Meter({Scope(name): budget for name, budget in budgets.items()}, currency="EUR")


def test_a_price_counts_each_kind_of_token() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=10_000, cache_write_tokens=2000, output_tokens=500)

    assert PRICE.of(usage) == Decimal("0.021")


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("turn", ANN, Account(turn="t2", conversation="c1", person="ann", day="2026-03-01")),
        ("turn", ANN, Account(turn="t1", conversation="c2", person="ann", day="2026-03-01")),
        (
            "conversation",
            Account(turn="t2", conversation="c1", person="bob", day="2026-03-02"),
            Account(turn="t1", conversation="c2", person="ann", day="2026-03-01"),
        ),
        (
            "person",
            Account(turn="t2", conversation="c2", person="ann", day="2026-03-01"),
            Account(turn="t1", conversation="c1", person="bob", day="2026-03-01"),
        ),
        (
            "person",
            Account(turn="t2", conversation="c2", person="ann", day="2026-03-01"),
            Account(turn="t1", conversation="c1", person="ann", day="2026-03-02"),
        ),
        (
            "day",
            Account(turn="t2", conversation="c2", person="bob", day="2026-03-01"),
            Account(turn="t1", conversation="c1", person="ann", day="2026-03-02"),
        ),
    ],
)
def test_a_used_up_budget_refuses_its_scope_and_no_other(scope: str, same: Account, other: Account) -> None:
    held = meter(**{scope: Budget(tokens=100)})
    held.restore([charge(ANN, 60, 40)])

    with pytest.raises(Rejected) as caught:
        held.reserve(same, input_tokens=10, output_tokens=10, price=PRICE)
    assert (caught.value.code, caught.value.facts["scope"]) == ("budget_exhausted", scope)
    assert "100 tokens" in caught.value.message
    held.reserve(other, input_tokens=10, output_tokens=10, price=PRICE)


def test_answers_get_shorter_before_they_are_refused() -> None:
    held = meter(turn=Budget(tokens=1000))
    held.restore([charge(ANN, 500, 0)])

    assert held.reserve(ANN, input_tokens=300, output_tokens=4000, price=PRICE)[1] == 200


def test_money_limits_the_output() -> None:
    held = meter(day=Budget(money=Decimal("0.10")))

    assert held.reserve(ANN, input_tokens=4000, output_tokens=100_000, price=PRICE)[1] == 5666  # (0.10 - 0.015) / 15
    with pytest.raises(Rejected) as caught:
        held.reserve(ANN, input_tokens=1, output_tokens=1, price=PRICE)
    assert "0.10 EUR" in caught.value.message


def test_a_model_that_costs_nothing_is_not_limited_by_money() -> None:
    free = Price(input=Decimal(0), output=Decimal(0), cached_input=Decimal(0), cache_write=Decimal(0))

    assert meter(day=Budget(money=Decimal(1))).reserve(ANN, input_tokens=9, output_tokens=9, price=free)[1] == 9


def test_two_answers_at_once_cannot_spend_the_same_rest() -> None:
    held = meter(person=Budget(tokens=1000))
    first, allowed = held.reserve(ANN, input_tokens=100, output_tokens=900, price=PRICE)
    assert allowed == 900
    with pytest.raises(Rejected):
        held.reserve(ANN, input_tokens=1, output_tokens=1, price=PRICE)

    held.settle(first, charge(ANN, 100, 100))

    assert held.reserve(ANN, input_tokens=100, output_tokens=900, price=PRICE)[1] == 700


def test_a_reservation_is_settled_once() -> None:
    held = meter(turn=Budget(tokens=1000))
    reservation, _ = held.reserve(ANN, input_tokens=1, output_tokens=1, price=PRICE)
    held.settle(reservation, charge(ANN, 10, 10))
    held.settle(reservation, charge(ANN, 10, 10))

    assert held.spent(ANN, Scope.TURN).tokens == 20


def test_what_has_no_price_is_counted_as_such() -> None:
    held = meter()
    held.restore([charge(ANN, 10, 10, None), charge(ANN, 1_000_000, 0)])
    spent = held.spent(ANN, Scope.DAY)

    assert (spent.tokens, spent.unpriced_tokens, spent.money) == (1_000_020, 20, Decimal(3))


def test_days_that_are_over_are_forgotten_and_conversations_are_not() -> None:
    held = meter()
    held.restore([charge(ANN, 10, 10)])
    held.forget_days_before("2026-03-01")
    assert held.spent(ANN, Scope.DAY).tokens == 20
    held.forget_days_before("2026-03-02")

    assert [held.spent(ANN, scope).tokens for scope in Scope] == [20, 20, 0, 0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 400), st.integers(1, 400), st.integers(0, 100)), max_size=30
    )
)
def test_no_budget_is_overspent_whatever_comes_at_once(asked: list[tuple[str, int, int, int]]) -> None:
    """Answers that keep what they were allowed, begun and settled in any order, never spend more than the budget."""
    held = meter(person=Budget(tokens=2000), day=Budget(money=Decimal("0.02")))
    open_ones = []
    for person, tokens_in, tokens_out, share in asked:
        account = Account(turn="t", conversation="c", person=person, day="2026-03-01")
        try:
            reservation, allowed = held.reserve(account, input_tokens=tokens_in, output_tokens=tokens_out, price=PRICE)
        except Rejected:
            continue
        assert 1 <= allowed <= tokens_out
        open_ones.append((reservation, charge(account, tokens_in, allowed * share // 100)))
        if share % 3 == 0:
            held.settle(*open_ones.pop(0))
    for one in open_ones:
        held.settle(*one)

    for person in "ab":
        account = Account(turn="t", conversation="c", person=person, day="2026-03-01")
        assert held.spent(account, Scope.PERSON).tokens <= 2000
        assert held.spent(account, Scope.DAY).money <= Decimal("0.02")

"""Budgets of tokens and money, and the meter that holds them: per turn, conversation, person and day. Pure: the caller
gives the day.

Before an answer is asked for, what it could take at most is reserved in every scope; afterwards the reservation is
replaced by what it took. So two turns at the same time cannot spend the same rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from streamflow.errors import Rejected
from streamflow.models.protocol import Usage

_MILLION = Decimal(1_000_000)


class Scope(StrEnum):
    """What a budget is for."""

    TURN = "turn"  # one question of a person with all answers until it is done
    CONVERSATION = "conversation"
    PERSON = "person"  # of one day
    DAY = "day"  # of everybody


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in one scope; None: any amount."""

    tokens: int | None = None
    money: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of a million tokens, in the currency of the settings."""

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_write: Decimal

    def of(self, usage: Usage) -> Decimal:
        """The price of `usage`."""
        return (
            usage.input_tokens * self.input
            + usage.cached_input_tokens * self.cached_input
            + usage.cache_write_tokens * self.cache_write
            + usage.output_tokens * self.output
        ) / _MILLION

    def at_most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The price if all input is written to the cache, or not cached, whichever is more."""
        return (input_tokens * max(self.input, self.cache_write) + output_tokens * self.output) / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who asks, and for what: ids of the caller's. `day` is a date in UTC, such as 2026-03-01."""

    turn: str
    conversation: str
    person: str
    day: str

    def key(self, scope: Scope) -> tuple[str, ...]:
        """What is counted together in `scope`."""
        match scope:
            case Scope.TURN:
                return (scope, self.conversation, self.turn)
            case Scope.CONVERSATION:
                return (scope, self.conversation)
            case Scope.PERSON:
                return (scope, self.day, self.person)
            case Scope.DAY:
                return (scope, self.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one answer took. `money` is None where no price is known."""

    account: Account
    model: str  # its name in the settings
    usage: Usage
    money: Decimal | None


@dataclass(slots=True)
class Spent:
    """Sums of one scope."""

    tokens: int = 0
    money: Decimal = Decimal(0)
    unpriced_tokens: int = 0  # of answers whose price is not known; not in `money`


@dataclass(slots=True)
class Reservation:
    """What is held for an answer that is being given; settled or released once."""

    account: Account
    tokens: int
    money: Decimal
    open: bool = True


class Meter:
    """Counts charges and holds budgets, in `currency`. It keeps nothing on disk: the keeper of conversations gives
    `restore` the charges of before."""

    def __init__(self, budgets: Mapping[Scope, Budget], *, currency: str) -> None:
        self._budgets = dict(budgets)
        self.currency = currency
        self._spent: dict[tuple[str, ...], Spent] = defaultdict(Spent)
        self._held: dict[tuple[str, ...], Spent] = defaultdict(Spent)

    def restore(self, charges: Iterable[Charge]) -> None:
        """Counts `charges` of before."""
        for charge in charges:
            self._count(charge)

    def spent(self, account: Account, scope: Scope) -> Spent:
        """What was spent in the scope of `account`, without what is reserved."""
        found = self._spent.get(account.key(scope), Spent())
        return Spent(found.tokens, found.money, found.unpriced_tokens)

    def budget(self, scope: Scope) -> Budget:
        """What may be spent in each of `scope`."""
        return self._budgets.get(scope, Budget())

    def reserve(
        self, account: Account, *, input_tokens: int, output_tokens: int, price: Price | None
    ) -> tuple[Reservation, int]:
        """Holds what an answer of `input_tokens` and at most `output_tokens` could take, and gives how many output
        tokens the budgets leave: fewer than asked for where a budget is nearly used up.

        Raises Rejected (`budget_exhausted`) when a budget does not leave the input and one token of output."""
        allowed = output_tokens
        for scope in Scope:
            allowed = min(allowed, self._left(account, scope, input_tokens, output_tokens, price))
        tokens = input_tokens + allowed
        money = Decimal(0) if price is None else price.at_most(input_tokens, allowed)
        for scope in Scope:
            held = self._held[account.key(scope)]
            held.tokens += tokens
            held.money += money
        return Reservation(account, tokens, money), allowed

    def settle(self, reservation: Reservation, charge: Charge | None) -> None:
        """Replaces `reservation` by what the answer took; None: nothing."""
        if not reservation.open:
            return
        reservation.open = False
        for scope in Scope:
            key = reservation.account.key(scope)
            held = self._held[key]
            held.tokens -= reservation.tokens
            held.money -= reservation.money
            if held.tokens == 0:
                del self._held[key]
        if charge is not None:
            self._count(charge)

    def forget_days_before(self, day: str) -> None:
        """Drops what was counted for persons and days before `day`, and nothing of conversations."""
        for key in [key for key in self._spent if key[0] in (Scope.PERSON, Scope.DAY) and key[1] < day]:
            del self._spent[key]

    def forget_conversation(self, conversation: str) -> None:
        """Drops what was counted for a conversation and its turns; persons and days keep it."""
        for key in [
            key for key in self._spent if key[0] in (Scope.TURN, Scope.CONVERSATION) and key[1] == conversation
        ]:
            del self._spent[key]

    def _count(self, charge: Charge) -> None:
        for scope in Scope:
            spent = self._spent[charge.account.key(scope)]
            spent.tokens += charge.usage.tokens
            if charge.money is None:
                spent.unpriced_tokens += charge.usage.tokens
            else:
                spent.money += charge.money

    def _left(self, account: Account, scope: Scope, input_tokens: int, output_tokens: int, price: Price | None) -> int:
        """Output tokens that the budget of `scope` leaves, at most `output_tokens`."""
        budget, key = self.budget(scope), account.key(scope)
        spent, held = self._spent.get(key, Spent()), self._held.get(key, Spent())
        left = output_tokens
        if budget.tokens is not None:
            left = min(left, budget.tokens - spent.tokens - held.tokens - input_tokens)
        if left < 1:
            assert budget.tokens is not None
            raise self._exhausted(scope, f"{budget.tokens} tokens", f"{spent.tokens}", f"{input_tokens} more")
        if budget.money is not None and price is not None:
            rest = budget.money - spent.money - held.money - price.at_most(input_tokens, 0)
            if rest < price.at_most(0, 1):
                need = f"{price.at_most(input_tokens, 1):.6f} {self.currency} more"
                raise self._exhausted(scope, f"{budget.money} {self.currency}", f"{spent.money:.6f}", need)
            if price.output > 0:
                left = min(left, int(rest * _MILLION / price.output))
        return left

    def _exhausted(self, scope: Scope, budget: str, spent: str, need: str) -> Rejected:
        kind = (
            "today's of this person"
            if scope is Scope.PERSON
            else "today's"
            if scope is Scope.DAY
            else f"this {scope}'s"
        )
        remedy = {
            Scope.TURN: "Ask for less at once",
            Scope.CONVERSATION: "Begin another conversation",
        }.get(scope, "Go on tomorrow")
        message = (
            f"The budget of the language model is used up: {kind} is {budget}, {spent} are spent, and this answer "
            f"needs at least {need}. {remedy}, or have an operator raise models.budgets."
        )
        return Rejected("budget_exhausted", message, scope=scope.value)

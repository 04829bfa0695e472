"""Closures of the operators: those that decide what is evaluated, and those that are worth a closure of their own
because they are so common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.definition.evaluator import lists, numbers
from streamflow.definition.evaluator.budget import FAILURE_STEPS, SHORT, Closure, Exhausted, Frame
from streamflow.definition.evaluator.values import ORDERED, OptionalValue, equal, no_overload, ordered
from streamflow.definition.plan import ExpressionError


def _and(left: Closure, right: Closure) -> Closure:
    return _logic(left, right, decisive=False)


def _or(left: Closure, right: Closure) -> Closure:
    return _logic(left, right, decisive=True)


def _logic(left: Closure, right: Closure, decisive: bool) -> Closure:
    """`&&` and `||`: the decisive value on one side is the result, whatever the other side is, also a failure."""
    neutral = not decisive

    def logic(f: Frame) -> Any:
        failed = "no_overload"  # what is neither true nor false
        try:
            one = left(f)
        except Exhausted:
            raise
        except ExpressionError as error:
            failed, one = error.code, None
            f[1] -= FAILURE_STEPS
        if one is decisive:
            return decisive
        if one is neutral:
            two = right(f)
            if two is neutral or two is decisive:
                return two
            raise no_overload()
        try:
            two = right(f)
        except Exhausted:
            raise
        except ExpressionError:
            two = None
        if two is decisive:
            return decisive
        raise ExpressionError(failed)

    return logic


def _not(inner: Closure) -> Closure:
    def negation(f: Frame) -> bool:
        value = inner(f)
        if value is True:
            return False
        if value is False:
            return True
        raise no_overload()

    return negation


def _choice(condition: Closure, yes: Closure, no: Closure) -> Closure:
    def choice(f: Frame) -> Any:
        value = condition(f)
        if value is True:
            return yes(f)
        if value is False:
            return no(f)
        raise no_overload()

    return choice


def _equals(left: Closure, right: Closure) -> Closure:
    def equals(f: Frame) -> bool:
        a, b = left(f), right(f)
        if a.__class__ is str and b.__class__ is str and len(a) <= SHORT:
            return bool(a == b)
        return equal(f, a, b)

    return equals


def _differs(left: Closure, right: Closure) -> Closure:
    return lambda f: not equal(f, left(f), right(f))


def _less(left: Closure, right: Closure) -> Closure:
    def less(f: Frame) -> bool:
        a, b = left(f), right(f)
        kind, other = a.__class__, b.__class__
        if kind is not other or kind not in ORDERED:
            a, b = ordered(a, b)
        return bool(a < b)

    return less


def _at_most(left: Closure, right: Closure) -> Closure:
    def at_most(f: Frame) -> bool:
        a, b = left(f), right(f)
        kind, other = a.__class__, b.__class__
        if kind is not other or kind not in ORDERED:
            a, b = ordered(a, b)
        return bool(a <= b)

    return at_most


def _greater(left: Closure, right: Closure) -> Closure:
    def greater(f: Frame) -> bool:
        a, b = left(f), right(f)
        kind, other = a.__class__, b.__class__
        if kind is not other or kind not in ORDERED:
            a, b = ordered(a, b)
        return bool(a > b)

    return greater


def _at_least(left: Closure, right: Closure) -> Closure:
    def at_least(f: Frame) -> bool:
        a, b = left(f), right(f)
        kind, other = a.__class__, b.__class__
        if kind is not other or kind not in ORDERED:
            a, b = ordered(a, b)
        return bool(a >= b)

    return at_least


def _plus(left: Closure, right: Closure) -> Closure:
    add = numbers.add
    return lambda f: add(f, left(f), right(f))


def _index(left: Closure, right: Closure) -> Closure:
    index = lists.index

    def at(f: Frame) -> Any:
        value, place = left(f), right(f)
        if value.__class__ is dict and place.__class__ is str and place in value:
            return value[place]
        if value.__class__ is list and place.__class__ is int and 0 <= place < len(value):
            return value[place]
        if value.__class__ is OptionalValue:
            return lists.find(f, value, place)
        return index(f, value, place)

    return at


def _or_else(left: Closure, right: Closure) -> Closure:
    def or_else(f: Frame) -> Any:
        value = left(f)
        if value.__class__ is not OptionalValue:
            raise no_overload()
        if value.present:
            return value
        other = right(f)
        if other.__class__ is not OptionalValue:
            raise no_overload()
        return other

    return or_else


def _or_value(left: Closure, right: Closure) -> Closure:
    def or_value(f: Frame) -> Any:
        value = left(f)
        if value.__class__ is not OptionalValue:
            raise no_overload()
        return value.value if value.present else right(f)

    return or_value


# by name and the number of operands
OPERATORS: dict[tuple[str, int], Callable[..., Closure]] = {
    ("_&&_", 2): _and,
    ("_||_", 2): _or,
    ("!_", 1): _not,
    ("_?_:_", 3): _choice,
    ("_==_", 2): _equals,
    ("_!=_", 2): _differs,
    ("_+_", 2): _plus,
    ("_[_]", 2): _index,
    ("or", 2): _or_else,
    ("orValue", 2): _or_value,
    ("_<_", 2): _less,
    ("_<=_", 2): _at_most,
    ("_>_", 2): _greater,
    ("_>=_", 2): _at_least,
}

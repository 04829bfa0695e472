"""The functions of expressions as authors write them: how each is called, and what it gives.

docs/functions.md is written from this registry, and messages about unknown functions read it. A test compares it with
the functions that the evaluator has.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Function:
    """One function or macro of expressions."""

    name: str  # as it is written, with its namespace: "size", "math.abs"
    forms: tuple[str, ...]  # every way to call it, with names for the arguments
    gives: str  # its result, in words


_RECEIVERS = (
    "list",
    "text",
    "object",
    "timestamp",
    "duration",
    "optional_value",
    "decimal",
)  # what stands for the value before the point


def _functions(*rows: tuple[str, str]) -> tuple[Function, ...]:
    """Functions from rows of (forms separated by blanks and bars, result)."""
    found = []
    for written, gives in rows:
        forms = tuple(written.split(" | "))
        name = forms[0].partition("(")[0]
        receiver, _, member = name.partition(".")
        name = member if member and receiver in _RECEIVERS else name
        found.append(Function(name=name, forms=forms, gives=gives))
    return tuple(found)


FUNCTIONS = {
    "Fields that may be missing": _functions(
        ("has(x.field)", "whether the field is there"),
        ("optional.of(x)", "an optional value that is there"),
        ("optional.none()", "an optional value that is not there"),
        ("optional.ofNonZeroValue(x)", "not there for `''`, `0`, `false`, `null` and what is empty"),
        ("optional_value.value()", "the value; an error if it is not there"),
        ("optional_value.hasValue()", "whether it is there"),
        ("optional_value.or(other)", "itself if it is there, else the other optional value"),
        ("optional_value.orValue(x)", "the value if it is there, else `x`"),
        ("optional_value.optMap(name, expression)", "the expression of the value if it is there, as optional value"),
        ("optional_value.optFlatMap(name, expression)", "the same with an expression that is optional itself"),
    ),
    "Lists and objects": _functions(
        ("size(x) | list.size() | object.size() | text.size()", "number of items, fields or characters"),
        ("list.map(item, expression) | list.map(item, condition, expression)", "the list of the expression's values"),
        ("list.filter(item, condition)", "the items for which the condition holds"),
        (
            "list.all(item, condition) | object.all(key, condition) | list.all(index, item, condition)",
            "whether the condition holds for all",
        ),
        (
            "list.exists(item, condition) | object.exists(key, condition) | list.exists(index, item, condition)",
            "whether the condition holds for any",
        ),
        ("list.exists_one(item, condition)", "whether the condition holds for exactly one"),
        (
            "list.existsOne(item, condition) | list.existsOne(index, item, condition)",
            "whether the condition holds for exactly one",
        ),
        (
            "list.transformList(index, item, expression) | object.transformList(key, value, expression)",
            "the list of the expression's values; an optional condition comes before it",
        ),
        (
            "object.transformMap(key, value, expression)",
            "an object with the same keys; an optional condition comes before it",
        ),
        (
            "object.transformMapEntry(key, value, object)",
            "an object of all entries; an optional condition comes before it",
        ),
        ("list.sum()", "the sum of numbers, decimals or durations"),
        ("list.avg()", "the average; an error for an empty list"),
        ("list.min()", "the smallest value; an error for an empty list"),
        ("list.max()", "the largest value; an error for an empty list"),
        ("list.sort()", "in ascending order"),
        ("list.sortBy(item, expression)", "in ascending order of the expression"),
        ("list.distinct()", "each value once, at its first place"),
        ("list.flatten() | list.flatten(levels)", "lists in the list replaced by their items"),
        ("list.reverse() | text.reverse()", "in reverse order"),
        ("list.slice(from, to)", "the items from `from` to before `to`"),
        ("list.first()", "the first item, as optional value"),
        ("list.last()", "the last item, as optional value"),
        ("list.join() | list.join(separator)", "the items as one text"),
        ("lists.range(n)", "the numbers 0 to n - 1"),
        ("cel.bind(name, value, expression)", "the expression, in which the name stands for the value"),
    ),
    "Money": _functions(
        ("decimal(x)", "an exact decimal, of a text or a number"),
        ("decimal.round(digits) | decimal.round(digits, mode)", "rounded; `half_even`, `half_up`, `down` or `up`"),
        ("decimal.divide(x, digits) | decimal.divide(x, digits, mode)", "the quotient, rounded"),
    ),
    "Texts and bytes": _functions(
        ("string(x)", "as text"),
        ("bytes(x)", "as bytes"),
        ("text.contains(part)", "whether it contains the part"),
        ("text.startsWith(part)", "whether it starts with the part"),
        ("text.endsWith(part)", "whether it ends with the part"),
        ("text.matches(pattern) | matches(text, pattern)", "whether the regular expression matches anywhere in it"),
        ("text.charAt(index)", "one character"),
        ("text.indexOf(part) | text.indexOf(part, from)", "the index of the first occurrence of the part, or -1"),
        (
            "text.lastIndexOf(part) | text.lastIndexOf(part, from)",
            "the index of the last occurrence of the part, or -1",
        ),
        ("text.substring(from) | text.substring(from, to)", "a part of it"),
        ("text.replace(old, new) | text.replace(old, new, times)", "with the part replaced"),
        ("text.split(separator) | text.split(separator, parts)", "a list of texts"),
        ("text.trim()", "without white space at both ends"),
        ("text.lowerAscii()", "A to Z in lower case"),
        ("text.upperAscii()", "a to z in upper case"),
        ("text.format(list)", "with `%s`, `%d`, `%.2f`, `%x`, `%o`, `%b`, `%e` replaced by the items"),
        ("strings.quote(text)", "in quotes, with escapes"),
        ("base64.encode(bytes)", "as text"),
        ("base64.decode(text)", "as bytes"),
    ),
    "Numbers": _functions(
        ("int(x)", "as an integer: of a text, a number, a decimal or a timestamp (seconds)"),
        ("uint(x)", "as an unsigned integer"),
        ("double(x)", "as a double"),
        ("bool(x)", "true or false, of a text"),
        ("math.greatest(x, y, ...)", "the largest argument"),
        ("math.least(x, y, ...)", "the smallest argument"),
        ("math.abs(x)", "the absolute value"),
        ("math.sign(x)", "-1, 0 or 1"),
        ("math.ceil(x)", "rounded up to a whole number, as a double"),
        ("math.floor(x)", "rounded down to a whole number, as a double"),
        ("math.round(x)", "the nearest whole number, halves away from 0, as a double"),
        ("math.trunc(x)", "without its fraction, as a double"),
        ("math.sqrt(x)", "the square root"),
        ("math.isNaN(x)", "whether it is NaN"),
        ("math.isInf(x)", "whether it is infinite"),
        ("math.isFinite(x)", "whether it is neither NaN nor infinite"),
        ("math.bitAnd(x, y)", "bitwise and"),
        ("math.bitOr(x, y)", "bitwise or"),
        ("math.bitXor(x, y)", "bitwise exclusive or"),
        ("math.bitNot(x)", "bitwise not"),
        ("math.bitShiftLeft(x, n)", "bits shifted to the left"),
        ("math.bitShiftRight(x, n)", "bits shifted to the right"),
        ("type(x)", "its type, to compare with"),
        ("dyn(x)", "the same value, without a static type"),
    ),
    "Times": _functions(
        ("timestamp(x)", "of RFC 3339 text, or of seconds since 1970"),
        ("duration(text)", "of text such as `36h`, `90s`, `1h30m`"),
        ("timestamp.getFullYear() | timestamp.getFullYear(offset)", "year"),
        ("timestamp.getMonth() | timestamp.getMonth(offset)", "month, January is 0"),
        ("timestamp.getDate() | timestamp.getDate(offset)", "day of the month, from 1"),
        ("timestamp.getDayOfMonth() | timestamp.getDayOfMonth(offset)", "day of the month, from 0"),
        ("timestamp.getDayOfYear() | timestamp.getDayOfYear(offset)", "day of the year, from 0"),
        ("timestamp.getDayOfWeek() | timestamp.getDayOfWeek(offset)", "day of the week, Sunday is 0"),
        ("timestamp.getHours() | timestamp.getHours(offset) | duration.getHours()", "hours"),
        ("timestamp.getMinutes() | timestamp.getMinutes(offset) | duration.getMinutes()", "minutes"),
        ("timestamp.getSeconds() | timestamp.getSeconds(offset) | duration.getSeconds()", "seconds"),
        (
            "timestamp.getMilliseconds() | timestamp.getMilliseconds(offset) | duration.getMilliseconds()",
            "milliseconds within the second",
        ),
    ),
}
"""By subject, as docs/functions.md has them."""

BY_NAME: dict[str, Function] = {function.name: function for group in FUNCTIONS.values() for function in group}

_ELSEWHERE = {
    # What other languages call it, and what stands for it here.
    "len": "size(x)",
    "length": "size(x)",
    "count": "size(x)",
    "lower": "text.lowerAscii()",
    "tolower": "text.lowerAscii()",
    "tolowercase": "text.lowerAscii()",
    "upper": "text.upperAscii()",
    "toupper": "text.upperAscii()",
    "touppercase": "text.upperAscii()",
    "strip": "text.trim()",
    "includes": "text.contains(part), or `x in list`",
    "some": "list.exists(item, condition)",
    "any": "list.exists(item, condition)",
    "every": "list.all(item, condition)",
    "find": "list.filter(item, condition).first()",
    "reduce": "list.map(item, expression) and then sum(), min(), max() or join()",
    "fold": "list.map(item, expression) and then sum(), min(), max() or join()",
    "mean": "list.avg()",
    "average": "list.avg()",
    "unique": "list.distinct()",
    "sorted": "list.sort()",
    "concat": "`a + b`",
    "append": "`list + [x]`",
    "str": "string(x)",
    "tostring": "string(x)",
    "float": "double(x)",
    "number": "double(x) or int(x)",
    "parseint": "int(x)",
    "date": "timestamp(x)",
    "datetime": "timestamp(x)",
    "today": "`now`",
    "exists": "has(x.field)",
    "defined": "has(x.field)",
    "coalesce": "`x.?field.orValue(y)`",
    "default": "`x.?field.orValue(y)`",
    "if": "`condition ? a : b`",
    "keys": "object.transformList(key, value, key)",
    "regex": "text.matches(pattern)",
    "year": "timestamp.getFullYear()",
    "month": "timestamp.getMonth()",
    "day": "timestamp.getDate()",
    "hour": "timestamp.getHours()",
    "ln": "no function; an operation can compute it",
    "pow": "no function; an operation can compute it",
    "uuid": "`run.id`, or an operation; expressions are deterministic",
    "random": "an operation; expressions are deterministic",
}


def instead(name: str) -> str:
    """What to write in place of a function that there is not; empty if nothing is like it."""
    last = name.rpartition(".")[2]
    if found := _ELSEWHERE.get(last.lower()):
        return found
    near = get_close_matches(last.lower(), [_last(known) for known in BY_NAME], n=1, cutoff=0.8)
    return forms(near[0]) if near else ""


def forms(last: str) -> str:
    """How every function of this name is called, whatever its namespace; empty if there is none."""
    return " or ".join(
        form for known, function in BY_NAME.items() if _last(known) == last.lower() for form in function.forms
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2].lower()

"""The compiler's messages about an expression, in words for its author."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from streamflow.definition.expression_text import sign as written_sign
from streamflow.definition.functions import BY_NAME, forms, instead
from streamflow.errors import Problem

VARIABLES = ("event", "cloudevent", "trigger", "steps", "errors", "item", "index", "run", "now")

_MESSAGE = re.compile(r"ERROR: [^:]*:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
KINDS = {
    "string": "a text",
    "int": "a whole number",
    "uint": "a whole number (uint)",
    "double": "a number with a point",
    "bool": "true or false",
    "null_type": "null",
    "bytes": "bytes",
    "dyn": "anything",
    "streamflow.Decimal": "a decimal",
    "google.protobuf.Timestamp": "a timestamp",
    "google.protobuf.Duration": "a duration",
    "list": "a list",
    "map": "a group of fields",
    "optional_type": "an optional value (end it with orValue)",
    "type": "a type",
}
"""The types of values in words, by the names that the compiler has for them."""


def syntax_problems(
    text: str, source: str = "", fields: Callable[[str], Iterable[str]] = lambda _struct: ()
) -> list[Problem]:
    """Problems for the text of a compile error. `source` is the expression; `fields` gives the property names of a
    message type; pointers are empty."""
    found = _MESSAGE.findall(text) or [("1", "1", text.split("\n")[0])]
    places = [(int(line), int(column), message) for line, column, message in found if "'*error*'" not in message]
    lines = source.split("\n")
    calls = [
        (line, column)
        for line, column, message in places
        if _UNDECLARED.match(message) and _letter(lines, line, column) == "("
    ]
    problems = [
        _function_problem(match[1], _place(line, column))
        if (match := _UNDECLARED.match(message)) and (line, column) in calls
        else _worded(message, _place(line, column), fields, source)
        for line, column, message in places
        # the arguments of an unknown function may be names that it would bring along
        if not (_UNDECLARED.match(message) and any(_is_inside(lines, call, (line, column)) for call in calls))
    ]
    unread = [problem for problem in problems if problem.code == "SF260"]
    if unread:
        return unread[:1]  # the others are its consequences
    # the compiler repeats itself; what comes after three is mostly a consequence
    return list(dict.fromkeys(problems))[:3]


def _letter(lines: list[str], line: int, column: int) -> str:
    return lines[line - 1][column - 1 : column] if 0 < line <= len(lines) and column > 0 else ""


def _is_inside(lines: list[str], call: tuple[int, int], place: tuple[int, int]) -> bool:
    """Whether `place` is between the bracket at `call` and its end. Brackets in texts count, too: the worst is a
    problem more or less."""
    if place <= call:
        return False
    between = "\n".join(lines[call[0] - 1 : place[0]])
    end = len(between) - len(lines[place[0] - 1]) + place[1] - 1
    part = between[call[1] - 1 : end]
    return part.count("(") > part.count(")")


def _function_problem(name: str, place: str) -> Problem:
    if name in VARIABLES:
        return Problem("SF261", "", f"`{name}` is a variable, not a function ({place}).", f"Write {name} without ().")
    if name in BY_NAME:
        fix = f"Write {forms(name.rpartition('.')[2])}."
        return Problem("SF271", "", f"`{name}` is not called like that ({place}).", fix)
    if name.lower() in ("and", "or", "not"):
        return Problem("SF261", "", f"`{name}` is no function of expressions ({place}).", _LOGICAL)
    near = instead(name)
    fix = f"Write {near}." if near else "docs/functions.md lists all functions."
    return Problem("SF261", "", f"`{name}` is no function of expressions ({place}).", fix)


def _place(line: int, column: int) -> str:
    return f"at column {max(column, 1)}" + (f" of line {line}" if line > 1 else "")


def _worded(message: str, place: str, fields: Callable[[str], Iterable[str]], source: str) -> Problem:
    if match := _UNDECLARED.match(message):
        fix = f"The variables are {', '.join(VARIABLES)}; a text is written in quotes."
        return Problem("SF261", "", f"`{match[1]}` is no variable of expressions ({place}).", fix)
    if match := re.match(r"undefined field '([^']*)' not found in struct '([^']*)'", message):
        return _no_field(property_name(match[1]), place, list(fields(match[2])))
    if match := re.match(r"found no matching overload for '([^']*)' applied to '([^']*)'", message):
        return _no_overload(match[1], match[2], place)
    if match := re.match(r"expression of type '([^']*)' cannot be the operand of a select operation", message):
        kind = _kind(match[1])
        fix = (
            "Read one item of it, such as [0], go through it with map, or count its items with size(x)."
            if kind == "a list"
            else "Read it alone, without a field."
        )
        return Problem("SF271", "", f"{kind} has no fields ({place}).", fix)
    return Problem("SF260", "", f"the expression cannot be read {place}: {_detail(message)}.", _remedy(message, source))


_LOGICAL = "Write && for and, || for or, ! for not."
_PLAIN_TEXT = re.compile(r"[^\W\d]\w*[,:;]?(?: +[\w'-]+[,:;]?)+ *[.?!]?")


def _remedy(message: str, source: str) -> str:
    unexpected = re.search(r"input '(?:.* )?(\w+|>)'", message)
    word = unexpected[1].lower() if unexpected is not None else ""
    if word in ("and", "or", "not") or re.match(r"\s*not\b", source):
        return _LOGICAL
    if word == ">" and "<>" in source:
        return "Write !=."
    if _PLAIN_TEXT.fullmatch(source.strip()) and not source.startswith(("if ", "not ")):
        return f"""A text needs quotes of its own within those of YAML: "'{source.strip()}'"."""
    if "reserved identifier: if" in message:
        return "Write condition ? a : b."
    if "token recognition error at: '= '" in message or "token recognition error at: '='" in message:
        return "Write == to compare."
    if "token recognition error at: '=" in message:
        return "Write the names of a loop as its first arguments, such as list.map(item, item.count)."
    if "token recognition error at: '&" in message or "token recognition error at: '|" in message:
        return _LOGICAL
    if match := re.match(r"reserved identifier: (\w+)", message):
        return f"{match[1]} cannot be the name of a variable. Choose another one."
    return "Look for a missing bracket, quote or operator there."


def _detail(message: str) -> str:
    message = message.removeprefix("Syntax error: ")
    if "input '<EOF>'" in message or "at '<EOF>'" in message:
        return "it ends too early"
    if match := re.match(r"token recognition error at: '(.*)'$", message):
        return f"`{match[1].strip()}` is no part of an expression"
    if match := re.match(r"missing (\S+) at (\S+)", message):
        return f"{match[1]} is missing before {match[2]}"
    if match := re.match(
        r"(?:mismatched|extraneous) input '(.*?)' expecting|no viable alternative at input '(.*)'$", message
    ):
        return f"`{match[1] or match[2]}` is not expected there"
    return message


def _no_field(name: str, place: str, known: list[str]) -> Problem:
    near = next(iter(get_close_matches(name, known, n=1)), "")
    fix = f"Did you mean `{near}`?" if near else f"The fields are {', '.join(known[:20])}." if known else ""
    return Problem("SF270", "", f"there is no field `{name}` ({place}).", fix)


def property_name(field: str) -> str:
    """The property name that `schema_types.field_name` made `field` of."""
    if not re.fullmatch(r"x_([0-9a-f]{2})+", field):
        return field
    try:
        return bytes.fromhex(field[2:]).decode()
    except UnicodeDecodeError:
        return field


def _no_overload(function: str, types: str, place: str) -> Problem:
    sign = written_sign(function)
    kinds = [_kind(part) for part in _split(types.strip("()"))]
    operands = " and ".join(kinds)
    if set(kinds) == {"a number with a point", "a whole number"}:
        fix = "Write the whole number with a point, such as 10.0, or convert with double(...)."
    elif "a decimal" in kinds:
        fix = "Write decimal(...) around the other side; a decimal takes no number with a point."
    elif "null" in kinds:
        fix = "Only a field that may be null can be compared with null. Check with has(...) whether it exists."
    elif sign == "in" and kinds[-1] == "a group of fields":
        fix = "Ask with has(x.field) whether a field is there."
    elif sign in ("&&", "||", "!", "? :"):
        fix = "Write a comparison, which is true or false."
    else:
        fix = "Convert one side, for example with string(...), int(...), double(...) or timestamp(...)."
    return Problem("SF271", "", f"`{sign}` does not take {operands} ({place}).", fix)


def _split(types: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(types):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(types[start:index].strip())
            start = index + 1
    return [*parts, types[start:].strip()]


def _kind(name: str) -> str:
    if name.startswith("wrapper("):
        return KINDS.get(name[8:-1], name[8:-1]) + " or null"
    if name.startswith("streamflow.T"):
        return KINDS["map"]
    name = name.partition("(")[0]
    return KINDS.get(name, name)

"""Expressions of an author, and data of a producer, that want all the time or memory of a worker."""

from __future__ import annotations

import random
import string
import time
from collections import Counter

from streamflow.definition.evaluator.budget import STEPS
from streamflow.definition.expression import compile_expression
from streamflow.definition.plan import ExpressionError
from streamflow.errors import DefinitionError
from tests.attack import Attack, Seen
from tests.attack.processes import apart
from tests.unit.definition.test_expression_budget import TOO_MUCH, evaluated

MILLION = (
    ("a million and more steps", "lists.range(1001).map(a, lists.range(1001).map(b, a + b)).size()"),
    ("three loops of 100", "lists.range(100).all(a, lists.range(100).all(b, lists.range(101).all(c, a + b + c >= 0)))"),
    ("a million failures", "lists.range(1001).exists(a, lists.range(1001).exists(b, event.nothing == b))"),
    ("a million texts", "lists.range(1001).map(a, lists.range(1001).map(b, string(b))).size()"),
    (
        "a million patterns",
        "lists.range(1001).exists(a, lists.range(1001).exists(b, 'ab'.matches('x' + string(b) + '?y')))",
    ),
)
# The classics at which backtracking takes exponential time; each is right or refused, and at once.
PATTERNS = (
    "(a+)+$",
    "(a|aa)+$",
    "(a|a?)+$",
    "(.*a){25}$",
    "([a-zA-Z]+)*$",
    "(x+x+)+y",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(a*)*b",
    "(?:a?){60}a{60}",
    "a{1,1000}{1,1000}",
    "((a{0,100}){0,100}){0,100}b",
    "(((((((((a+)+)+)+)+)+)+)+)+)+b",
    "(?i)(K|k|\u212a)+$",
    "\\b" * 2000 + "x",
    "[" + "a-z" * 5000 + "]+!",
    "(?P<x>a)" * 300,
)
SOURCES = {
    "parentheses": "(" * 20_000 + "1" + ")" * 20_000,
    "not not": "!" * 20_000 + "true",
    "minus": "-" * 20_000 + "1",
    "a long sum": " + ".join(["1"] * 50_000),
    "a long choice": "true ? 1 : " * 5_000 + "1",
    "a long chain": "event" + ".a" * 50_000,
    "calls within calls": "size(" * 5_000 + "''" + ")" * 5_000,
    "a list of lists": "[" * 20_000 + "]" * 20_000,
    "macros within macros": "[1].map(a, " * 2_000 + "1" + ")" * 2_000,
    "a long text": "'" + "x" * 1_000_000 + "'",
    "a long number": "9" * 100_000,
    "an open text": "'" * 100_001,
}
_MESSAGE_CHARS = 5000
_EACH_S = 5.0  # on a machine with much to do; mostly below 0.1 s


def _evaluate(seed: int) -> Seen:
    seen, codes, slowest = Seen(), Counter[str](), (0.0, "")
    for name, source in (*TOO_MUCH, *MILLION):
        found, took_s = evaluated(compile_expression(source))
        seen.require(found == "too_costly", f"{name}: {str(found)[:100]}")
        seen.require(took_s < _EACH_S, f"{name}: {took_s:.1f} s")
        codes[str(found)[:20]] += 1
        slowest = max(slowest, (took_s, name))
    matching = compile_expression("event.text.matches(event.pattern)")
    for nth, pattern in enumerate(PATTERNS):
        for text in ("a" * 30 + "!", "a" * 400_000 + "!", "x" * 50_000):
            began = time.thread_time()
            try:
                code = str(matching.evaluate({"event": {"text": text, "pattern": pattern}}))
            except ExpressionError as error:
                code = error.code
            took_s = time.thread_time() - began
            seen.require(took_s < _EACH_S, f"pattern {nth} ({pattern[:40]}): {took_s:.1f} s")
            codes[code] += 1
            slowest = max(slowest, (took_s, f"pattern {nth}"))
    drawn = random.Random(seed)
    for _ in range(300):  # patterns of this seed's own
        pattern = "".join(drawn.choices(["a", "b", ".", "(a|b)", "[ab]", "(a*)", "(b+)"], k=8))
        pattern = f"({pattern}{drawn.choice(['*', '+', '{0,50}'])}){drawn.choice(['*', '+', '{1,40}'])}c"
        text = "".join(drawn.choices("ab", k=2000))
        code, took_s = _compiled(f"'{text}'.matches('{pattern}')")
        if code == "compiled":
            found, more_s = evaluated(compile_expression(f"'{text}'.matches('{pattern}')"))
            code, took_s = str(found), took_s + more_s
        seen.require(took_s < _EACH_S, f"pattern {pattern}: {took_s:.1f} s")
        codes[code] += 1
        slowest = max(slowest, (took_s, pattern))
    seen.count("answers", codes)
    seen.figures["slowest"] = f"{slowest[1]}: {slowest[0] * 1000:.0f} ms; the budget is {STEPS} steps"
    return seen


def _compiled(source: str) -> tuple[str, float]:
    """`compiled`, or the code of the first problem, and the seconds of CPU that it took."""
    began = time.thread_time()
    try:
        compile_expression(source)
        end = "compiled"
    except DefinitionError as error:
        end = error.problems[0].code
        if len(str(error)) > _MESSAGE_CHARS:
            end = f"a message of {len(str(error))} characters"
    return end, time.thread_time() - began


def _compile(seed: int) -> Seen:
    seen, ends, slowest = Seen(), Counter[str](), (0.0, "")
    drawn = random.Random(seed)
    noise = {f"noise {nth}": "".join(drawn.choices(string.printable, k=10_000)) for nth in range(20)}
    for name, source in (SOURCES | noise).items():
        end, took_s = _compiled(source)
        ends[end] += 1
        seen.require(end == "compiled" or end.startswith("SF"), f"{name}: {end}")
        seen.require(took_s < _EACH_S, f"{name}: {took_s:.1f} s")
        slowest = max(slowest, (took_s, name))
    seen.count("ends", ends)
    seen.figures["slowest"] = f"{slowest[1]}: {slowest[0] * 1000:.0f} ms"
    return seen


ATTACKS = (
    Attack(
        name="costly-expressions",
        done="doublings, loops of a million steps and exponential patterns, evaluated on an event of 1 MB",
        expected="too_costly, or an answer, each in a fraction of a second; memory stays",
        make=apart(_evaluate, limit_s=240, growth_bytes=160 << 20),
    ),
    Attack(
        name="deep-expressions",
        done="expressions of 20,000 parentheses, 50,000 terms, a million characters, and noise, compiled",
        expected="each is compiled or refused with a code, memory stays",
        make=apart(_compile, limit_s=120, growth_bytes=160 << 20),
    ),
)

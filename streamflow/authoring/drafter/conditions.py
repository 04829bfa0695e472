"""Conditions in a phrase as CEL: `above 500 euros`, `the score is at least 80`, `with high priority`, `not fragile`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from streamflow.authoring.drafter.comparators import AFTER, BESIDE, JOINING, NEGATIONS, SIGNS, TEXTS
from streamflow.authoring.drafter.comparisons import Atom, Condition, Unclear, in_words, joined, negated
from streamflow.authoring.drafter.fields import CENTS, CURRENCIES, Field, meant, quoted
from streamflow.authoring.drafter.lengths import number_at
from streamflow.authoring.drafter.stems import alike, stem, stems_in
from streamflow.authoring.drafter.tokens import Token, Tokens, words_at
from streamflow.definition.validation import SchemaFault, compiled


def read_condition(tokens: Tokens, fields: Sequence[Field], it: Field | None = None) -> Condition:
    """The comparisons in `tokens` with `fields`, and what else they say. `it` is the field that the pronoun means."""
    reader = _Reader(tokens, fields, it)
    reader.run()
    found = Condition(sorted(reader.atoms, key=lambda atom: atom.start), unclear=reader.unclear)
    for one, other in zip(found.atoms, found.atoms[1:], strict=False):
        if all(token.is_in(JOINING | BESIDE) or reader.used[place] for place, token in _between(tokens, one, other)):
            reader.used[one.end : other.start] = [True] * (other.start - one.end)
    found.rest = [token for place, token in enumerate(tokens) if not reader.used[place]]
    found.expr = joined(tokens, found.atoms)
    return found


def _between(tokens: Tokens, one: Atom, other: Atom) -> list[tuple[int, Token]]:
    return [(place, tokens[place]) for place in range(one.end, other.start)]


class _Reader:
    def __init__(self, tokens: Tokens, fields: Sequence[Field], it: Field | None) -> None:
        self.tokens, self.fields, self.it = tokens, fields, it
        self.used = [False] * len(tokens)
        self.atoms: list[Atom] = []
        self.unclear: list[Unclear] = []

    def run(self) -> None:
        for at in range(len(self.tokens)):
            if not self.used[at]:
                self._compared(at)
        for at in range(len(self.tokens)):
            if not self.used[at]:
                self._equal(at)

    # -- numbers

    def _compared(self, at: int) -> None:
        if (taken := words_at(self.tokens, at, "between")) and (low := self._value(at + taken)) is not None:
            end = low[2]
            if (
                end < len(self.tokens)
                and self.tokens[end].is_in({"and"})
                and (high := self._value(end + 1)) is not None
            ):
                self._numeric(at, high[2], [(">=", low[0]), ("<=", high[0])], high[1] or low[1], "")
            return
        for sign, ways in SIGNS:
            taken = words_at(self.tokens, at, *ways)
            value = self._value(at + taken) if taken else None
            if value is not None:
                self._numeric(at, value[2], [(sign, value[0])], value[1], self.tokens[at].lower)
                return
        value = self._value(at)
        if value is None:
            return
        for sign, ways in AFTER.items():
            if taken := words_at(self.tokens, value[2], *ways):
                self._numeric(at, value[2] + taken, [(sign, value[0])], value[1], "")
                return
        before = self.tokens[at - 1] if at else None
        if (
            self.tokens[at].kind == "number"
            and before is not None
            and before.is_in({"is", "are", "of", "equals", "to", "="})
        ):
            self._numeric(at, value[2], [("==", value[0])], value[1], "")

    def _value(self, at: int) -> tuple[Decimal, str, int] | None:
        """The number at `at`, its unit, and where it ends."""
        unit = ""
        if at < len(self.tokens) and self.tokens[at].lower in CURRENCIES:
            unit, at = self.tokens[at].lower, at + 1
        number = number_at(self.tokens, at)
        if number is None or len(number) > 15:
            return None
        if self.tokens[at].lower in ("a", "an"):
            return None
        end = at + 1
        if not unit and end < len(self.tokens) and self._is_unit(self.tokens[end]):
            unit, end = self.tokens[end].lower, end + 1
        return Decimal(number), unit, end

    def _is_unit(self, token: Token) -> bool:
        if token.lower in CURRENCIES or token.lower in CENTS:
            return True
        return token.kind == "word" and any(
            field.is_number and alike(stem(token.lower)) & (field.stems | field.described) for field in self.fields
        )

    def _numeric(self, at: int, end: int, tests: list[tuple[str, Decimal]], unit: str, comparator: str) -> None:
        numbers = [field for field in self.fields if field.is_number]
        start, words = self._words_before(at, numbers)
        if stem(comparator) == "weight":
            words = [*words, "weight"]
        money = unit in CURRENCIES or unit in CENTS
        if unit and not money:
            words = [*words, stem(unit)]
        candidates = meant(list(dict.fromkeys(words)), numbers) if words else numbers
        if not words and self.it in numbers and any(token.is_in({"it"}) for token in self.tokens[:at]):
            candidates = [self.it] if self.it is not None else []
        if money:
            wanted = CURRENCIES.get(unit)
            candidates = [
                field
                for field in candidates
                if field.is_money and field.currency in (None, wanted if wanted else field.currency)
            ]
        candidates = _nearest(candidates)
        if not candidates:
            return
        whole = self.tokens[start:end]
        if len(candidates) > 1:
            self._take(start, end)
            names = tuple(f"with {field.name} {in_words(tests, unit)}" for field in candidates[:5])
            self.unclear.append(Unclear(tokens=whole, why="it may be about several fields", instead=names))
            return
        field = candidates[0]
        if field.in_cents and not money:
            self._take(start, end)
            ways = tuple(f"with {field.name} {in_words(tests, unit)}" for unit in ("euros", "cents"))
            self.unclear.append(Unclear(tokens=whole, why=f"`{field.name}` is in cents", instead=ways))
            return
        factor = Decimal(1)
        if money and field.in_cents and unit not in CENTS:
            factor = Decimal(100)
        elif money and unit in CENTS and not field.in_cents:
            factor = Decimal("0.01")
        test = " && ".join(f"{field.expr} {sign} {_number(value * factor, field)}" for sign, value in tests)
        denied = any(token.is_in({"not", "no", "never"}) for token in self.tokens[start:at])
        self._add(field, negated(test) if denied else test, start, end)

    # -- other values

    def _equal(self, at: int) -> None:
        token = self.tokens[at]
        if token.kind == "quoted":
            self._text(at)
        elif token.kind == "word":
            _ = self._enum(at) or self._code(at) or self._truth(at)

    def _text(self, at: int) -> None:
        start, words = self._words_before(at, [field for field in self.fields if "string" in field.types], TEXTS)
        candidates = _nearest([field for field in meant(words, self.fields) if field.types == {"string"}])
        if len(candidates) != 1:
            return
        field, text = candidates[0], self.tokens[at].text
        before = self.tokens[start:at]
        function = next(
            (name for word, name in TEXTS.items() for place in range(len(before)) if words_at(before, place, word)), ""
        )
        test = f"{field.expr}.{function}({quoted(text)})" if function else f"{field.expr} == {quoted(text)}"
        self._tested(field, test, start, at + 1)

    def _enum(self, at: int) -> bool:
        word = self.tokens[at].lower
        having = [
            (field, value)
            for field in self.fields
            for value in field.shape.get("enum", ())
            if isinstance(value, str) and value.lower() == word and len(field.shape["enum"]) > 1
        ]
        return self._chosen(at, having)

    def _code(self, at: int) -> bool:
        """A code such as DE, which one field alone may hold."""
        text = self.tokens[at].text
        if not (text.isupper() and text.isalpha() and 2 <= len(text) <= 3):
            return False
        having = [(field, text) for field in self.fields if field.types == {"string"} and _is_code(field.pattern, text)]
        return self._chosen(at, having)

    def _chosen(self, at: int, having: list[tuple[Field, Any]]) -> bool:
        if not having:
            return False
        fields = [field for field, _ in having]
        start, words = self._words_before(at, fields)
        end = at + 1
        while end < len(self.tokens) and any(stem(self.tokens[end].lower) in field.stems for field in fields):
            words.append(stem(self.tokens[end].lower))
            end += 1
        chosen = _nearest(meant(words, fields) if words else fields)
        if len(chosen) != 1:
            return False
        value = next(value for field, value in having if field is chosen[0])
        self._tested(chosen[0], f"{chosen[0].expr} == {quoted(value)}", start, end)
        return True

    def _truth(self, at: int) -> bool:
        """A field that is true or false, by its name: `fragile`."""
        one = stem(self.tokens[at].lower)
        having = _nearest([field for field in self.fields if field.types == {"boolean"} and field.stems == {one}])
        if len(having) != 1:
            return False
        self._tested(having[0], having[0].expr, at, at + 1)
        return True

    # -- places

    def _tested(self, field: Field, test: str, start: int, end: int) -> None:
        """Adds `test`, or its opposite if a negation stands before or in it."""
        while start > 0 and self.tokens[start - 1].is_in({"from", "in", "to", "of", "a", "an", "the"}):
            start -= 1
        inside = any(words_at(self.tokens[start:end], place, *NEGATIONS[:7]) for place in range(end - start))
        before = 0
        for way in NEGATIONS:
            length = len(way.split())
            if not inside and start >= length and words_at(self.tokens, start - length, way):
                before = length
                break
        if inside or before:
            test = test.replace(" == ", " != ") if " == " in test else f"!{test}"
        self._add(field, test, start - before, end)

    def _add(self, field: Field, test: str, start: int, end: int) -> None:
        self._take(start, end)
        expr = f"{field.guard} && {test}" if field.guard else test
        self.atoms.append(Atom(expr=expr, start=start, end=end, field=field))

    def _take(self, start: int, end: int) -> None:
        self.used[start:end] = [True] * (end - start)

    def _words_before(
        self, at: int, fields: Sequence[Field], also: dict[str, str] | None = None
    ) -> tuple[int, list[str]]:
        """The stems that name a field before `at`, and the first token of them; `at` itself if there are none."""
        extra = {word for words in also or () for word in words.split()}
        start, words, pending = at, list[str](), list[str]()
        for place in range(at - 1, max(-1, at - 9), -1):
            token = self.tokens[place]
            if self.used[place] or token.kind != "word":
                break
            parts = stems_in(token)
            if any(all(alike(one) & field.stems or one in field.described for one in parts) for field in fields):
                words, start = [*words, *pending, *parts], place
                pending = []
            elif any(parts[0] in field.owner for field in fields) and not token.is_in(BESIDE):
                pending.append(parts[0])
            elif not token.is_in(BESIDE) and token.lower not in extra:
                break
        if words:
            while start > 0 and self.tokens[start - 1].is_in({"a", "an", "the", "with", "its", "whose", "of", "for"}):
                start -= 1
        return start, words


def _nearest(fields: Sequence[Field]) -> list[Field]:
    """Of fields with one name the first, which is the newest; else all."""
    return list(fields[:1]) if len({field.name for field in fields}) == 1 else list(fields)


def _is_code(pattern: str | None, text: str) -> bool:
    if pattern is None:
        return False
    try:
        validator = compiled({"type": "string", "pattern": pattern})
    except SchemaFault:
        return False
    return bool(validator.is_valid(text)) and not validator.is_valid("some other text")


def _number(value: Decimal, field: Field) -> str:
    if value == value.to_integral_value():
        return str(int(value))
    return format(value.normalize(), "f")

"""Texts that fit a regular expression, for those that schemas usually have."""

from __future__ import annotations

import string

from streamflow.authoring.dice import Dice

_MOST = 4  # repetitions where a pattern sets no end
_LONGEST = 500
_CLASSES = {"d": string.digits, "w": string.ascii_letters + string.digits + "_", "s": " "}
_ANY = string.ascii_lowercase


class _Unreadable(Exception):
    """A part of a pattern that is not followed."""


def text_like(pattern: str, dice: Dice) -> str | None:
    """A text that `pattern` is made to fit: literals, classes, groups, alternatives and repetitions are followed. None
    for patterns with anything else. The caller checks that the text fits."""
    if len(pattern) > _LONGEST:
        return None
    try:
        text, end = _Follower(pattern, dice).alternatives(0)
    except (_Unreadable, IndexError, ValueError):
        return None
    return text if end == len(pattern) else None


class _Follower:
    def __init__(self, pattern: str, dice: Dice) -> None:
        self._pattern, self._dice = pattern, dice

    def alternatives(self, at: int) -> tuple[str, int]:
        """A text for the alternatives from `at` on, and where they end."""
        found: list[str] = []
        while True:
            text, at = self._sequence(at)
            found.append(text)
            if at >= len(self._pattern) or self._pattern[at] != "|":
                return self._dice.choice(found), at
            at += 1

    def _sequence(self, at: int) -> tuple[str, int]:
        text = ""
        while at < len(self._pattern) and self._pattern[at] not in "|)":
            begin = at
            piece, at = self._one(at)
            least, most, at = self._repeats(at)
            count = self._dice.between(least, most)
            text += piece if count else ""
            for _ in range(count - 1):
                text += self._one(begin)[0]
        return text, at

    def _one(self, at: int) -> tuple[str, int]:
        letter = self._pattern[at]
        if letter in "^$":
            return "", at + 1
        if letter == "(":
            inside = at + 1
            if self._pattern.startswith("?:", inside):
                inside += 2
            elif self._pattern.startswith("?", inside):
                raise _Unreadable
            text, end = self.alternatives(inside)
            if self._pattern[end] != ")":
                raise _Unreadable
            return text, end + 1
        if letter == "[":
            letters, end = self._class(at + 1)
            return self._dice.choice(letters), end
        if letter == ".":
            return self._dice.choice(_ANY), at + 1
        if letter == "\\":
            return self._escaped(at + 1)
        if letter in "*+?{}":
            raise _Unreadable
        return letter, at + 1

    def _escaped(self, at: int) -> tuple[str, int]:
        letter = self._pattern[at]
        if letter in _CLASSES:
            return self._dice.choice(_CLASSES[letter]), at + 1
        if letter.isalnum():
            raise _Unreadable
        return letter, at + 1

    def _class(self, at: int) -> tuple[str, int]:
        """The letters of a class, and where it ends."""
        without = self._pattern[at] == "^"
        at += int(without)
        letters = ""
        first = True
        while first or self._pattern[at] != "]":
            first = False
            if self._pattern[at] == "\\":
                letter = self._pattern[at + 1]
                letters += _CLASSES.get(letter, letter)
                at += 2
            elif self._pattern[at + 1] == "-" and self._pattern[at + 2] != "]":
                low, high = ord(self._pattern[at]), ord(self._pattern[at + 2])
                letters += "".join(map(chr, range(low, min(high, low + 200) + 1)))
                at += 3
            else:
                letters += self._pattern[at]
                at += 1
        if without:
            letters = "".join(letter for letter in _ANY + string.digits if letter not in letters)
        if not letters:
            raise _Unreadable
        return letters, at + 1

    def _repeats(self, at: int) -> tuple[int, int, int]:
        """How often the part before `at` stands, and where that is said to the end."""
        if at >= len(self._pattern):
            return 1, 1, at
        letter = self._pattern[at]
        if letter == "{":
            end = self._pattern.index("}", at)
            low, _, high = self._pattern[at + 1 : end].partition(",")
            least = int(low or 0)
            most = int(high) if high else least + (_MOST if "," in self._pattern[at:end] else 0)
            if most > _LONGEST:
                raise _Unreadable
            return least, min(most, least + _MOST), end + 1
        if letter in "*+?":
            return (1 if letter == "+" else 0), (1 if letter == "?" else _MOST), at + 1
        return 1, 1, at

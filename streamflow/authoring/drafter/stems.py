"""Words compared by their stems, so that `block` finds `blocked` and `paid` finds `pay`; and words that stand for each
other."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamflow.authoring.drafter.tokens import Token, wordset

# Words that say nothing about which event, operation or field is meant.
STOP = wordset(
    "a an the this that these those it its they them their he she his her him we our us i you your one is are was "
    "were be been being has have had do does did will shall would can could may might must should of for to in on "
    "at by with from as and or but there here so also just please then again new every each any when whenever if "
    "get gets got let immediately directly automatically straight away now somebody someone something who which "
    "whose what than up out about into "
)
# Verbs by which an event comes; its name need not have them.
ARRIVING = wordset(
    "come comes came coming arrive arrives arrived happen happens happened occur occurs occurred appear appears "
    "appeared receive receives received enters entered seen comes in"
)
_IRREGULAR = {
    "paid": "pay", "held": "hold", "sent": "send", "given": "give", "gave": "give", "lost": "lose", "found": "find",
    "bought": "buy", "sold": "sell", "told": "tell", "made": "make", "taken": "take", "took": "take", "put": "put",
    "written": "write", "broken": "break", "withdrawn": "withdraw", "approval": "approve", "approvals": "approve",
    "delivery": "deliver", "refusal": "refuse", "rejection": "reject", "cancellation": "cancel", "shipment": "ship",
    "arrival": "arrive", "booking": "book", "escalation": "escalate", "reminder": "remind", "heavier": "weight",
    "lighter": "weight", "heavy": "weight", "worth": "value", "older": "age", "longer": "length", "sms": "sms",
    "authorisation": "authorise", "authorization": "authorise", "submission": "submit", "known": "know",
    "paying": "pay", "payed": "pay", "left": "leave", "kept": "keep", "begun": "begin", "started": "start",
}  # fmt: skip
_GROUPS = (
    "amount price total sum value cost worth",
    "quantity count piece item unit number",
    "receiver recipient addressee",
    "customer client buyer",
    "purchase order",
    "cancel abort",
    "decline refuse",
    "mail email",
    "phone telephone",
    "money payment",
)


def stem(word: str) -> str:
    """What `word` has in common with its other forms."""
    word = _IRREGULAR.get(word, word)
    word = re.sub(r"iz(e|es|ed|ing|ation)$", r"is\1", word)
    if len(word) > 4:
        if word.endswith(("ies", "ied")):
            return word[:-3] + "y"
        for ending in ("ing", "ed", "es", "s"):
            if word.endswith(ending) and not word.endswith("ss") and len(word) - len(ending) >= 3:
                word = word[: -len(ending)]
                break
    elif len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] in "bdglmnprt":
        word = word[:-1]
    while len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word


def stems_in(token: Token) -> list[str]:
    """The stems of one word, which may be a name of several: `amount_cents`."""
    parts = re.findall(r"[^\W\d_]+", token.lower)
    return [stem(part) for part in parts] if len(parts) > 1 else [stem(token.lower)]


_ALIKE: dict[str, frozenset[str]] = {}
for _group in _GROUPS:
    _stems = frozenset(stem(word) for word in _group.split())
    for _one in _stems:
        _ALIKE[_one] = _ALIKE.get(_one, frozenset()) | _stems


def alike(one: str) -> frozenset[str]:
    """The stem and those that may stand for it."""
    return _ALIKE.get(one, frozenset({one}))


def stems_of(text: str) -> frozenset[str]:
    """The stems of a name or title, such as `payment.given_up`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return frozenset(
        stem(word) for word in re.findall(r"[^\W\d_]+", parted.lower()) if word not in STOP or word == "up"
    )


def content(tokens: Iterable[Token]) -> list[Token]:
    """The words of `tokens` that say what is meant."""
    return [token for token in tokens if token.kind == "word" and token.lower not in STOP]

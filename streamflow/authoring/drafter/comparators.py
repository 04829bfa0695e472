"""The words by which values are compared."""

from __future__ import annotations

from streamflow.authoring.drafter.tokens import wordset

MORE = ("more", "greater", "larger", "higher", "bigger", "heavier", "longer", "older", "dearer")
LESS = ("less", "smaller", "lower", "fewer", "lighter", "shorter", "younger", "cheaper")
SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (">=", ("at least", "no less than", "not less than", "not below", "not under", "a minimum of", ">=")),
    ("<=", ("at most", "no more than", "not more than", "not above", "not over", "up to", "a maximum of", "<=")),
    (
        ">",
        (*(f"{word} than" for word in MORE), "above", "over", "exceeding", "beyond", "exceeds", ">"),
    ),
    ("<", (*(f"{word} than" for word in LESS), "below", "under", "<")),
    ("!=", ("not equal to", "other than", "different from", "!=")),
    ("==", ("exactly", "equal to", "equals", "==", "=")),
)
AFTER = {
    ">=": ("or more", "or above", "or over", "or higher", "and more", "and above", "and over", "and higher"),
    "<=": ("or less", "or fewer", "or below", "or under", "or lower", "and less", "and below"),
}
BESIDE = wordset(  # words that may stand between a field and what it is compared with
    "is are was were be of with a an the its their has have had than that for it which whose to equals equal other "
    "from in not different no set"
)
JOINING = wordset("and or nor but either ,")
NEGATIONS = ("other than", "different from", "except", "is not", "are not", "was not", "not", "non", "without", "no")
TEXTS = {"contains": "contains", "starts with": "startsWith", "ends with": "endsWith", "includes": "contains"}

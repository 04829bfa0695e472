"""Every problem that a definition or a catalog can have: its code and what it is about. Codes stay; docs are made from this table."""

from __future__ import annotations

SHAPE = {
    "SF100": "The text is not YAML or JSON",
    "SF101": "A field that does not exist",
    "SF102": "A field that is missing",
    "SF103": "A value of the wrong kind",
    "SF104": "A text that is not in the form it must have",
    "SF105": "A value that is not one of those allowed",
    "SF106": "Too many, too few, too long or too short",
    "SF107": "A key that is written twice",
    "SF109": "Another fault of shape",
}

CHECKED = {
    "SF201": "An event that is not in the catalog",
    "SF202": "An event of the catalog whose schema is no JSON Schema",
    "SF203": "An event that the catalog names twice",
    "SF210": "An id that is used twice",
    "SF211": "A need of a step that does not exist",
    "SF212": "A need of an outcome that the step does not have",
    "SF213": "Steps that wait for each other in a circle",
    "SF214": "A step without a kind of work, or with several",
    "SF215": "A wait without a limit, or with two",
    "SF216": "A delay without a length, or with two",
    "SF217": "Needs that can never all be met",
    "SF218": "A step that can never begin",
    "SF219": "An id that means something else",
    "SF220": "A branch after the way out",
    "SF221": "A choose without a way out (warning)",
    "SF222": "A time limit that nothing follows (warning)",
    "SF223": "A name or a need that is written twice in one place",
    "SF224": "A wait for an event under another key",
    "SF230": "Too many steps",
    "SF231": "A definition that is too large",
    "SF232": "A length of time that is zero or too long",
    "SF240": "An emitted event without a field that it must have",
    "SF241": "An emitted event with a field that it does not have",
    "SF242": "An emitted field of the wrong type",
    "SF260": "An expression that cannot be read",
    "SF261": "A name that an expression does not know",
    "SF262": "A step that is only known while running",
    "SF263": "A list in the order of a map",
    "SF264": "A macro that hides a variable",
    "SF265": "A time zone that depends on the machine",
    "SF266": "A variable that is not there yet",
    "SF267": "A step that does not come before",
    "SF268": "An expression about a step that does not exist",
    "SF269": "A step that may not have run (warning)",
    "SF270": "A field that the data does not have",
    "SF271": "Types that do not go together",
    "SF272": "A result of the wrong type",
    "SF273": "A result that has no place in JSON",
    "SF274": "Arithmetic with a number that may be whole or not (warning)",
}

CODES: dict[str, str] = SHAPE | CHECKED

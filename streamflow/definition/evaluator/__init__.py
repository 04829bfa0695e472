"""Evaluation of checked expressions: closures built once from the checked tree, run on plain JSON data.

The CEL library parses and type-checks; nothing of it takes part in an evaluation, so a result depends on this package
alone, and event data is never copied. `closures.build` gives a function of a frame; `budget` bounds what one
evaluation may cost; the other modules are the values of CEL and its functions by topic.
"""

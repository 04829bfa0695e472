"""Faults: a seeded generator of work, a seeded nemesis that breaks things on a printed schedule, and the checker's verdicts in a table.

Somebody else than the author of `streamflow_check` writes this package.
"""

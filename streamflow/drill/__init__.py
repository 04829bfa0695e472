"""The drill: work of its own under a prefix of its own, faults that the user allows, and a verdict on every promise by
the checker."""

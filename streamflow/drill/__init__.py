"""The drill: its own work under its own prefix, faults that the user allows, and a verdict on every promise by
the checker."""

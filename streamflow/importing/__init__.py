"""Processes written for other systems, as definitions: pure, one module per foreign format, and always with a report.
Knows `definition` only."""

"""What every process counts and measures, and how Prometheus reads it: one registry of declared metrics, one collector,
one page."""

"""Streamflow: a workflow engine on Kafka, for durable business processes driven by events."""

__version__ = "0.1.0"

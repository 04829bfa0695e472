"""Streamflow: business processes, described in English, run durably on your own Kafka."""

__version__ = "0.1.0"

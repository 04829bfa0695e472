"""Bytes to records and back: events as strangers write them, commands as we do, and what could not be read."""

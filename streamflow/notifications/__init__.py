"""Notifications of people: what the history worker noted, sent to those who asked for it (docs/notifications.md)."""

"""The same plans, decisions and evolving in virtual time, on an in-memory log with several partitions."""

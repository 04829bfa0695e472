"""The core between the wire and its hosts: decides what becomes of records, without I/O, clocks or logging."""
